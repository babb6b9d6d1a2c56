"""Masks of one clip's images that do not come from keypoints and depth: a segmenter's, or known ones."""

from collections.abc import Iterable, Sequence

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.errors import DexhotError
from dexhot.geometry.boxes import box_around
from dexhot.perception.prompts import NAMES, Prompts
from dexhot.perception.protocols import HandSighting, Segmenter

SIDES = ("right", "left")


class PromptedMasks:
    """A segmenter: started in the first image by prompts, and by the hands seen in it, then followed."""

    def __init__(self, segmenter: Segmenter, prompts: Prompts):
        self.segmenter, self.prompts = segmenter, prompts
        self.names: tuple[str, ...] = ()  # of what it follows
        self.started = False

    @property
    def first(self) -> bool:
        """Whether the next image's masks can be had before the keypoints are known."""
        return self.started or any(side in self.prompts for side in SIDES)

    def __call__(self, color: np.ndarray, hands: Sequence[HandSighting] = ()) -> dict[str, np.ndarray]:
        """(H, W) bool by name, of the next image. Raises DexhotError where the segmenter's size is another."""
        if self.started:
            labels = self.segmenter.follow(color)
        else:
            marked = {hand.side: _box_inside(hand.pixels, color) for hand in hands} | self.prompts
            self.names, self.started = tuple(marked), True
            labels = self.segmenter.start(color, {LABELS[name]: where for name, where in marked.items()})
        if labels.shape != color.shape[:2]:
            raise DexhotError(f"the segmenter gives masks of {labels.shape} for an image of {color.shape[:2]} pixels.")
        return {name: labels == LABELS[name] for name in self.names}


class KnownMasks:
    """Masks (T, H, W) uint8 of all images, such as a dataset's."""

    first = True

    def __init__(self, labels: np.ndarray, names: Iterable[str] = NAMES):
        self.labels, self.names, self.number = labels, tuple(names), 0

    def __call__(self, color: np.ndarray, hands: Sequence[HandSighting] = ()) -> dict[str, np.ndarray]:
        """(H, W) bool by name, of the next image."""
        labels = self.labels[self.number]
        self.number += 1
        return {name: labels == LABELS[name] for name in self.names}


def _box_inside(pixels: np.ndarray, color: np.ndarray) -> np.ndarray:
    """(4,) px around keypoints, as far as it is in the image."""
    height, width = color.shape[:2]
    found: np.ndarray = np.clip(box_around(pixels), 0, [width - 1, height - 1] * 2)
    return found
