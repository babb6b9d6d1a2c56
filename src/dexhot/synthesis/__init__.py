"""Rendered clips of hands and objects with their truth: motion of recordings, drawn people, a camera's noise."""

from dexhot.synthesis.clip import Options, Truth, render

__all__ = ["Options", "Truth", "render"]
