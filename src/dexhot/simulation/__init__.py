"""Scenes composed in code, and the Simulator that steps them."""
