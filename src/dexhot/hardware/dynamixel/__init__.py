"""Dynamixel servos: registers, a client on the vendor's SDK, and a byte-level bus simulator."""
