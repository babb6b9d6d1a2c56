"""What every recipe gives: a trajectory, and hand and object in each frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.fitting.clip import NO_OBJECT
from dexhot.fitting.frames import thinning
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.scene import HandObjectScene, ObjectModel
from dexhot.fitting.silhouette_search import ObjectStart
from dexhot.fitting.tracker import Tracked
from dexhot.fitting.views import RecordedView
from dexhot.geometry.poses import IDENTITY, compose, transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.humans.skin import KeypointTable, PosedHand
from dexhot.objects.asset import ObjectAsset

Scenes = dict[str, HandObjectScene]  # by the hand's side, in the camera's frame; empty where there is none yet


@dataclass
class RecordingFit:
    """The trajectory, and what its frames were worth."""

    trajectory: HandObjectTrajectory
    scenes: list[Scenes]  # by frame
    tables: dict[str, KeypointTable]  # by side: the convention of the trajectory's keypoints
    camera: np.ndarray  # (4,) fx fy cx cy, px
    thin: int  # every how manyth pixel masks are compared at
    model: ObjectModel | None
    seconds: np.ndarray  # (T,) CPU time of one core; of a whole clip's solution, spread over its frames
    tracked: list[Tracked | None] = field(default_factory=list)  # of the tracker; None before the hand was first seen
    object_start: ObjectStart | None = None  # of the recipes without depth
    smoothing: float = 0.0  # s of CPU time per frame, beside `seconds`, that the pass over the whole clip took

    @property
    def side(self) -> str:
        """Of the first hand."""
        return next(iter(self.tables))

    def scene(self, frame: int, side: str | None = None) -> HandObjectScene | None:
        """A hand (the first by default) and the object of a frame, in the camera's frame."""
        return self.scenes[frame].get(side or self.side)

    def keypoints(self, frame: int, side: str | None = None) -> np.ndarray | None:
        """(21, 3) m, of a hand in the camera's frame."""
        found = self.scene(frame, side)
        return None if found is None else found.hand.keypoints(self.tables[side or self.side])


def fit_of(
    sights: Sequence[RecordedView],
    asset: ObjectAsset | None,
    model: ObjectModel | None,
    recipe: Recipe,
    tables: Mapping[str, KeypointTable],
    scenes: list[Scenes],
    seconds: np.ndarray,
    tracked: Sequence[Tracked | None] = (),
    object_start: ObjectStart | None = None,
) -> RecordingFit:
    """In the world where the camera's pose is known, else in the camera's frame. Frames before the first hand hold the
    first pose, without confidence. Covariances are those of the tracker, where it was the tracker. Of several cameras
    the first one's frame, and of each keypoint's confidences the highest."""
    recording = sights[0].recording
    start = next(found for found in scenes if found)
    known = [found or start for found in scenes]
    first = next((one for one in tracked if one is not None), None)
    certain = [one or first for one in tracked]
    world_T_camera = IDENTITY if recording.world_T_camera is None else recording.world_T_camera
    detected = np.array([bool(one) for one in scenes])
    hands = {}
    for side, table in tables.items():
        seen = np.max([np.nan_to_num(one.evidence.keypoints[side][..., 5]) for one in sights], axis=0)
        confidence = np.clip(seen * detected[:, None], 0.0, 1.0)
        hands[side] = _hand_track([one[side] for one in known], side, table, certain, world_T_camera, confidence)
    pose, covariances = np.tile(IDENTITY, (len(known), 1)), np.zeros((0, 6, 6))
    if asset is not None and next(iter(start.values())).model is not None:
        pose, covariances = _object_track([next(iter(one.values())) for one in known], certain, world_T_camera)
    trajectory = HandObjectTrajectory(
        recording.name.rpartition("/")[2],
        recording.time,
        hands,
        asset.name if asset else NO_OBJECT,
        pose,
        covariances,
        provenance={
            "fit": _how(sights, model if asset else None, recipe, tables, start, object_start),
            "frame": "camera" if recording.world_T_camera is None else "world",
            "parameters_frame": "camera",
            "recording": recording.provenance,
        },
    )
    trajectory.validate()
    camera = recording.intrinsics
    return RecordingFit(
        trajectory,
        scenes,
        dict(tables),
        camera.pinhole,
        thinning(camera),
        model,
        seconds,
        list(tracked),
        object_start,
    )


def _hand_track(
    scenes: Sequence[HandObjectScene],
    side: str,
    table: KeypointTable,
    certain: Sequence[Tracked | None],
    world_T_camera: np.ndarray,
    confidence: np.ndarray,
) -> HandTrack:
    """The hand of each frame's scene, its keypoints in the world and its parameters in the camera's frame; without
    covariances where the recipe has no tracker."""
    keypoints = transform(world_T_camera, np.stack([one.hand.keypoints(table) for one in scenes]))
    R = quat_to_matrix(world_T_camera[3:])
    spread = [keypoint_covariance(one.hand, table, t) for one, t in zip(scenes, certain) if t is not None]
    return HandTrack(
        keypoints,
        wrist_pose(keypoints, side),
        confidence,
        scenes[0].person.hand.name,
        np.stack([np.concatenate([one.state.hand.vector(), one.person.shape]) for one in scenes]),
        R @ np.stack(spread) @ R.T if spread else np.zeros((0, 21, 3, 3)),
    )


def _object_track(
    scenes: Sequence[HandObjectScene], certain: Sequence[Tracked | None], world_T_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T, 7) poses in the world and their covariances (T, 6, 6), (0, 6, 6) where the recipe has no tracker."""
    R = quat_to_matrix(world_T_camera[3:])
    spread = [object_covariance(R, one) for one in certain if one is not None]
    pose = compose(world_T_camera, np.stack([one.state.object_pose() for one in scenes]))
    return pose, np.stack(spread) if spread else np.zeros((0, 6, 6))


def _how(
    sights: Sequence[RecordedView],
    model: ObjectModel | None,
    recipe: Recipe,
    tables: Mapping[str, KeypointTable],
    start: Scenes,
    object_start: ObjectStart | None,
) -> dict[str, Any]:
    """What the trajectory's provenance says of the fit: recipe, cameras, sizes; `model` is the object as it was
    given."""
    made: dict[str, Any] = {
        "recipe": recipe.name,
        "terms": list(recipe.terms),
        "convention": next(iter(tables.values())).name,
        "hand_scale": {side: round(start[side].person.scale, 4) for side in tables},
    }
    if object_start is not None:
        made |= object_start.figures()
    if len(sights) > 1:
        made["views"] = [one.recording.name for one in sights]
    fitted = next(iter(start.values())).model
    if model is not None and fitted is not None and fitted.spacing != model.spacing:
        made["object_scale"] = round(float(fitted.spacing / model.spacing), 4)
    return made


def keypoint_covariance(hand: PosedHand, table: KeypointTable, found: Tracked) -> np.ndarray:
    """(21, 3, 3) m2, of the pose's uncertainty, in the camera's frame."""
    rows = hand.keypoint_jacobians(table)
    spread: np.ndarray = rows @ found.covariance[:51, :51] @ np.swapaxes(rows, 1, 2)
    symmetric: np.ndarray = 0.5 * (spread + np.swapaxes(spread, 1, 2))
    return symmetric


def object_covariance(R: np.ndarray, found: Tracked) -> np.ndarray:
    """(6, 6) of position (m) and rotation (rad), both about the world's axes."""
    to_world = np.zeros((6, 6))
    to_world[:3, 3:] = R
    to_world[3:, :3] = R @ found.state.rotation
    spread: np.ndarray = to_world @ found.covariance[51:, 51:] @ to_world.T
    symmetric: np.ndarray = 0.5 * (spread + spread.T)
    return symmetric
