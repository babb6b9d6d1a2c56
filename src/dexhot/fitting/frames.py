"""One frame as it was seen: images and keypoints, made into clouds, thinned labels and distances for the terms."""

from dataclasses import dataclass, replace

import numpy as np

from dexhot.data.keypoints import ACROSS, BONES, estimated
from dexhot.data.labels import LABELS, OBJECT
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import ClipError
from dexhot.fitting import kernels
from dexhot.fitting.scene_terms import FrameView
from dexhot.geometry.cameras import Intrinsics, project_pinhole
from dexhot.geometry.planes import ABOVE, Plane

SMALL_WIDTH = 160  # px, of the image in which masks are compared
ARM = 0.026  # m from the hand's bones beyond which pixels of its mask are the forearm's
BONE_STARTS, BONE_ENDS = np.array([*BONES, *ACROSS]).T
PATCH = 3  # px around a keypoint in which its depth is measured


@dataclass
class Frame:
    """What was seen at one moment. Depth is in mm, 0 where unknown; keypoints are in pixels of the same image."""

    time: float  # s
    depth: np.ndarray  # (H, W) uint16
    labels: np.ndarray  # (H, W) uint8, those of Evidence
    pixels: np.ndarray  # (21, 2)
    confidence: np.ndarray  # (21,)
    object_pose: np.ndarray | None = None  # (7,) camera_T_mesh
    relative_depth: np.ndarray | None = None  # (21,) px, of the keypoints from the wrist; None: not estimated
    others: tuple["Frame", ...] = ()  # the same moment by the other cameras


def frames_of(recording: Recording, evidence: Evidence, side: str, with_pose: bool = True) -> list[Frame]:
    """What was seen, frame by frame; `with_pose` False: without the object poses of an estimator.

    Raises ClipError where recording and evidence are not of the same frames, or no hand of that side was looked for.
    """
    check_evidence(recording, evidence)
    if side not in evidence.keypoints:
        raise ClipError(
            f"{evidence.name} has no keypoints of a {side} hand, only of {', '.join(evidence.keypoints) or 'none'}."
        )
    seen, relative = evidence.keypoints[side], evidence.relative_depth.get(side)
    return [
        Frame(
            float(recording.time[t]),
            recording.depth[t],
            evidence.labels[t],
            seen[t, :, 3:5],
            np.nan_to_num(seen[t, :, 5]),
            evidence.object_pose[t] if with_pose else None,
            estimated(relative[t]) if relative is not None else None,
        )
        for t in range(len(recording.time))
    ]


def check_evidence(recording: Recording, evidence: Evidence) -> None:
    """Raise ClipError where recording and evidence are not of the same frames."""
    size, seen = recording.depth.shape, evidence.labels.shape
    of_part = seen[0] != size[0] and seen[1:] == size[1:]
    if of_part and np.isin(evidence.time.round(3), recording.time.round(3)).all():
        raise ClipError(
            f"the evidence {evidence.name} has {seen[0]} of the {size[0]} frames of the recording {recording.name}: "
            "run `dexhot perceive` on all of them (without --start, --count)."
        )
    why = ""
    if seen != size:
        why = f"labels {seen} for depth images {size}"
    elif (apart := np.abs(evidence.time - recording.time).max()) > 1e-3:
        why = f"their stamps differ by up to {apart:.3g} s"
    if why:
        raise ClipError(
            f"the evidence {evidence.name} is not of the recording {recording.name}: {why}. Run `dexhot perceive` on "
            "this recording."
        )


def thinning(camera: Intrinsics) -> int:
    """Every how manyth pixel masks are compared at."""
    return max(1, round(camera.width / SMALL_WIDTH))


def frame_view(
    frame: Frame,
    side: str,
    camera: np.ndarray,
    thin: int,
    predicted: np.ndarray | None,
    hand_points: int,
    object_points: int,
    table: Plane | None = None,
) -> FrameView:
    """The frame as the terms take it, with the pixels behind the wrist left out.

    `predicted` (21, 3) m: where the keypoints are expected that are not seen. At most so many points of each cloud.
    Where the hand's mask shows the `table`'s depth, the camera has filled in what it could not measure.
    """
    own = LABELS[side]
    if table is not None:
        frame = replace(frame, depth=frame.depth.copy())
        kernels.clear_low(frame.depth, frame.labels, own, camera, table.row, ABOVE)
    labels = kernels.thinned_labels(frame.labels, thin, own)
    confidence = np.where(np.isfinite(frame.pixels).all(axis=1), np.nan_to_num(frame.confidence), 0.0)
    pixels = np.nan_to_num(frame.pixels)
    bones = bone_points(pixels, confidence, predicted, camera)
    step = max(1, thin // 2)
    hand = kernels.cloud(frame.labels, frame.depth, own, step, camera, bones, ARM)
    thing = kernels.cloud(frame.labels, frame.depth, OBJECT, step, camera, np.zeros((0, 2)), 0.0)
    distances, nowhere = kernels.distance_image(labels == 0), np.zeros(labels.shape)
    return FrameView(
        camera,
        camera / thin,
        labels,
        some(hand, hand_points),
        some(thing, object_points),
        distances if (labels == kernels.OWN).any() else nowhere,
        distances if (labels == OBJECT).any() else nowhere,
        pixels,
        confidence,
        depth_at(frame, pixels, confidence, own),
        nearest_depth(frame.depth, thin),
        None if table is None else np.append(table.n, -table.d),
        relative_depth=frame.relative_depth,
    )


def some(points: np.ndarray, count: int) -> np.ndarray:
    """At most `count` points, evenly taken."""
    if len(points) <= count:
        return points
    chosen: np.ndarray = points[np.linspace(0, len(points) - 1, count).astype(int)]
    return chosen


def bone_points(
    pixels: np.ndarray, confidence: np.ndarray, predicted: np.ndarray | None, camera: np.ndarray
) -> np.ndarray:
    """(K, 2) px: keypoints and middles of bones, as seen, else as predicted; without the wrist."""
    points, known = pixels, confidence > 0
    if predicted is not None:
        expected = project_pinhole(predicted, camera)
        points, known = np.where(known[:, None], pixels, expected), np.ones(21, bool)
    middles = 0.5 * (points[BONE_STARTS] + points[BONE_ENDS])
    both = known[BONE_STARTS] & known[BONE_ENDS]
    return np.concatenate([points[1:][known[1:]], middles[both]])


def depth_at(frame: Frame, pixels: np.ndarray, confidence: np.ndarray, label: int) -> np.ndarray:
    """(21,) median depth of a label around each keypoint, m; 0 where there is too little."""
    found = kernels.patch_medians(frame.depth, frame.labels, label, pixels, PATCH, PATCH + 1)
    return np.where(confidence > 0, found, 0.0)


def nearest_depth(depth: np.ndarray, step: int) -> np.ndarray:
    """(h, w) m: the nearest depth (H, W) mm around every `step`-th pixel, 0 where none was measured. What lies before
    it lies before all that was measured there: edges and single wrong pixels raise no doubt."""
    farther = depth.astype(np.uint16) - np.uint16(1)  # unknown, 0, becomes the farthest
    least = _least_around(np.ascontiguousarray(_least_around(farther, step).T), step).T
    return np.ascontiguousarray(1e-3 * (least + np.uint16(1)))


def _least_around(values: np.ndarray, step: int) -> np.ndarray:
    """(h, ...) the least of (H, ...) within half a step of every `step`-th row."""
    out = values[::step].copy()
    for off in range(-(step // 2), step // 2 + 1):
        first = 1 if off < 0 else 0
        others = values[first * step + off :: step][: len(out) - first]
        np.minimum(out[first : first + len(others)], others, out=out[first : first + len(others)])
    return out
