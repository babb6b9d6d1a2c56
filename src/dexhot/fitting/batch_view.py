"""What was seen in many frames, as the terms of gradient descent take it: masks in a window, keypoints, clouds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.fitting.viewpoint import Viewpoint
from dexhot.fitting.views import RecordedView
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.raster.channels import CHANNELS

MARGIN = 0.15  # of the window's longer side, around everything that was seen


@dataclass
class BatchView:
    """T frames, or one that serves all samples."""

    camera: Intrinsics  # of the full image
    small: Intrinsics  # of the window in which masks are compared
    masks: np.ndarray  # (T, h, w, 4) float32: fraction of each pixel by label, in the order of geometry/raster
    images: np.ndarray  # (T, h, w, 3) float32 in [0, 1]
    pixels: dict[str, np.ndarray]  # (T, 21, 2) px by side, 0 where unseen
    confidence: dict[str, np.ndarray]  # (T, 21), 0 where unseen
    clouds: dict[str, list[np.ndarray]] = field(default_factory=dict)  # T of (N, 3) m by side or "object"
    at: Viewpoint | None = None  # of a camera beside the first; None: the first one

    def __len__(self) -> int:
        return len(self.masks)

    def frame(self, t: int) -> "BatchView":
        """One frame alone."""
        one = slice(t, t + 1)
        return replace(
            self,
            masks=self.masks[one],
            images=self.images[one],
            pixels={side: x[one] for side, x in self.pixels.items()},
            confidence={side: x[one] for side, x in self.confidence.items()},
            clouds={name: x[one] for name, x in self.clouds.items()},
        )

    def cloud(self, name: str, b: int) -> np.ndarray:
        """(N, 3) m, of a side or "object" in sample b."""
        clouds = self.clouds[name]
        return clouds[min(b, len(clouds) - 1)]

    def boxes(self, name: str) -> np.ndarray:
        """(T, 4) x0 y0 x1 y1 px of the window around a label's pixels; NaN where there are none."""
        covered: Any = np.asarray(self.masks[..., CHANNELS[name]] > 0.5)
        found = np.full((len(covered), 4), np.nan)
        for t, mask in enumerate(covered):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if len(rows):
                found[t] = columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5
        return found


def coverage_overlap(drawn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(B,) intersection over union of masks (B, H, W) or (1, H, W), each pixel the fraction that is covered."""
    union = np.maximum(drawn, seen).sum(axis=(1, 2))
    found: np.ndarray = np.minimum(drawn, seen).sum(axis=(1, 2)) / np.maximum(union, 1e-9)
    return found


def views_of(
    sights: Sequence[RecordedView], sides: list[str], pixels: int, around: Sequence[str] = ()
) -> list[BatchView]:
    """Of every camera (`view_of`)."""
    views = [view_of(one.recording, one.evidence, sides, pixels, around) for one in sights]
    for view, one in zip(views[1:], sights[1:]):
        view.at = one.at
    return views


def view_of(
    recording: Recording, evidence: Evidence, sides: list[str], pixels: int, around: Sequence[str] = ()
) -> BatchView:
    """Frames without their depth, in a window around some labels (by default those of all sides and of the object),
    at most `pixels` wide and high: around the object alone it shows more of its outline."""
    camera, labels = recording.intrinsics, evidence.labels
    wanted: Any = np.isin(labels, [LABELS[name] for name in around or (*sides, "object")]).any(axis=0)
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    if not len(rows):
        rows, columns = np.array([0, camera.height - 1]), np.array([0, camera.width - 1])
    gap = int(MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    y0, y1 = max(rows[0] - gap, 0), min(rows[-1] + gap + 1, camera.height)
    x0, x1 = max(columns[0] - gap, 0), min(columns[-1] + gap + 1, camera.width)
    thin = max(1, int(np.ceil(max(y1 - y0, x1 - x0) / pixels)))
    h, w = int(y1 - y0) // thin, int(x1 - x0) // thin
    cut = (slice(None), slice(y0, y0 + h * thin), slice(x0, x0 + w * thin))
    small = camera.cropped(x0, y0, w * thin, h * thin).averaged(thin)
    blocks = labels[cut].reshape(len(labels), h, thin, w, thin)
    masks = np.zeros((len(labels), h, w, 4), np.float32)
    for name, channel in CHANNELS.items():
        masks[..., channel] = (blocks == LABELS[name]).mean(axis=(2, 4))
    masks[..., 0] = 1.0 - masks[..., 1:].sum(axis=-1)
    images = recording.color[cut].reshape(len(labels), h, thin, w, thin, 3).mean(axis=(2, 4)) / 255.0
    seen = {side: evidence.keypoints[side] for side in sides if side in evidence.keypoints}
    known = {side: np.isfinite(x[..., 3:5]).all(axis=-1) for side, x in seen.items()}
    return BatchView(
        camera,
        small,
        masks,
        images.astype(np.float32),
        {side: np.where(known[side][..., None], x[..., 3:5], 0.0) for side, x in seen.items()},
        {side: np.where(known[side], np.nan_to_num(x[..., 5]), 0.0) for side, x in seen.items()},
    )
