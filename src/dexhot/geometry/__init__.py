"""Rotations, poses, meshes, cameras: the lowest layer, which imports nothing of dexhot but its errors."""
