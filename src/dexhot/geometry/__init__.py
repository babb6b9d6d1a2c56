"""Rotations, poses and meshes: the lowest layer, which imports nothing of dexhot but its errors."""
