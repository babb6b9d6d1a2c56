"""A known object in the images of a live camera: as in a recording (perceive.py), and with what the robot knows.

A lab's estimators take the place of the embedded ones as there; the segmenter also takes up hands that come later,
and an object that it has lost, or that nobody marked, once its pose is known.

A robot knows where the table is, where the object should stand at the start, and where its own hand has carried it
since it was last seen. Each is a guess that costs one alignment; a search over all rotations costs 100 times as much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic as clock

import numpy as np

from dexhot.data.labels import OBJECT, RIGHT
from dexhot.geometry.boxes import box_around, box_of, overlaps
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import pose_to_matrix
from dexhot.objects.asset import ObjectAsset
from dexhot.perception import pose_kernels as kernels
from dexhot.perception.box_tracks import FITS
from dexhot.perception.estimated_track import EstimatedTrack
from dexhot.perception.followed_masks import LiveMasks, box_inside
from dexhot.perception.hand_scale import filled
from dexhot.perception.object_pose import SURE, RigidModel, asset_model, noise_at, points_in
from dexhot.perception.object_track import ALIKE, RETRY, ObjectTrack
from dexhot.perception.protocols import (
    BoxedHandKeypoints,
    HandKeypoints,
    HandSighting,
    ObjectPose,
    ObjectSighting,
    Segmenter,
)
from dexhot.perception.robot_mask import RobotMask
from dexhot.perception.segmentation import ModelMask, check_inside, hand_mask
from dexhot.perception.sightings import LABEL, in_space
from dexhot.perception.skin_colour import SkinColour
from dexhot.perception.watcher import TABLE

REACH = 0.08  # diameters from the surface within which a point says something about the pose
INDEPENDENT = 30.0  # points
MOST_TURN, MOST_SHIFT = 0.5, 0.1  # rad, m: sigmas of what nothing is known about
FLOOR = 0.0015, 0.01  # m, rad: of the calibration and the mesh
POINTS = 300
AS_GOOD = 0.01  # less confidence by which the last pose is still kept: what noise moves would drift
SEARCHED = 15  # images between searches where there are guesses: a search delays the images after it


class LiveTrack(ObjectTrack):
    """The object in front of one camera; give the guesses of each image before it."""

    def __call__(
        self,
        camera: Intrinsics,
        depth: np.ndarray,
        time: float,
        hidden: np.ndarray,
        color: np.ndarray | None = None,
    ) -> tuple[ObjectSighting | None, float]:
        estimator = self.estimator
        last = None if estimator.lost or estimator.pose is None else estimator.pose
        found, confidence = super().__call__(camera, depth, time, hidden, color)
        if found is None or last is None:
            return found, confidence
        R, t = np.ascontiguousarray(last[:3, :3]), np.ascontiguousarray(last[:3, 3])
        still, seen = estimator.confidence(camera, R, t, np.asarray(depth, np.float32), hidden)
        if still < found.confidence - AS_GOOD:
            return found, confidence
        estimator.pose, estimator.velocity = last, np.zeros(6)
        return ObjectSighting(last, still, seen), still

    def _again(
        self, camera: Intrinsics, depth: np.ndarray, time: float, hidden: np.ndarray, color: np.ndarray | None
    ) -> ObjectSighting | None:
        """The first guess that is SURE, and of the object's colours; else as in a recording, but seldom."""
        estimator, last = self.estimator, self.estimator.pose
        for guess in self.guesses:
            estimator.pose = pose_to_matrix(guess)
            found = estimator.follow(camera, color, depth, time, hidden)
            its = color is None or estimator.appearance.match(color, self.mask(found.pose, depth, hidden)) >= ALIKE
            estimator.lost = found.confidence < SURE or not its
            if not estimator.lost:
                return found
        estimator.pose = last
        if self.number % (SEARCHED if self.guesses else RETRY):
            return None
        return self._search(camera, depth, time, hidden, color)


def pose_covariance(model: RigidModel, pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(6, 6) of position, m, and rotation vector, rad, of camera_T_mesh (4, 4), from the measured points (N, 3) on the
    object: what they leave open, such as a turn about an axis of revolution, is uncertain.

    Errors of neighbouring pixels and of successive images are alike, so that N points count as INDEPENDENT ones.
    """
    R, t = np.ascontiguousarray(pose[:3, :3]), np.ascontiguousarray(pose[:3, 3])
    A, used = kernels.information(R, t, *model.grid, np.ascontiguousarray(points), REACH * model.diameter)
    sigma, count = noise_at(float(t[2])), max(min(used, INDEPENDENT), 1.0)
    known = A / max(used, 1e-9) * count / sigma**2
    known[:3, :3] += np.eye(3) / MOST_TURN**2
    known[3:, 3:] += np.eye(3) / MOST_SHIFT**2
    order = [3, 4, 5, 0, 1, 2]
    covariance: np.ndarray = np.linalg.inv(known)[np.ix_(order, order)]
    return covariance + np.diag([FLOOR[0] ** 2] * 3 + [FLOOR[1] ** 2] * 3)


@dataclass
class LiveImage:
    """What is seen in one image."""

    labels: np.ndarray  # (H, W) uint8, those of Evidence
    keypoints: dict[str, np.ndarray]  # side -> (21, 6), those of Evidence
    sighting: ObjectSighting | None  # None while the object is lost, or without one
    covariance: np.ndarray | None  # (6, 6) of its pose
    confidence: float  # of its best candidate
    prompt_note: str = ""  # what became of a prompt that was not on one thing
    ambiguous: str = ""  # pixels of several things that look like it, where none of them was taken
    relative_depth: dict[str, np.ndarray] = field(default_factory=dict)  # side -> (21,), where it is estimated
    seconds: dict[str, float] = field(default_factory=dict)  # stage -> duration


class LiveEyes:
    """Hands (of people, or the robot's own) and one known object before one camera, image by image."""

    def __init__(
        self,
        camera: Intrinsics,
        asset: ObjectAsset | None,
        hands: HandKeypoints | None = None,
        sides: Sequence[str] = ("right", "left"),
        robot: RobotMask | None = None,
        palm_length: float = 0.0,
        prompt: np.ndarray | None = None,
        poses: ObjectPose | None = None,
        segmenter: Segmenter | None = None,
    ):
        """`palm_length`: m; if given, every keypoint has a place in space (hand_scale.py). `prompt`: clicks (N, 2) or a
        box (4,) on the object in the first image, px. `poses` and `segmenter` take the place of the embedded pose and
        masks, as in `perceive`; they need colour. Raises DexhotError for a prompt that is not inside the image."""
        self.palm_length = palm_length
        self.camera, self.hands, self.sides, self.robot = camera, hands, sides, robot
        self.track: ObjectTrack | None = None
        self.masks: LiveMasks | None = None
        self.boxes: dict[str, np.ndarray] = {}  # side -> (4,) px of the hand's keypoints where it was seen last
        self.table: Plane | None = None  # as measured; a robot's is known
        self.skin = SkinColour()
        self.sighting: ObjectSighting | None = None  # of the last image
        self.number = 0
        if prompt is not None:
            check_inside(prompt, camera.width, camera.height)
        if asset is not None:
            model = asset_model(asset)
            mask = ModelMask(camera, asset.vertices, asset.faces)
            self.track = LiveTrack(model, mask, prompt)
            if poses is not None:
                self.track = EstimatedTrack(poses, model, mask, prompt)
        if segmenter is not None:
            self.masks = LiveMasks(segmenter, {} if prompt is None else {"object": prompt})

    def look(
        self,
        color: np.ndarray | None,
        depth: np.ndarray,
        time: float,
        robot_q: np.ndarray | None = None,
        guesses: Sequence[np.ndarray] = (),
    ) -> LiveImage:
        """color (H, W, 3) uint8, needed where hands are looked for; depth (H, W) uint16 mm; time in s; robot_q (7+n,)
        rad; guesses: camera_T_mesh (7,) each."""
        z = depth * np.float32(1e-3)
        seen = LiveImage(np.zeros(depth.shape, np.uint8), {}, None, None, 0.0)
        hidden = np.zeros(depth.shape, bool)
        begin, measured = clock(), bool(depth.any())
        if self.robot is None and measured and self.number % TABLE == 0:
            self.table = table_plane(self.camera, z) or self.table
            if self.table is not None and self.track is not None:
                self.track.on(self.table)
        self.number += 1
        hands, masks = self._found(color) if color is not None else ((), {})
        for name in masks.keys() & LABEL.keys():
            hidden |= masks[name]
            seen.labels[masks[name]] = LABEL[name]
        expected = one_of_each([hand for hand in hands if hand.side in self.sides], self.boxes)
        if color is not None and hands and self.track is not None:
            self.skin.beside(self.track.outline(self.sighting))
        for hand in hands:
            its = expected.get(hand.side) is hand
            mask = masks.get(hand.side) if its else None
            if mask is None and measured and color is not None:
                mask = hand_mask(self.camera, color, z, hand, self.table, self.skin)
            if mask is not None:
                hidden |= mask
            if its:
                if mask is not None:
                    seen.labels[mask] = LABEL[hand.side]
                points = in_space(self.camera, z, hand, mask)
                if self.palm_length:
                    points[:, :3] = filled(self.camera, hand, points[:, :3], self.palm_length)
                seen.keypoints[hand.side] = points
                if hand.relative_depth is not None:
                    seen.relative_depth[hand.side] = hand.relative_depth
        if self.robot is not None and robot_q is not None:
            mask = self.robot(robot_q, z)
            hidden |= mask
            seen.labels[mask] = RIGHT
        seen.seconds["hands"] = clock() - begin
        begin = clock()
        thing = masks.get("object")
        if self.track is not None:
            self.track.guesses, self.track.hands, self.track.segmented = guesses, hands, thing
            seen.sighting, seen.confidence = self.track(self.camera, z, time, hidden, color)
            self.sighting = seen.sighting
            seen.ambiguous, seen.prompt_note = self.track.ambiguous, self.track.prompt_note
            if seen.sighting is not None:
                thing = self._object_mask(color, masks, seen, z, hidden)
                points = points_in(self.camera, z, thing, POINTS)
                seen.covariance = pose_covariance(self.track.model, seen.sighting.pose, points)
        if thing is not None:
            seen.labels[thing] = OBJECT
        seen.seconds["object"] = clock() - begin
        return seen

    def _found(self, color: np.ndarray) -> tuple[Sequence[HandSighting], Mapping[str, np.ndarray]]:
        """The hands by their keypoints, looked for in the boxes of their masks, and the segmenter's masks (H, W) bool
        by name."""
        masks: Mapping[str, np.ndarray] = self.masks.follow(color) if self.masks is not None else {}
        if masks and isinstance(self.hands, BoxedHandKeypoints):
            self.hands.boxes = {name: box_of(mask) for name, mask in masks.items() if name in self.sides}
        hands = self.hands(color) if self.hands is not None else []
        if self.masks is not None:
            seen = {hand.side: box_inside(hand.pixels, color) for hand in hands if hand.side in self.sides}
            masks = self.masks.mark(color, masks, seen)
        return hands, masks

    def _object_mask(
        self,
        color: np.ndarray | None,
        masks: Mapping[str, np.ndarray],
        seen: LiveImage,
        z: np.ndarray,
        hidden: np.ndarray,
    ) -> np.ndarray:
        """(H, W) bool, the segmenter's, which a sure pose marks anew where it does not follow the object; without one,
        what is seen at its pose."""
        assert self.track is not None and seen.sighting is not None
        thing = masks.get("object")
        marks = self.masks is not None and self.masks.ready and color is not None and seen.confidence >= SURE
        if thing is not None and not marks:
            return thing
        posed = self.track.seen(seen.sighting.pose, z, hidden, color)
        if marks and posed.any():
            assert self.masks is not None and color is not None
            thing = self.masks.mark(color, masks, {"object": box_of(posed)}).get("object")
        return posed if thing is None else thing


def one_of_each(hands: Sequence[HandSighting], last: dict[str, np.ndarray]) -> dict[str, HandSighting]:
    """One hand of each side: of several, as of an estimator that does not tell sides, the one that goes on where that
    side's hand was `last` (boxes (4,) px, updated), else the surest."""
    found: dict[str, HandSighting] = {}
    for side in {hand.side: None for hand in hands}:
        alike = sorted((hand for hand in hands if hand.side == side), key=lambda hand: -hand.confidence)
        boxes = np.array([box_around(hand.pixels) for hand in alike])
        fit = overlaps(boxes, last[side]) if side in last else np.zeros(len(alike))
        chosen = int(fit.argmax()) if fit.max() >= FITS else 0
        found[side], last[side] = alike[chosen], boxes[chosen]
    return found
