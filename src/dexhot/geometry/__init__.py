"""Rotations, poses, meshes, cameras: the lowest layer, which imports nothing from dexhot except its errors."""
