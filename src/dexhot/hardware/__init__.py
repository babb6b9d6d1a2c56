"""Drivers of camera, arm and hand, and simulators of their protocols; no MuJoCo world."""
