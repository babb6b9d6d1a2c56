"""Which colours are an object's: histograms of the object and of what is around it, which follow the light.

Bayes' rule on 16^3 colour histograms, as region-based trackers use it (PWP3D, RBOT).
"""

import numpy as np

BINS = 4096
MEMORY = 0.9  # of the histograms, at each learning
DISTINCT = 0.35  # overlap of the two histograms up to which colour says where the object is
UNKNOWN = 1e-4  # fraction of pixels below which a colour says nothing
ITS, NOT_ITS = 0.6, 0.3  # probabilities above which a pixel is the object's, and below which it is not
LEAST = 60  # pixels of the object that are learned from


class Appearance:
    """Of one object in one video."""

    def __init__(self) -> None:
        self.object, self.around = np.zeros(BINS), np.zeros(BINS)  # fractions of pixels

    def learn(self, color: np.ndarray, mask: np.ndarray) -> None:
        """From an image (H, W, 3) whose object pixels are `mask`, and the ring around it."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows) or mask.sum() < LEAST:
            return
        high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        box = (
            slice(max(rows[0] - high // 2, 0), rows[-1] + high // 2),
            slice(max(columns[0] - wide // 2, 0), columns[-1] + wide // 2),
        )
        bins, inside = binned(color[box]), mask[box]
        keep = MEMORY if self.object.any() else 0.0
        for histogram, there in ((self.object, inside), (self.around, ~inside)):
            counts = np.bincount(bins[there], minlength=BINS) / max(there.sum(), 1)
            histogram += (1 - keep) * (counts - histogram)

    @property
    def distinct(self) -> bool:
        """Whether the object's colours are others than those around it."""
        return bool(self.object.any()) and float(np.minimum(self.object, self.around).sum()) < DISTINCT

    def probability(self, color: np.ndarray) -> np.ndarray:
        """(H, W, 3) -> (H, W) that a pixel is the object's; a half where its colour is new."""
        table = (self.object + UNKNOWN) / (self.object + self.around + 2 * UNKNOWN)
        found: np.ndarray = table[binned(color)]
        return found

    def match(self, color: np.ndarray, mask: np.ndarray) -> float:
        """Fraction of a mask's pixels whose colour is the object's; 1 while nothing is known of it."""
        if not self.distinct or not mask.any():
            return 1.0
        return float((self.object[binned(color[mask])] > UNKNOWN).mean())


def binned(color: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) numbers of 16 levels each of red, green and blue."""
    levels = (color >> 4).astype(np.int32)
    found: np.ndarray = levels[..., 0] << 8 | levels[..., 1] << 4 | levels[..., 2]
    return found
