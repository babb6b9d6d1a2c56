"""Hands by an estimator that needs each hand's box (HandInBox): the box of its mask or prompt, else of its keypoints in
the image before; another estimator starts it."""

from dataclasses import dataclass

import numpy as np

from dexhot.geometry.boxes import box_around
from dexhot.perception.hand_landmarks import SAME, SEARCH
from dexhot.perception.protocols import HandInBox, HandKeypoints, HandSighting

LEAST = 0.3  # mean confidence of keypoints below which there is no hand in the box


@dataclass
class BoxedHands:
    """Follows one hand of each side (BoxedHandKeypoints). `start`: finds hands that have no box yet, in any image."""

    in_box: HandInBox
    start: HandKeypoints | None = None

    def __post_init__(self) -> None:
        self.boxes: dict[str, np.ndarray] = {}
        self.tracks: dict[str, HandSighting] = {}
        self.number = 0

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        """The hands in the next image."""
        known = {side: box for side, box in self.boxes.items() if np.isfinite(box).all()}
        wanted = {side: (box, 0.0 if side == "left" else 1.0) for side, box in known.items()}
        for side, last in self.tracks.items():
            if side not in self.boxes:
                wanted[side] = box_around(last.pixels), last.right_score
        found = self._look(color, wanted, {})
        if self.start is not None and (not found or (len(found) < 2 and self.number % SEARCH == 0)):
            new = {h.side: (box_around(h.pixels), h.right_score) for h in self.start(color) if h.side not in self.boxes}
            found |= self._look(color, {side: row for side, row in new.items() if side not in found}, found)
        self.boxes, self.tracks, self.number = {}, found, self.number + 1
        return list(found.values())

    def _look(
        self, color: np.ndarray, wanted: dict[str, tuple[np.ndarray, float]], others: dict[str, HandSighting]
    ) -> dict[str, HandSighting]:
        """Hands in boxes by side; of two sides that are one hand, the first."""
        found: dict[str, HandSighting] = {}
        for side, (box, right) in wanted.items():
            pixels, confidence = self.in_box(color, box)
            score = float(np.clip(confidence, 0.0, 1.0).mean())
            there = [*found.values(), *others.values()]
            size = float(np.ptp(pixels, axis=0).max())
            taken = any(np.linalg.norm(pixels.mean(0) - one.pixels.mean(0)) < SAME * size for one in there)
            if score >= LEAST and not taken:
                found[side] = HandSighting(side, pixels, score, right)
        return found
