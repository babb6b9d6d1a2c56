"""A hand of known size, fitted to each image of a live camera with depth: teleoperation's keypoints.

A detector's keypoints lie on the visible skin, and those that another finger hides lie on that finger: they are off by
up to 8 cm along the line of sight. A hand of the operator's palm length, fitted to depth, mask and pixels together, has
its palm within some millimetres.
"""

from time import monotonic

import numpy as np

from dexhot.fitting.frames import Frame
from dexhot.fitting.recipe import live_recipe
from dexhot.fitting.tracker import HandObjectTracker
from dexhot.geometry.cameras import Intrinsics
from dexhot.humans.open_hand import open_hand

FORGOTTEN = 0.3  # s without the hand after which it is a new one; the time that its last fit took does not count


class SizedHand:
    """Call it with each image in which the hand of `side` was found."""

    def __init__(self, camera: Intrinsics, side: str, palm_length: float, recipe: str = "default"):
        """`palm_length`: wrist to the middle finger's knuckle, m."""
        self.camera, self.person, self.palm_length = camera, open_hand(side), palm_length
        self.recipe = live_recipe(recipe)
        self.tracker: HandObjectTracker | None = None
        self.last = -np.inf  # s, of the last image
        self.took = 0.0  # s, its fit

    def __call__(
        self,
        stamp: float,
        depth: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        relative_depth: np.ndarray | None = None,
    ) -> np.ndarray:
        """depth (H, W) mm, labels (H, W), rows (21, 6) x y z u v confidence -> the same with the fitted hand's places;
        the confidence is at most the fraction of the evidence that the fit explains. relative_depth (21,) px."""
        # A start takes many times as long as a step: on a slow machine each one would outlast FORGOTTEN itself.
        if self.tracker is None or not 0.0 < stamp - self.last <= FORGOTTEN + self.took:
            self.tracker = HandObjectTracker(self.person, None, self.camera, self.recipe, palm_length=self.palm_length)
        self.last, begin = stamp, monotonic()
        confidence = np.nan_to_num(rows[:, 5])
        frame = Frame(stamp, depth, labels, rows[:, 3:5], confidence, relative_depth=relative_depth)
        fitted = self.tracker.step(frame)
        self.took = monotonic() - begin
        out = rows.copy()
        if fitted is None:
            out[:, 5] = 0.0
            return out
        out[:, :3] = fitted.keypoints
        out[:, 5] = np.minimum(confidence, 0.0 if fitted.hand_lost else fitted.hand_score)
        return out
