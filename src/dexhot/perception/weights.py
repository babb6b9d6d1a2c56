"""Where the estimators' weights are, and what a user does about a missing one."""

import hashlib
from pathlib import Path

from dexhot.errors import FileFormatError
from dexhot.paths import cache_dir

WHEEL = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"  # the last release that contains the models
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
INSIDE = "mediapipe/modules/"
PALM_MODEL, LANDMARK_MODEL = "palm_detection_full.tflite", "hand_landmark_full.tflite"
HAND_LANDMARKS = {  # file -> folder inside the wheel, SHA-256; Apache-2.0
    PALM_MODEL: (
        "palm_detection",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    LANDMARK_MODEL: (
        "hand_landmark",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
}


def weights_dir() -> Path:
    """The folder of all weights."""
    return cache_dir() / "models"


def hand_landmarks_dir() -> Path:
    """The folder of the models that detect hands."""
    return weights_dir() / "hand-landmarks"


def missing_hand_landmarks() -> list[str]:
    """Those of HAND_LANDMARKS that are not there."""
    return [name for name in HAND_LANDMARKS if not (hand_landmarks_dir() / name).is_file()]


def hand_landmark_file(name: str) -> Path:
    """A hand model, with its hash checked. Raises FileFormatError saying how to get it."""
    path = hand_landmarks_dir() / name
    if not path.is_file():
        raise FileFormatError(f"{path} is missing: `dexhot models get hand-landmarks` fetches it (36 MB, Apache-2.0).")
    check_hash(path, HAND_LANDMARKS[name][1])
    return path


def given_file(name: str, source: str) -> Path:
    """Weights that the user brings. Raises FileFormatError naming the file, its source and its place."""
    path = weights_dir() / name
    if not path.exists():
        raise FileFormatError(f"{name} is missing: get it from {source} and put it at {path}.")
    return path


def check_hash(path: Path, sha256: str) -> None:
    """Raise FileFormatError for another file than expected."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise FileFormatError(
            f"{path} has SHA-256 {found}, expected {sha256}: delete it and run `dexhot models get hand-landmarks`."
        )
