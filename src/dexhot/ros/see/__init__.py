"""Cameras as nodes."""
