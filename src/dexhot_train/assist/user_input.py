"""What a user's hand asks of the robot's, with the errors of an estimated hand pose."""

import numpy as np


def noisy(actions: np.ndarray, sigma: float, action_range: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`actions` (T, A) with independent Gaussian noise of `sigma` (rad; m on an actuator that slides) in each step on
    each actuator (the paper's IV-A.1). Actions are in units of `action_range` (A,), half of each actuator's range."""
    return actions + rng.normal(size=actions.shape) * (sigma / action_range)
