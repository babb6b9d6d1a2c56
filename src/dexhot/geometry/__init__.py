"""Rotations, poses and meshes: the ground floor, which imports nothing of dexhot but its errors."""
