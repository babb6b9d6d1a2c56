"""Masks of images that do not come from keypoints and depth: a segmenter's, in a clip or live, or known ones."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.errors import DexhotError
from dexhot.geometry.boxes import box_around, box_of, overlaps
from dexhot.perception.prompts import NAMES, Prompts
from dexhot.perception.protocols import HandSighting, Segmenter

SIDES = ("right", "left")
AGAIN = 30  # images between starts of a live segmenter


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
            marked = {hand.side: box_inside(hand.pixels, color) for hand in hands} | self.prompts
            self.names, self.started = tuple(marked), True
            labels = self.segmenter.start(color, {LABELS[name]: where for name, where in marked.items()})
        return _by_name(labels, color, self.names)


class LiveMasks:
    """A segmenter before a live camera, where hands and object come and go: it is started anew, at most every AGAIN
    images, with boxes of all that is known, when a hand or the object is seen where it follows none."""

    def __init__(self, segmenter: Segmenter, prompts: Prompts):
        """`prompts`: of the first image alone."""
        self.segmenter, self.prompts = segmenter, dict(prompts)
        self.names: tuple[str, ...] = ()  # of what it follows
        self.left = 0  # images before it may be started

    @property
    def ready(self) -> bool:
        """Whether it may be started anew in this image."""
        return self.left <= 0

    def follow(self, color: np.ndarray) -> dict[str, np.ndarray]:
        """(H, W) bool by name, of the next image: what it follows and sees. Raises DexhotError as PromptedMasks."""
        self.left -= 1
        return _seen(_by_name(self.segmenter.follow(color), color, self.names)) if self.names else {}

    def mark(
        self, color: np.ndarray, masks: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """`masks` as followed in this image, or those of a new start with what is `seen` in it: its boxes (4,) px."""
        known = {name: box_of(mask) for name, mask in masks.items()}
        new = {name: box for name, box in seen.items() if name not in known or not overlaps(known[name][None], box)[0]}
        new |= self.prompts
        if not new or not self.ready:
            return masks
        where = known | new
        self.names, self.left, self.prompts = tuple(where), AGAIN, {}
        labels = self.segmenter.start(color, {LABELS[name]: place for name, place in where.items()})
        return _seen(_by_name(labels, color, self.names))


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


def _by_name(labels: np.ndarray, color: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    """(H, W) bool by name, of a segmenter's labels. Raises DexhotError where their size is not the image's."""
    if labels.shape != color.shape[:2]:
        raise DexhotError(f"the segmenter gives masks of {labels.shape} for an image of {color.shape[:2]} pixels.")
    return {name: labels == LABELS[name] for name in names}


def _seen(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without what is not in the image."""
    return {name: mask for name, mask in masks.items() if mask.any()}


def box_inside(pixels: np.ndarray, color: np.ndarray) -> np.ndarray:
    """(4,) px around keypoints, as far as it is in the image."""
    height, width = color.shape[:2]
    found: np.ndarray = np.clip(box_around(pixels), 0, [width - 1, height - 1] * 2)
    return found
