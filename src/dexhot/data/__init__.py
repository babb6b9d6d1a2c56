"""The nouns of the way of the data, each one typed dataclass with its file."""

from dexhot.data.files import load, save
from dexhot.data.object_asset import ObjectAsset, Symmetry
from dexhot.data.object_library import list_objects, load_object, save_object
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
    "ObjectAsset",
    "PolicyCard",
    "Reference",
    "Rollout",
    "Symmetry",
    "list_objects",
    "load",
    "load_object",
    "save",
    "save_object",
]
