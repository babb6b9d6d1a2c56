"""The Franka Research 3: its driver over franky, its simulated robot behind the same protocol, its twin."""
