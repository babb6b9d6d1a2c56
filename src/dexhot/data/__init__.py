"""The nouns of the way of the data, each one typed dataclass with its file."""

from dexhot.data.files import load, save
from dexhot.data.types import (
    Demonstration,
    Evidence,
    HandObjectTrajectory,
    HandTrack,
    PolicyCard,
    Reference,
    Rollout,
)

__all__ = [
    "Demonstration",
    "Evidence",
    "HandObjectTrajectory",
    "HandTrack",
    "PolicyCard",
    "Reference",
    "Rollout",
    "load",
    "save",
]
