"""Simulated devices behind the drivers: the embedded world and its twins, and one world behind both wires."""
