"""Sets of real hand poses without objects or time, and the two measures by which one is found in them: the viewpoint,
and the joints aligned by the palm and divided by its size (residual hand agent, III-C).

Read from GRAB's and DexYCB's clips in the cache here; bighand.py and fphab.py read theirs.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dexhot.data.keypoints import INDEX_MCP, LITTLE_MCP, MIDDLE_MCP, TIPS, WRIST, wrist_axes
from dexhot.datasets.library import GET, clip_names, load_clip
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.geometry.cameras import Intrinsics

# BigHand2.2M and F-PHAB have wrist, five knuckles, then three joints of each finger -> MediaPipe's order
PUBLISHED_ORDER = np.array([0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20])
KNUCKLES = (INDEX_MCP, MIDDLE_MCP, 13, LITTLE_MCP)
MIRROR = np.array([-1.0, 1.0, 1.0])  # the picture's left and right, in the optical frame


@dataclass(frozen=True)
class HandPoses:
    """N poses of right hands; left ones are mirrored."""

    name: str
    keypoints: np.ndarray  # (N, 21, 3) m, in the optical frame; in any frame if not `viewed`
    viewed: bool  # seen by a camera, so that viewpoints mean something
    images: tuple[Path, ...] = ()  # N, or none
    camera: Intrinsics | None = None  # of the images, mirrored with them
    mirrored: bool = False  # the images show left hands
    colour: bool = True  # else depth, which a colour estimator cannot read

    def __post_init__(self) -> None:
        if self.keypoints.ndim != 3 or self.keypoints.shape[1:] != (21, 3) or not len(self.keypoints):
            raise FileFormatError(f"{self.name}: hand poses are (N, 21, 3), not {self.keypoints.shape}.")
        if not np.isfinite(self.keypoints).all():
            bad = int(np.flatnonzero(~np.isfinite(self.keypoints).all(axis=(1, 2)))[0])
            raise FileFormatError(f"{self.name}: pose {bad} has a keypoint that is not finite; leave it out.")
        if self.images and len(self.images) != len(self.keypoints):
            raise FileFormatError(f"{self.name}: {len(self.images)} images for {len(self.keypoints)} poses.")


def palm_size(keypoints: np.ndarray) -> np.ndarray:
    """(...,) m: mean distance from the wrist to the four knuckles of keypoints (..., 21, 3)."""
    bones = keypoints[..., KNUCKLES, :] - keypoints[..., [WRIST], :]
    size: np.ndarray = np.linalg.norm(bones, axis=-1).mean(axis=-1)
    return size


def palm_normalised(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints (..., 21, 3) relative to the wrist, in the palm's axes, divided by the palm's size."""
    axes = wrist_axes(keypoints, "right")
    relative = (keypoints - keypoints[..., [WRIST], :]) @ axes
    normalised: np.ndarray = relative / palm_size(keypoints)[..., None, None]
    return normalised


def viewpoints(keypoints: np.ndarray) -> np.ndarray:
    """(..., 3) unit vectors from the wrist to the camera, in the palm's axes, of keypoints (..., 21, 3) in its frame. A
    turn of the picture in its plane does not change them."""
    wrist = keypoints[..., WRIST, :]
    toward = -wrist / np.linalg.norm(wrist, axis=-1, keepdims=True)
    seen: np.ndarray = np.einsum("...ji,...j->...i", wrist_axes(keypoints, "right"), toward)
    return seen


def as_right(poses: HandPoses) -> HandPoses:
    """The same set as right hands: where fingers bend to the back of a right hand, they are those of left ones."""
    shape = palm_normalised(poses.keypoints)
    bend = shape[:, list(TIPS[1:]), 2].mean(axis=1) - shape[:, list(KNUCKLES), 2].mean(axis=1)
    if np.median(bend) <= 0.0:
        return poses
    camera = poses.camera
    if camera is not None:
        camera = replace(camera, cx=camera.width - 1 - camera.cx)
    return replace(poses, keypoints=poses.keypoints * MIRROR, camera=camera, mirrored=not poses.mirrored)


def grab_poses() -> HandPoses:
    """The right hands of all GRAB clips in the cache, each frame one pose; no camera saw them.

    Raises NotFoundError without clips.
    """
    return _of_clips("grab")


def dexycb_poses() -> HandPoses:
    """The hands of DexYCB's grasps in the cache, as imported by `dexhot datasets get dexycb`: left ones mirrored.

    Raises NotFoundError without clips.
    """
    return _of_clips("dexycb")


def _of_clips(dataset: str) -> HandPoses:
    names = clip_names(dataset)
    if not names:
        raise NotFoundError("dataset in the cache", dataset, (), GET)
    rows = []
    for name in names:
        hands = load_clip(name).hands
        rows += [hands["right"].keypoints] if "right" in hands else []
        rows += [hands["left"].keypoints * MIRROR] if dataset != "grab" and "left" in hands else []
    return HandPoses(dataset, np.concatenate(rows), viewed=False)
