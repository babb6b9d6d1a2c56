"""Dynamixel servos: their registers, a client on the vendor's SDK, and a simulated bus that speaks their bytes."""
