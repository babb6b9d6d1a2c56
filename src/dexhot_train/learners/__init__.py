"""Reinforcement learning with imitation, for any task behind the vectorised interface."""
