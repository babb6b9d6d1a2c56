"""The data pipeline's types, one dataclass each, and their files; bags, topics and runs."""

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
