"""Clicks and boxes in the first image that say where a hand or the object is.

    prompts_of(["object:180,200", "right:90,40,180,160"])    # {"object": (1, 2) clicks, "right": (4,) box}, px

In files and bags they are JSON: lists of numbers by name.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.errors import DexhotError

Prompts = dict[str, np.ndarray]  # name -> clicks (N, 2) or a box (4,) x0 y0 x1 y1, px
NAMES = tuple(name for name in LABELS if name != "background")


def prompts_of(texts: Iterable[str], names: Iterable[str] = NAMES) -> Prompts:
    """ "NAME:U,V" is a click, and may be repeated; "NAME:U0,V0,U1,V1" is a box. Raises DexhotError."""
    found: dict[str, list[np.ndarray]] = {}
    names = tuple(names)
    for text in texts:
        name, _, numbers = text.partition(":")
        try:
            where = np.array([float(x) for x in numbers.split(",")])
        except ValueError:
            where = np.zeros(0)
        if name not in names or len(where) not in (2, 4) or not np.isfinite(where).all():
            raise DexhotError(
                f"--prompt {text} is not NAME:U,V (a click) or NAME:U0,V0,U1,V1 (a box), in pixels, where NAME is "
                f"{' or '.join(names)}."
            )
        found.setdefault(name, []).append(where)
    for name, several in found.items():
        if len(several) > 1 and any(len(where) == 4 for where in several):
            raise DexhotError(f"--prompt {name} is given {len(several)} times: give clicks, or one box.")
    return {name: several[0] if len(several[0]) == 4 else np.stack(several) for name, several in found.items()}


def object_prompt(text: str) -> np.ndarray:
    """ "object:U,V" or "object:U0,V0,U1,V1" -> clicks (1, 2) or a box (4,) px. Raises DexhotError."""
    return prompts_of([text], ["object"])["object"]


def listed(prompts: Mapping[str, np.ndarray]) -> dict[str, list[float] | list[list[float]]]:
    """As JSON takes them."""
    return {name: np.asarray(where, float).tolist() for name, where in prompts.items()}


def click_on(labels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(2,) px: where a person clicks on the object that is seen in an image with labels and depth (H, W), where that
    is measured. Raises DexhotError where the object is not seen."""
    seen = labels == LABELS["object"]
    measured = seen & (depth > 0)
    v, u = np.nonzero(measured if measured.any() else seen)
    if not len(u):
        raise DexhotError("the object is not in view in the first frame.")
    nearest = np.hypot(u - np.median(u), v - np.median(v)).argmin()
    return np.array([u[nearest], v[nearest]], float)
