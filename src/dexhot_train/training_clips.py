"""The clips that something may be trained on by default, and the terms of their data."""

from dexhot.datasets import split_clips, splits
from dexhot.errors import DexhotError
from dexhot.objects.shapes import SHAPES

DATA = ("parametric", "grab")
TERMS = {
    "parametric": "none: made from generated demonstrations alone",
    "grab": "GRAB's: for non-commercial scientific research; the prior carries them (dexhot datasets get grab)",
}
LIFTS = ("lift", "carry", "rotate")


def training_clips(data: str) -> list[str]:
    """parametric/KIND-SHAPE-SEED, or GRAB's train split; no test clip is among them. Raises DexhotError."""
    if data not in DATA:
        raise DexhotError(f"no training data {data!r}; one of {', '.join(DATA)}.")
    if data == "grab":
        return [f"grab/{clip}" for clip in split_clips("train", splits("grab"))]
    return [f"parametric/{kind}-{shape}-{seed}" for seed in range(100, 102) for kind in LIFTS for shape in SHAPES]
