"""Rotations, poses and meshes: the lowest layer, which imports only dexhot's errors."""
