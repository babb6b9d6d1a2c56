"""Rig nodes: the embedded world, the protocol-level simulation, and the real rig."""
