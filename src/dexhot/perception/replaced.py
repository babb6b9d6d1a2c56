"""What an evidence file holds that the one in its place would lack: `dexhot perceive` asks before it is lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import load
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, FileFormatError
from dexhot.perception.estimators import EMBEDDED, NONE

SAME_TIME = 1e-4  # s between the stamps of one frame, read twice


def check_replaced(path: Path, time: np.ndarray, side: str, made: Mapping[str, Any], force: bool = False) -> None:
    """Raise DexhotError, which says why, if the evidence at `path` has what the evidence of the frames `time` (T,) and
    the hands `side` would lack; with `force`, never. `made`: its provenance's object, prompts and estimators."""
    if force or not path.is_file():
        return
    try:
        kept = load(path, Evidence)
    except FileFormatError:
        return
    if lost := lacking(kept, time, side, made):
        raise DexhotError(
            f"{path} is kept: it has {', '.join(lost)}, which the new evidence would lack; ask for the same, or give "
            "another --out, or --force."
        )


def lacking(kept: Evidence, time: np.ndarray, side: str, made: Mapping[str, Any]) -> list[str]:
    """What is lost, in words. A prompt may move, as a better click on the same thing loses nothing, and so may one
    estimator that was named give way to another, but not to the embedded one."""
    old = kept.provenance
    lost = []
    if old.get("object", "") not in ("", made["object"]):
        lost.append(f"poses and masks of {old['object']}")
    lost += [f"the prompt on {name}" for name in old.get("prompts", {}) if name not in made["prompts"]]
    if missing := frames_without(kept.time, time):
        lost.append(f"frames ({missing} of its {len(kept.time)})")
    if side in ("right", "left"):
        lost += [f"keypoints of the {one} hand" for one in kept.keypoints if one != side]
    for what, name in old.get("estimators", {}).items():
        if name not in (EMBEDDED, NONE) and made["estimators"].get(what) in (EMBEDDED, NONE):
            lost.append(f"{what} by {name}")
    return lost


def frames_without(old: np.ndarray, new: np.ndarray) -> int:
    """How many of the stamps (T,) of the old frames are none of the new ones'."""
    after = np.searchsorted(new, old - SAME_TIME)
    beside = new[np.minimum(after, len(new) - 1)]
    return int((np.abs(beside - old) > SAME_TIME).sum())
