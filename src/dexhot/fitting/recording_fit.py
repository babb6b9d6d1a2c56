"""A recording with its evidence fitted from first frame to last: a trajectory in the world, with covariances."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence, HandObjectTrajectory, HandTrack
from dexhot.errors import ClipError
from dexhot.fitting.clip import NO_OBJECT
from dexhot.fitting.hand_fit import LEAST_SEEN
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.scene import HandObjectScene, ObjectModel, object_model
from dexhot.fitting.tracker import SHAPE_SECONDS, Frame, HandObjectTracker, Tracked
from dexhot.geometry.poses import IDENTITY, compose, transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.humans.skin import KeypointTable, SkinnedHand
from dexhot.objects.asset import ObjectAsset


@dataclass
class RecordingFit:
    """The trajectory, and what its frames were worth."""

    trajectory: HandObjectTrajectory
    tracked: list[Tracked | None]  # in the camera's frame; None before the hand was first seen
    tracker: HandObjectTracker
    model: ObjectModel | None

    def scene(self, frame: int) -> HandObjectScene | None:
        """Hand and object of a frame, in the camera's frame."""
        found = self.tracked[frame]
        return None if found is None else HandObjectScene(self.tracker.person, self.model, found.state)


def frames_of(recording: Recording, evidence: Evidence, side: str, with_pose: bool = True) -> list[Frame]:
    """What was seen, frame by frame; `with_pose` False: without the object poses of an estimator.

    Raises ClipError where recording and evidence are not of the same frames, or no hand of that side was looked for.
    """
    size = recording.depth.shape
    why = ""
    if evidence.labels.shape != size:
        why = f"labels {evidence.labels.shape} for depth images {size}"
    elif (apart := np.abs(evidence.time - recording.time).max()) > 1e-3:
        why = f"their stamps differ by up to {apart:.3g} s"
    if why:
        raise ClipError(
            f"the evidence {evidence.name} is not of the recording {recording.name}: {why}. Run `dexhot perceive` on "
            "this recording."
        )
    if side not in evidence.keypoints:
        raise ClipError(
            f"{evidence.name} has no keypoints of a {side} hand, only of {', '.join(evidence.keypoints) or 'none'}."
        )
    seen = evidence.keypoints[side]
    return [
        Frame(
            float(recording.time[t]),
            recording.depth[t],
            evidence.labels[t],
            seen[t, :, 3:5],
            np.nan_to_num(seen[t, :, 5]),
            evidence.object_pose[t] if with_pose else None,
        )
        for t in range(len(recording.time))
    ]


def fit_recording(
    recording: Recording,
    evidence: Evidence,
    asset: ObjectAsset | None,
    recipe: Recipe,
    hand: SkinnedHand,
    table: KeypointTable | None = None,
    with_pose: bool = True,
    ground: np.ndarray | None = None,
) -> RecordingFit:
    """Fit one hand and one object (None: the hand alone) to a whole recording; the shape first, from its first second.

    Raises ClipError where no frame shows enough of the hand.
    """
    frames = frames_of(recording, evidence, hand.side, with_pose)
    usable = [f for f in frames if np.nan_to_num(f.confidence).sum() >= LEAST_SEEN]
    if not usable:
        raise ClipError(f"no frame of {recording.name} shows {LEAST_SEEN} keypoints of the {hand.side} hand.")
    model = object_model(asset) if asset else None
    first = [f for f in usable if f.time - usable[0].time <= SHAPE_SECONDS]
    tracker = HandObjectTracker(hand, model, recording.intrinsics, recipe, table)
    shape = tracker.shape_of([tracker.sighting(tracker.view(f)) for f in first])
    tracker = HandObjectTracker(hand, model, recording.intrinsics, recipe, table, shape, ground)
    tracked = [tracker.step(frame) for frame in frames]
    trajectory = _trajectory(recording, asset, recipe, tracker, frames, tracked)
    return RecordingFit(trajectory, tracked, tracker, model)


def _trajectory(
    recording: Recording,
    asset: ObjectAsset | None,
    recipe: Recipe,
    tracker: HandObjectTracker,
    frames: list[Frame],
    tracked: list[Tracked | None],
) -> HandObjectTrajectory:
    """In the world where the camera's pose is known, else in the camera's frame. Frames before the first hand hold the
    first pose, without confidence."""
    start = next(found for found in tracked if found is not None)
    known = [found or start for found in tracked]
    world_T_camera = IDENTITY if recording.world_T_camera is None else recording.world_T_camera
    R = quat_to_matrix(world_T_camera[3:])
    keypoints = transform(world_T_camera, np.stack([found.keypoints for found in known]))
    confidence = np.stack(
        [np.nan_to_num(f.confidence) if t is not None else np.zeros(21) for f, t in zip(frames, tracked)]
    )
    spread = np.stack([keypoint_covariance(tracker, found) for found in known])
    side = tracker.hand.side
    track = HandTrack(
        keypoints,
        wrist_pose(keypoints, side),
        np.clip(confidence, 0.0, 1.0),
        tracker.hand.name,
        np.stack([np.concatenate([found.state.hand.vector(), tracker.person.shape]) for found in known]),
        R @ spread @ R.T,
    )
    made = {
        "fit": {"recipe": recipe.name, "terms": list(recipe.terms), "convention": tracker.table.name},
        "frame": "camera" if recording.world_T_camera is None else "world",
        "parameters_frame": "camera",
        "recording": recording.provenance,
    }
    if asset is None:
        pose, covariances = np.tile(IDENTITY, (len(known), 1)), np.zeros((0, 6, 6))
    else:
        pose = compose(world_T_camera, np.stack([found.state.object_pose() for found in known]))
        covariances = np.stack([object_covariance(R, found) for found in known])
    found = HandObjectTrajectory(
        recording.name.rpartition("/")[2],
        recording.time,
        {side: track},
        asset.name if asset else NO_OBJECT,
        pose,
        covariances,
        provenance=made,
    )
    found.validate()
    return found


def keypoint_covariance(tracker: HandObjectTracker, found: Tracked) -> np.ndarray:
    """(21, 3, 3) m2, of the pose's uncertainty, in the camera's frame."""
    rows = tracker.person.posed(found.state.hand).keypoint_jacobians(tracker.table)
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
