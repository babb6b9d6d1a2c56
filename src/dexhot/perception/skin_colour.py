"""Which colours are a person's skin: learned where the hand is apart from the object, remembered where it is not."""

import numpy as np

from dexhot.geometry.boxes import window
from dexhot.perception import mask_kernels as kernels

LEAST_SPREAD, MOST_SPREAD = 0.008, 0.015  # of chromaticity: more is not skin alone, but what is seen beside it
APART, MOSTLY = 6, 0.5  # px from the object's outline from which a hand is not the object; fraction of its core that is
# there where skin is learned from it
MEMORY = 0.9  # of what was learned before
KNOWN = 8.0  # deviations of chromaticity from the remembered skin up to which a pixel may be skin: light changes
FEW = 20  # pixels that say what skin is


class SkinColour:
    """Of one person in one video, as fractions of red and green in a colour."""

    def __init__(self) -> None:
        self.middle, self.spread = np.zeros(2), np.zeros(2)
        self.thing: np.ndarray | None = None  # (H, W) bool, about the object, where it was seen last

    def beside(self, outline: np.ndarray | None) -> None:
        """Where the object is, seen or hidden (H, W); None where that is not surely known."""
        self.thing = None if outline is None else outline.copy()
        if self.thing is not None and self.thing.any():
            box = window(self.thing, APART)
            self.thing[box] = kernels.dilate(self.thing[box], APART, True)

    def within(self, color: np.ndarray, core: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
        """What of a hand's core is skin, and not something that lies before it; color (h, w, 3) and core (h, w) of this
        part of the image. All of the core as long as too little is known."""
        if self.thing is not None:
            away = core & ~self.thing[part]
            if away.sum() > max(FEW, MOSTLY * core.sum()):
                keep = MEMORY if self.spread.any() else 0.0
                for kept, now in zip((self.middle, self.spread), skin_of(color[away])):
                    kept += (1.0 - keep) * (now - kept)
        if not self.spread.any():
            return core
        its = kernels.alike(color, self.middle, self.spread, KNOWN, core)
        return its if its.sum() > FEW else core


def skin_of(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) -> (2,) median chromaticity, and (2,) its robust standard deviation."""
    total = colors.sum(-1, keepdims=True, dtype=np.float32) + 1
    chroma = colors[:, :2] / total
    middle = np.median(chroma, axis=0)
    return middle, np.clip(1.4826 * np.median(np.abs(chroma - middle), axis=0), LEAST_SPREAD, MOST_SPREAD)
