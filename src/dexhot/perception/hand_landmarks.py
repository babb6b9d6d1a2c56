"""Keypoints of one or two hands by MediaPipe's hand models under LiteRT (extra `perception`).

The palm detector only starts a track and restarts a lost one, in the whole image or closer; the landmark model's crop
comes from the keypoints of the image before. Geometry of crops, anchors and thresholds: the models' published graph
options (Apache-2.0).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexhot.data.keypoints import OTHER_SIDE
from dexhot.errors import MissingExtraError
from dexhot.geometry.boxes import overlaps
from dexhot.perception.images import crop
from dexhot.perception.protocols import HandSighting
from dexhot.perception.quiet import without_lines
from dexhot.perception.weights import LANDMARK_MODEL, PALM_MODEL, hand_landmark_file

PALM, LANDMARK = 192, 224  # px, input sides
ALONG = 0.4  # scale of the landmark model's z beside its x and y: the published graph divides by it (normalize_z)
PALM_FOUND, HAND_THERE = 0.5, 0.5  # scores
OVERLAP = 0.3  # IoU above which two palms are one
PALM_POINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # keypoints whose box makes the next crop
SAME = 0.5  # of a hand's size: two tracks nearer than this follow one hand
SEARCH = 10  # images between looks for a second hand
TILE, AROUND = 0.625, 2.0  # sides of the squares that are looked into when the whole image shows no hand: of the longer
# side of the image; of the last crop, about where a hand was last seen
POOLED = "global_average_pooling2d/Mean"  # the tensor before the landmark model's last layers
FAINT = 0.9  # a track's memory of its side from image to image
BOXED, ANGLES = 1.5, 8  # of a hand's box: side of the crop in which it is looked for; turns of that crop
INSIDE = 0.5  # fraction of the keypoints that lie in a hand's box


@dataclass(frozen=True)
class Crop:
    """A turned square in an image, px and rad; the fingers point up in it."""

    centre: np.ndarray
    size: float
    angle: float


@dataclass
class FollowedHand:
    """One followed hand."""

    crop: Crop
    right: float  # mean score of being a right hand
    side: str = ""  # if somebody else knows it


Looked = tuple[np.ndarray, np.ndarray, float, float]  # keypoints, their depth, scores of a hand and of a right one


class LandmarkHands:
    """Follows up to `count` hands (BoxedHandKeypoints). Raises MissingExtraError, or FileFormatError without the
    models."""

    def __init__(self, count: int = 1):
        self.palm, self.landmark = _interpreter(PALM_MODEL), _interpreter(LANDMARK_MODEL)
        self.count, self.anchors, self.number = count, anchors(), 0
        self.tracks: list[FollowedHand] = []
        self.last: Crop | None = None  # of a hand that was followed
        self.boxes: dict[str, np.ndarray] = {}

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        """The hands in the next image; a side is given once at most, to the surer of two."""
        found: list[tuple[FollowedHand, HandSighting]] = []
        for side, box in self.boxes.items():
            if np.isfinite(box).all():
                self._add(found, color, *self._in_box(color, side, box))
        for track in self.tracks:
            if track.side not in self.boxes:
                self._add(found, color, track)
        if not found or (len(found) < self.count and self.number % SEARCH == 0):
            self._start(found, color, *whole(color))
        for square in () if found else self._closer(color):
            self._start(found, color, *square)
        self.boxes, self.number = {}, self.number + 1
        self.tracks = [track for track, _ in found]
        self.last = self.tracks[0].crop if self.tracks else self.last
        return _distinct([sighting for _, sighting in found], [track.side for track in self.tracks])

    def _in_box(self, color: np.ndarray, side: str, box: np.ndarray) -> tuple[FollowedHand, Looked]:
        """The hand whose box is known: in the crop of its track if that hand is in the box, else in a turned crop of
        the box, whichever shows a hand best, once refined."""
        last = next((track for track in self.tracks if track.side == side), None)
        if last is not None and _inside((seen := self.look(color, last.crop))[0], box):
            return last, seen
        middle, size = (box[:2] + box[2:]) / 2, BOXED * float(max((box[2:] - box[:2]).max(), 1.0))
        crops = [Crop(middle, size, angle) for angle in 2 * np.pi * np.arange(ANGLES) / ANGLES]
        pixels, _, _, right = max((self.look(color, one) for one in crops), key=lambda seen: seen[2])
        track = FollowedHand(next_crop(pixels), right, side)
        return track, self.look(color, track.crop)

    def _add(
        self,
        found: list[tuple[FollowedHand, HandSighting]],
        color: np.ndarray,
        track: FollowedHand,
        seen: Looked | None = None,
    ) -> None:
        """Look into a track's crop, unless that is what was `seen`; keep it if there is a hand that no other track
        has."""
        pixels, z, there, right = seen or self.look(color, track.crop)
        centre, size = pixels.mean(0), np.ptp(pixels, axis=0).max()
        taken = any(np.linalg.norm(centre - s.pixels.mean(0)) < SAME * size for _, s in found)
        if there < HAND_THERE or taken:
            return
        known = right if np.isnan(track.right) else FAINT * track.right + (1 - FAINT) * right
        side = track.side or ("right" if known > 0.5 else "left")
        sighting = HandSighting(side, pixels, there, known, z - z[0])
        found.append((FollowedHand(next_crop(pixels), known, track.side), sighting))

    def _start(
        self, found: list[tuple[FollowedHand, HandSighting]], color: np.ndarray, middle: np.ndarray, side: float
    ) -> None:
        """Look for hands that are not followed yet in a square of the image."""
        for start in self.detect(color, middle, side):
            if len(found) < self.count:
                self._add(found, color, FollowedHand(start, np.nan))

    def _closer(self, color: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
        """Middles and sides px of squares that show a hand larger than the whole image does: about where one was last
        seen, and one corner of the image after the other in turn. The palm detector's picture is small: of hands of a
        tenth of the image, or blurred ones, it finds in the whole image one in five, in all corners nine in ten."""
        if self.last is not None:
            yield self.last.centre, AROUND * self.last.size
        middle, longest = whole(color)
        side = TILE * longest
        corner = np.array([self.number % 2, self.number // 2 % 2])
        yield middle + (corner - 0.5) * np.maximum(2 * middle + 1 - side, 0.0), side

    def detect(self, color: np.ndarray, middle: np.ndarray, side: float) -> list[Crop]:
        """Crops of hands by their palms in a square of the image, the surest first."""
        step = max(1, int(side) // 640)
        shrunk = color[::step, ::step]  # less aliasing than from the full image
        ratio = color.shape[1] / shrunk.shape[1]
        x = crop(shrunk, middle / ratio, side / ratio, 0.0, PALM)
        out = _run(self.palm, x)
        score = 1 / (1 + np.exp(-np.clip(out["Identity_1"][0, :, 0], -100, 100)))
        raw = out["Identity"][0]
        centres, sizes = raw[:, :2] / PALM + self.anchors, raw[:, 2:4] / PALM
        points = raw[:, 4:].reshape(-1, 7, 2) / PALM + self.anchors[:, None]
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
        left = np.flatnonzero(score > PALM_FOUND)
        found = []
        while len(left):
            best = left[score[left].argmax()]
            same = overlaps(boxes[left], boxes[best]) > OVERLAP
            weight = score[left[same]] / score[left[same]].sum()
            merged, keypoints = weight @ centres[left[same]], np.tensordot(weight, points[left[same]], 1)
            extent = side * float((weight @ sizes[left[same]]).max())
            origin = middle - 0.5 * side
            wrist, knuckle = origin + side * keypoints[0], origin + side * keypoints[2]
            found.append(_upright(origin + side * merged, extent, wrist, knuckle, grow=2.6, shift=0.5))
            left = left[~same]
        return found

    def look(self, color: np.ndarray, where: Crop) -> Looked:
        """Keypoints (21, 2) px, their depth (21,) in px, the hand's score and its being a right one."""
        out = _run(self.landmark, crop(color, where.centre, where.size, where.angle, LANDMARK))
        x = out["Identity"].reshape(21, 3).astype(float)
        c, s = np.cos(where.angle), np.sin(where.angle)
        pixels = where.centre + (x[:, :2] / LANDMARK - 0.5) * where.size @ np.array([[c, s], [-s, c]])
        return (
            pixels,
            x[:, 2] / (ALONG * LANDMARK) * where.size,
            float(out["Identity_1"].flat[0]),
            float(out["Identity_2"].flat[0]),
        )


class HandFeatures:
    """What the landmark model makes of a picture of a hand before its last layers, which are linear."""

    def __init__(self) -> None:
        self.landmark = _interpreter(LANDMARK_MODEL, inner=True)
        pooled = [t for t in self.landmark.get_tensor_details() if t["name"].endswith(POOLED)]
        self.index, self.size = int(pooled[0]["index"]), int(pooled[0]["shape"][1])

    def __call__(self, color: np.ndarray, where: Crop) -> np.ndarray:
        """(size,) of an image's crop."""
        _run(self.landmark, crop(color, where.centre, where.size, where.angle, LANDMARK))
        features: np.ndarray = self.landmark.get_tensor(self.index)[0].copy()
        return features


def whole(color: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and side px of the square around an image."""
    height, width = color.shape[:2]
    return np.array([width, height]) / 2 - 0.5, float(max(height, width))


def _distinct(sightings: list[HandSighting], known: list[str]) -> list[HandSighting]:
    """Of two hands called the same side the one whose side is not known, else the less sure one, is the other."""
    if len(sightings) != 2 or sightings[0].side != sightings[1].side:
        return sightings
    order = sorted((0, 1), key=lambda k: (bool(known[k]), abs(sightings[k].right_score - 0.5)), reverse=True)
    first, second = (sightings[k] for k in order)
    other = OTHER_SIDE[first.side]
    return [first, HandSighting(other, second.pixels, second.confidence, second.right_score, second.relative_depth)]


def _inside(pixels: np.ndarray, box: np.ndarray) -> bool:
    return bool(((pixels >= box[:2]) & (pixels <= box[2:])).all(axis=1).mean() >= INSIDE)


def next_crop(pixels: np.ndarray) -> Crop:
    """Where to look in the next image, from the keypoints (21, 2) of this one."""
    knuckles = 0.25 * (pixels[5] + pixels[13]) + 0.5 * pixels[9]
    angle = _heading(pixels[0], knuckles)
    c, s = np.cos(angle), np.sin(angle)
    turned = pixels[PALM_POINTS] @ np.array([[c, -s], [s, c]])
    low, high = turned.min(0), turned.max(0)
    centre = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
    size = high - low
    shift = 0.1 * size[1]
    return Crop(centre + shift * np.array([np.sin(angle), -np.cos(angle)]), 2.0 * float(size.max()), angle)


def _upright(centre: np.ndarray, size: float, wrist: np.ndarray, middle: np.ndarray, grow: float, shift: float) -> Crop:
    angle = _heading(wrist, middle)
    return Crop(centre + shift * size * np.array([np.sin(angle), -np.cos(angle)]), grow * size, angle)


def _heading(start: np.ndarray, end: np.ndarray) -> float:
    """Angle by which the crop is turned so that start -> end points up."""
    return float(np.pi / 2 - np.arctan2(-(end[1] - start[1]), end[0] - start[0]))


def anchors() -> np.ndarray:
    """(2016, 2) centres in [0, 1] of the palm detector's outputs."""
    found = []
    for stride, each in ((8, 2), (16, 6)):
        n = PALM // stride
        v, u = np.mgrid[:n, :n]
        found.append(np.repeat((np.stack([u, v], -1).reshape(-1, 2) + 0.5) / n, each, axis=0))
    return np.concatenate(found)


def _interpreter(name: str, inner: bool = False) -> Any:
    """inner: keeps the tensors between the layers."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as e:
        raise MissingExtraError("finding hands", "perception") from e
    file = str(hand_landmark_file(name))
    with warnings.catch_warnings(), without_lines("INFO: Created TensorFlow Lite"):
        warnings.simplefilter("ignore")  # that keeping tensors takes memory
        interpreter = Interpreter(file, num_threads=1, experimental_preserve_all_tensors=inner)
        interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, image: np.ndarray) -> dict[str, np.ndarray]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return {o["name"]: interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()}
