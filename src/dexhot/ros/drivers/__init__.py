"""Arm and hand as nodes: joint states out, guarded commands in."""
