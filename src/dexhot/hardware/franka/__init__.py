"""The Franka Research 3: its driver on franky, and a simulated robot with the same protocol."""
