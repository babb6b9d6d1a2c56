"""What a user's hand asks of the robot's, with the errors of an estimated hand pose."""

import hashlib

import numpy as np

from dexhot_train.assist.experts import Experts


def noisy(actions: np.ndarray, sigma: float, action_range: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`actions` (T, A) with independent Gaussian noise of `sigma` (rad; m on an actuator that slides) in each step on
    each actuator (the paper's IV-A.1). Actions are in units of `action_range` (A,), half of each actuator's range."""
    return actions + rng.normal(size=actions.shape) * (sigma / action_range)


def user_input(
    experts: Experts, motion: int, sigma: float, action_range: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(T, A) of one episode of a motion: a random one of its made inputs (structured.py), or else its actions; with
    Gaussian noise."""
    clean = experts.actions[motion]
    if experts.inputs:
        clean = experts.inputs[motion][rng.integers(len(experts.inputs[motion]))]
    return noisy(clean, sigma, action_range, rng)


def fingerprint(experts: Experts) -> str:
    """Of the user inputs; "" without."""
    if not experts.inputs:
        return ""
    return hashlib.sha256(b"".join(np.ascontiguousarray(rows).tobytes() for rows in experts.inputs)).hexdigest()[:16]
