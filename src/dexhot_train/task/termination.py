"""Early termination: plain functions of a Transition, each with its limit. A world ends where any of them is true."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot_train.task.rewards import Transition


@dataclass(frozen=True)
class TerminationTerm:
    """A condition and the function's parameters."""

    function: Callable[..., np.ndarray]
    parameters: Mapping[str, Any] = field(default_factory=dict)


def object_lost(t: Transition, distance: float = 0.10) -> np.ndarray:
    """The object is farther than `distance` (m) from the reference's."""
    lost: np.ndarray = t.position_error > distance
    return lost


def object_turned(t: Transition, angle: float = np.radians(90.0)) -> np.ndarray:
    """The object is turned by more than `angle` (rad) against the reference's."""
    turned: np.ndarray = t.angle_error > angle
    return turned


def palm_away(t: Transition, distance: float = 0.15) -> np.ndarray:
    """The palm is farther than `distance` (m) from the reference's."""
    away: np.ndarray = np.linalg.norm(t.palm_pose[:, :3] - t.wanted_palm[:, :3], axis=-1) > distance
    return away


TERMINATIONS: dict[str, TerminationTerm] = {
    "object_lost": TerminationTerm(object_lost),
    "object_turned": TerminationTerm(object_turned),
    "palm_away": TerminationTerm(palm_away),
}


def ended(terms: Mapping[str, TerminationTerm], t: Transition) -> dict[str, np.ndarray]:
    """(N,) bool of each condition."""
    return {name: term.function(t, **term.parameters) for name, term in terms.items()}
