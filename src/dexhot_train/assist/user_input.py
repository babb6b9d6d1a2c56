"""What a user's hand asks of the robot's, with the errors of an estimated hand pose."""

import hashlib
from dataclasses import dataclass

import numpy as np

from dexhot.data.types import RATE
from dexhot_train.assist.experts import Experts

WINDOW = 20  # steps, 0.2 s of an Adroit task


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


def seen_noise(inputs: np.ndarray, action_range: np.ndarray) -> np.ndarray:
    """(T,) rad: the noise that inputs (T, A) up to each step show, 0 in the first WINDOW + 1.

    Independent noise of sigma is in every step's second difference, with sqrt(6) sigma; a hand's own motion is not. So
    the least of the last WINDOW steps counts, about 0.7 sigma. A drifting error does not show.
    """
    jerks = np.sqrt(((np.diff(inputs, 2, axis=0) * action_range) ** 2).mean(axis=1) / 6.0)  # that of step t at t - 2
    found = np.zeros(len(inputs))
    for t in range(WINDOW + 1, len(inputs)):
        found[t] = jerks[t - WINDOW - 1 : t - 1].min()
    return found


@dataclass(frozen=True)
class EstimateError:
    """Structured error of an estimated hand vector, the sigma of each of its numbers.

    A part is constant in an episode (another hand's size, the camera's place); the rest drifts smoothly, as estimators
    do whose poses are filtered. There is no jitter from frame to frame.
    """

    position: float = 0.01  # m, of each coordinate of the wrist
    rotation: float = float(np.radians(5.0))  # of each angle of the wrist
    finger: float = 0.1  # rad, of each finger joint
    constant: float = 0.5  # share of the variance that is constant
    memory: float = 0.5  # s, time constant of the drift: white noise through two low-pass filters

    def sigma(self, joints: int) -> np.ndarray:
        """(6+n,) of a hand vector."""
        sigma: np.ndarray = np.r_[[self.position] * 3, [self.rotation] * 3, [self.finger] * (joints - 6)]
        return sigma

    def draw(self, frames: int, joints: int, rng: np.random.Generator) -> np.ndarray:
        """(T, 6+n) errors of one episode, m and rad."""
        constant = np.sqrt(self.constant) * rng.standard_normal((1, joints))
        drift = np.sqrt(1.0 - self.constant) * smooth_drift(frames, joints, self.memory, rng)
        error: np.ndarray = self.sigma(joints) * (constant + drift)
        return error


def smooth_drift(frames: int, size: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """(T, size) of unit variance in every frame: white noise through two equal first-order low-pass filters of time
    constant `memory` (s), long before the first frame."""
    keep, before = float(np.exp(-1.0 / (RATE * memory))), int(6 * RATE * memory)
    white = rng.standard_normal((before + frames, size))
    once, twice = np.zeros(size), np.zeros(size)
    drift = np.empty((frames, size))
    for t, row in enumerate(white):
        once = keep * once + row
        twice = keep * twice + once
        if t >= before:
            drift[t - before] = twice
    drift /= np.sqrt((1.0 + keep**2) / (1.0 - keep**2) ** 3)
    return drift
