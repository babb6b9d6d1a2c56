"""The clips that something may be trained on by default, and the terms of their data."""

from dexhot.datasets import split_clips, splits
from dexhot.errors import DexhotError

DATA = ("parametric", "grab")
TERMS = {
    "parametric": "none: made from generated demonstrations alone",
    "grab": "GRAB's: for non-commercial scientific research; the prior carries them (dexhot datasets get grab)",
}


def training_clips(data: str) -> list[str]:
    """parametric/KIND-SHAPE-SEED, or GRAB's train split; no test clip is among them. Raises DexhotError."""
    if data not in DATA:
        raise DexhotError(f"no training data {data!r}; one of {', '.join(DATA)}.")
    return [f"{data}/{clip}" for clip in split_clips("train", splits(data))]
