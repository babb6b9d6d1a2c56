"""Flips of an orientation that was tracked: farther from one frame to the next than people turn a thing."""

import numpy as np

TURN, SURE_TURN, SPIN = np.radians(60.0), np.radians(100.0), 40.0  # rad between two frames, rad/s


def flips(turn: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Numbers of the frames after which it flips. turn (T-1,): rad from each to the next; step (T-1,): s."""
    return np.flatnonzero((turn > SURE_TURN) | ((turn > TURN) & (turn > SPIN * step)))
