"""Early termination: plain functions of a Transition, each with its limit. A world ends where any of them is true."""

from __future__ import annotations  # as rewards.py

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from dexhot_train.task.rewards import Array, Transition


@dataclass(frozen=True)
class TerminationTerm:
    """A condition and the function's parameters."""

    function: Callable[..., Array]
    parameters: Mapping[str, Any] = field(default_factory=dict)


def object_lost(t: Transition, distance: float = 0.10) -> Array:
    """The object is farther than `distance` (m) from the reference's."""
    return t.position_error > distance


def object_turned(t: Transition, angle: float = math.radians(90.0)) -> Array:
    """The object is turned by more than `angle` (rad) against the reference's."""
    return t.angle_error > angle


def palm_away(t: Transition, distance: float = 0.15) -> Array:
    """The palm is farther than `distance` (m) from the reference's."""
    return ((t.palm_pose[:, :3] - t.wanted_palm[:, :3]) ** 2).sum(-1) ** 0.5 > distance


TERMINATIONS: dict[str, TerminationTerm] = {
    "object_lost": TerminationTerm(object_lost),
    "object_turned": TerminationTerm(object_turned),
    "palm_away": TerminationTerm(palm_away),
}


def ended(terms: Mapping[str, TerminationTerm], t: Transition) -> dict[str, Array]:
    """(N,) bool of each condition."""
    return {name: term.function(t, **term.parameters) for name, term in terms.items()}
