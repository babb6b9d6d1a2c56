"""Rotations, poses and meshes: the lowest layer, which imports nothing from dexhot except its errors."""
