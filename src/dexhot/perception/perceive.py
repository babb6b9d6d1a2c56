"""Runs the estimators over a Recording and collects the Evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import matrix_to_pose
from dexhot.objects.asset import ObjectAsset
from dexhot.perception import mask_kernels
from dexhot.perception.appearance import ITS, NOT_ITS
from dexhot.perception.box_tracks import FITS, overlaps, track_boxes
from dexhot.perception.object_pose import LOST, SURE, DepthObjectPose, RigidModel, rigid_model
from dexhot.perception.protocols import BoxDetector, HandKeypoints, HandSighting, ObjectSighting
from dexhot.perception.segmentation import ModelMask, candidates, hand_mask, prompted

RIGHT, OBJECT, LEFT = 1, 2, 3  # labels
LABEL = {"right": RIGHT, "left": LEFT}
TABLE = 30  # images after which the table is sought again: a camera may move
LEARN = 3  # images between learnings of the object's colours
CANDIDATES, RIVAL = 4, 0.8  # things that are compared; fraction of the best confidence that makes another one a rival
BAND = 0.07  # of the object's size in pixels, about its outline
CERTAIN = 0.8  # confidence after which no other thing is looked at, where the object's colours are known
ALIKE = 0.5  # fraction of a thing's colours that must be the object's
RETRY = 5  # images between searches for an object that is lost
SPREAD = 0.12  # m between a keypoint's depth and the hand's median
BESIDE, GUESSED = 3, 0.3  # px from the hand's mask up to which a keypoint is on it; of a confidence, beside it
WRONG_SIDE = 0.8  # fraction of the sightings of the other side that refuses a chosen side


@dataclass
class Seen:
    """Figures of a run beside its Evidence."""

    hand_frames: dict[str, int] = field(default_factory=dict)  # side -> frames with that hand
    other_hands: int = 0  # frames with a hand that was not asked for
    object_frames: int = 0
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) of the object's pose
    beside: int = 0  # sightings of an expected hand that were elsewhere than its track
    detections: dict[str, list[np.ndarray]] = field(default_factory=dict)  # name -> T arrays (K, 5) of boxes, scores
    notes: list[str] = field(default_factory=list)


@dataclass
class SeenHand:
    """A sighting of one image, until the whole clip tells whether it is the hand."""

    frame: int
    boxes: np.ndarray  # (2, 4) px, around its mask and keypoints, and around the keypoints alone, as detectors do
    keypoints: np.ndarray  # (21, 6) as in Evidence
    pixels: np.ndarray  # of its mask, in the flat image


class ObjectTrack:
    """The object in one recording: found, followed, lost and found again."""

    def __init__(self, model: RigidModel, mask: ModelMask, prompt: np.ndarray | None = None):
        self.estimator, self.model, self.mask, self.prompt = DepthObjectPose(model), model, mask, prompt
        self.plane: Plane | None = None
        self.number = 0
        self.ambiguous = ""  # where more than one thing looks like the object, and none of them was taken

    def __call__(
        self,
        camera: Intrinsics,
        depth: np.ndarray,
        time: float,
        hidden: np.ndarray,
        color: np.ndarray | None = None,
    ) -> tuple[ObjectSighting | None, float]:
        """The sighting, None while it is lost; and the best confidence. With `color` (H, W, 3) the object's colours are
        learned, and help to follow it and to find it again."""
        found, was_lost = None, self.estimator.lost
        if self.estimator.pose is not None:
            found = self.estimator.follow(camera, color, depth, time, hidden)
            if was_lost and not self.estimator.lost and color is not None:  # the place is filled again: with what?
                its = self.mask(found.pose, depth, hidden)
                self.estimator.lost = self.estimator.appearance.match(color, its) < ALIKE
        if self.estimator.lost:
            found = self._again(camera, depth, time, hidden, color) or found
        if color is not None and found is not None and found.confidence > SURE and self.number % LEARN == 0:
            self.estimator.appearance.learn(color, self.mask(found.pose, depth, hidden))
        self.number += 1
        if found is None:
            return None, 0.0
        return (None if self.estimator.lost else found), found.confidence

    def seen(
        self, pose: np.ndarray, depth: np.ndarray, hidden: np.ndarray, color: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W) bool: where the object at a pose is seen; along its outline its colours decide, if known."""
        mask, look = self.mask(pose, depth, hidden), self.estimator.appearance
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if color is None or not look.distinct or not len(rows):
            return mask
        margin = max(2, round(BAND * float(np.hypot(len(rows), len(columns)))))
        box = (
            slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
            slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
        )
        its, near = look.probability(color[box]), mask_kernels.dilate(mask[box], margin, True)
        mask[box] = ((near & (its > ITS)) | (mask[box] & (its > NOT_ITS))) & ~hidden[box]
        return mask

    def on(self, plane: Plane | None) -> None:
        """Take the table that the object may lie on; without one it is sought at the first search."""
        self.plane, self.estimator.table = plane, None if plane is None else plane.row

    def _again(
        self, camera: Intrinsics, depth: np.ndarray, time: float, hidden: np.ndarray, color: np.ndarray | None
    ) -> ObjectSighting | None:
        """Look for a lost object: everywhere, in some images."""
        return self._search(camera, depth, time, hidden, color) if self.number % RETRY == 0 else None

    def _search(
        self, camera: Intrinsics, depth: np.ndarray, time: float, hidden: np.ndarray, color: np.ndarray | None
    ) -> ObjectSighting | None:
        if self.plane is None:
            self.on(table_plane(camera, depth))
        clicked = self.number == 0 and self.prompt is not None
        masks = candidates(camera, depth, hidden, self.plane, self.model.diameter)
        if clicked and self.prompt is not None:
            chosen = prompted(depth, self.prompt)
            u, v = ((self.prompt[:2] + self.prompt[-2:]) / 2).astype(int)
            masks = [mask for mask in masks if mask[v, u]] or [chosen & ~hidden]  # without the table below it
        look, found = self.estimator.appearance, []
        for mask in masks[:CANDIDATES]:
            sighting = self.estimator.search(camera, depth, mask, hidden)
            if sighting is not None:
                alike = 1.0 if color is None else min(1.0, look.match(color, mask) / ALIKE)
                found.append(replace(sighting, confidence=sighting.confidence * alike))
            if found and found[-1].confidence > CERTAIN and look.distinct:
                break
        if not found:
            return None
        best = max(found, key=lambda one: one.confidence)
        if best.confidence >= (LOST if clicked else SURE):
            if self.ambiguous or not (clicked or look.distinct):
                self.ambiguous = self._others(camera, best, found)
            if not self.ambiguous:
                self.estimator.pose, self.estimator.time, self.estimator.lost = best.pose, time, False
                self.estimator.velocity = np.zeros(6)
        return best

    def _others(self, camera: Intrinsics, best: ObjectSighting, found: list[ObjectSighting]) -> str:
        """Where else the object may be as well; "" for nowhere."""
        centre = self.model.centre

        def place(one: ObjectSighting) -> np.ndarray:
            return np.asarray(one.pose[:3, :3] @ centre + one.pose[:3, 3])

        rivals = [one for one in found if one.confidence > max(SURE, RIVAL * best.confidence)]
        rivals = [one for one in rivals if np.linalg.norm(place(one) - place(best)) > 0.5 * self.model.diameter]
        places = [camera.project(place(one)).round().astype(int) for one in (best, *rivals)]
        texts = [
            f"{u},{v} ({one.confidence:.2f})"
            for (u, v), one in zip(places, (best, *rivals))
            if 0 <= u < camera.width and 0 <= v < camera.height
        ]
        return ", ".join(texts) if len(texts) > 1 else ""


def object_track(asset: ObjectAsset, camera: Intrinsics, prompt: np.ndarray | None = None) -> ObjectTrack:
    """For an asset before a camera. Raises MeshError for one that no hand holds."""
    model = rigid_model(asset.vertices, asset.faces, asset.name)
    return ObjectTrack(model, ModelMask(camera, asset.vertices, asset.faces), prompt)


def perceive(
    recording: Recording,
    hands: HandKeypoints | None,
    track: ObjectTrack | None,
    side: str = "any",
    frames: Iterable[int] | None = None,
    prompts: Mapping[str, Any] | None = None,
    detector: BoxDetector | None = None,
) -> tuple[Evidence, Seen]:
    """Evidence of every frame. side: "right", "left", "both" or "any" (whatever is seen); frames: an iterable over the
    frame numbers, to show progress; prompts are kept in the provenance. `detector`: gives the boxes; default: those of
    keypoints and masks. Of each hand and the object there is one track of boxes (box_tracks.py): a hand that is seen
    elsewhere is left out, and short gaps are bridged.

    Raises DexhotError when nothing is seen, when the hand is of the other side, or when the object needs depth.
    """
    T, camera = len(recording), recording.intrinsics
    if track is not None and not recording.has_depth:
        raise DexhotError(
            f"{recording.name} has no depth in any frame, and the object's pose comes from depth: record with aligned "
            "depth (docs/capture.md), or perceive without --object."
        )
    sides = ("right", "left") if side in ("any", "both") else (side,)
    labels = np.zeros((T, camera.height, camera.width), np.uint8)
    detections: dict[str, list[np.ndarray]] = {
        name: [np.zeros((0, 5)) for _ in range(T)] for name in (*sides, "object")
    }
    sightings: dict[str, list[SeenHand]] = {name: [] for name in sides}
    pose, seen, others = np.full((T, 7), np.nan), Seen(dict.fromkeys(sides, 0), confidence=np.zeros(T)), []
    table: Plane | None = None
    for k in range(T) if frames is None else frames:
        color, depth = recording.color[k], recording.depth[k] * np.float32(1e-3)
        if k % TABLE == 0 and (table := table_plane(camera, depth) or table) and track is not None:
            track.on(table)
        hidden = np.zeros(depth.shape, bool)
        for hand in hands(color) if hands is not None else ():
            mask = hand_mask(camera, color, depth, hand, table)
            hidden |= mask
            if hand.side not in sides:
                others.append(hand.right_score)
                continue
            around = np.stack([box_of(mask, hand.pixels), box_of(np.zeros((0, 0)), hand.pixels)])
            sightings[hand.side].append(SeenHand(k, around, in_space(camera, depth, hand, mask), np.flatnonzero(mask)))
            detections[hand.side][k] = np.vstack([detections[hand.side][k], [*around[0], hand.confidence]])
        if track is not None:
            sighting, seen.confidence[k] = track(camera, depth, float(recording.time[k]), hidden, color)
            if track.ambiguous:
                raise DexhotError(
                    f"{recording.name}: more than one thing in frame {k} has the object's shape, at u,v (confidence) "
                    f"{track.ambiguous}. Click on the right one in the first frame: --prompt object:U,V."
                )
            if sighting is not None:
                pose[k] = matrix_to_pose(sighting.pose)
                mask = track.seen(sighting.pose, depth, hidden, color)
                labels[k][mask] = OBJECT
                if mask.any():
                    detections["object"][k] = np.array([[*box_of(mask), sighting.confidence]])
                seen.object_frames += 1
        if detector is not None:
            detected = detector(color)
            for name in detections:
                detections[name][k] = np.reshape(detected.get(name, ()), (-1, 5))
    seen.other_hands, seen.detections = len(others), detections
    boxes = track_boxes(recording.time, detections, tuple(detections))
    keypoints = {name: of_track(sightings[name], boxes[name], labels, LABEL[name], seen) for name in sides}
    seen.hand_frames = {name: int(np.isfinite(keypoints[name][:, 0, 3]).sum()) for name in sides}
    judge(recording.name, side, seen, T, hands is not None, track is not None)
    if side == "any":
        for name in [n for n in sides if not seen.hand_frames[n]]:
            del keypoints[name], boxes[name]
    made = recording.provenance | {
        "confidence": np.round(seen.confidence, 3).tolist() if track is not None else [],
        "prompts": dict(prompts or {}),
        "notes": [*recording.provenance.get("notes", []), *seen.notes],
    }
    return Evidence(recording.name, recording.time, labels, boxes, keypoints, pose, provenance=made), seen


def of_track(
    sightings: Sequence[SeenHand], boxes: np.ndarray, labels: np.ndarray, label: int, seen: Seen
) -> np.ndarray:
    """(T, 21, 6) keypoints of the sightings that fit a hand's boxes (T, 4), whose masks are written into `labels`. The
    others are counted in `seen`. In each frame the sighting that fits best is the hand."""
    keypoints = np.full((len(boxes), 21, 6), np.nan)
    best = np.full(len(boxes), FITS)
    taken: dict[int, SeenHand] = {}
    for one in sightings:
        fit = overlaps(one.boxes, boxes[one.frame]).max() if np.isfinite(boxes[one.frame, 0]) else 0.0
        if fit >= best[one.frame]:
            best[one.frame], taken[one.frame] = fit, one
    for frame, one in taken.items():
        keypoints[frame] = one.keypoints
        picture = labels[frame].reshape(-1)
        picture[one.pixels[picture[one.pixels] != OBJECT]] = label
    seen.beside += len(sightings) - len(taken)
    return keypoints


def judge(name: str, side: str, seen: Seen, T: int, looked: bool, tracked: bool) -> None:
    """Add what a user should know to `seen.notes`. Raises DexhotError for a recording that shows nothing asked for."""
    found = sum(seen.hand_frames.values())
    if looked and side in LABEL and seen.other_hands > WRONG_SIDE * (found + seen.other_hands):
        other = "left" if side == "right" else "right"
        raise DexhotError(
            f"{name}: the hand looks like a {other} one in {seen.other_hands} of {found + seen.other_hands} sightings, "
            f"but --side {side} was asked for; use --side {other}, or check whether the images are mirrored."
        )
    if looked and not found and not (tracked and seen.object_frames):
        raise DexhotError(
            f"{name}: no hand is in view in any of {T} frames; check that the images show a whole hand, upright and "
            "not overexposed (dexhot view)."
        )
    if tracked and not seen.object_frames:
        raise DexhotError(
            f"{name}: the object was never found (best confidence {seen.confidence.max():.2f}, {SURE:g} is needed). "
            "Check that it is the right object and scale (dexhot object list), that the depth covers it, and click on "
            "it in the first frame: --prompt object:U,V."
        )
    if looked and not found:
        seen.notes.append("no hand in any frame")
    if seen.beside:
        seen.notes.append(f"{seen.beside} sightings of a hand beside its track were left out")
    if seen.other_hands:
        seen.notes.append(f"{seen.other_hands} sightings of a hand other than --side {side} were left out")
    if side == "both" and (lacking := [s for s, n in seen.hand_frames.items() if not n]):
        seen.notes.append(f"both hands were asked for, and no {lacking[0]} one was seen")
    if tracked and seen.object_frames < T:
        seen.notes.append(f"the object is lost in {T - seen.object_frames} of {T} frames")


def in_space(camera: Intrinsics, depth: np.ndarray, hand: HandSighting, mask: np.ndarray | None = None) -> np.ndarray:
    """(21, 6) x y z u v confidence: where the depth (m) at a keypoint is that of the hand, else x y z are NaN.

    A keypoint beside the hand's mask is a guess at what is hidden, or wrong: its confidence falls to GUESSED of it.
    """
    height, width = depth.shape
    out = np.full((21, 6), np.nan)
    out[:, 3:5], out[:, 5] = hand.pixels, hand.confidence
    u, v = np.round(hand.pixels).astype(int).T
    z = np.zeros(21)
    for k in np.flatnonzero((u >= 0) & (v >= 0) & (u < width) & (v < height)):
        near = slice(max(v[k] - BESIDE, 0), v[k] + BESIDE + 1), slice(max(u[k] - BESIDE, 0), u[k] + BESIDE + 1)
        if mask is not None and not mask[near].any():
            out[k, 5] *= GUESSED
        around = depth[max(v[k] - 1, 0) : v[k] + 2, max(u[k] - 1, 0) : u[k] + 2]
        z[k] = np.median(around[around > 0]) if (around > 0).any() else 0.0
    if not z.any():
        return out
    middle = np.median((z - hand.relative_depth * z / camera.fx)[z > 0])  # depth of the wrist
    expected = middle + hand.relative_depth * middle / camera.fx
    on = (z > 0) & (np.abs(z - expected) < SPREAD / 2)
    out[on, :3] = camera.backproject(hand.pixels[on], z[on])
    return out


def box_of(mask: np.ndarray, pixels: np.ndarray | None = None) -> np.ndarray:
    """(4,) x0 y0 x1 y1 px around a mask, and around keypoints; NaN without either."""
    v, u = np.nonzero(mask)
    corners = np.stack([u, v], -1) if len(u) else np.zeros((0, 2))
    corners = corners if pixels is None else np.concatenate([corners, pixels])
    return np.concatenate([corners.min(0), corners.max(0)]) if len(corners) else np.full(4, np.nan)
