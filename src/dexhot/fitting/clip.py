"""Hands of clips as sightings, and fits as the hands of clips."""

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.fitting.hand_fit import HandFit, Sighting

# of datasets, by the names in their provenance
CONVENTIONS = {"GRAB": "mocap", "HOT3D": "umetrack", "DexYCB": "mano", "HO-3D": "mano"}
MODELS = {"mano": "mano", "umetrack": "umetrack", "open_hand": "open"}  # of hand models in a HandTrack
DEFAULT_CONVENTION = "mediapipe"  # of those that name none
NO_OBJECT = "none"  # object_name of a trajectory with hands only


def convention_of(trajectory: HandObjectTrajectory, side: str) -> str:
    """The keypoint convention of a clip."""
    if trajectory.provenance.get("generator") == "parametric":
        return "parametric"
    dataset = str(trajectory.provenance.get("dataset", ""))
    return CONVENTIONS.get(dataset) or MODELS.get(trajectory.hands[side].model, DEFAULT_CONVENTION)


def sightings_of(track: HandTrack) -> list[Sighting]:
    """The 3D keypoints of a hand's track, frame by frame."""
    return [Sighting(confidence, points=points) for confidence, points in zip(track.confidence, track.keypoints)]


def track_of(fit: HandFit, confidence: np.ndarray) -> HandTrack:
    """The fitted hand as a HandTrack; its keypoints are in the fitted convention."""
    wrist = wrist_pose(fit.keypoints, fit.hand.side)
    return HandTrack(fit.keypoints, wrist, confidence, fit.hand.name, fit.parameters, fit.covariance)


def trajectory_of(name: str, fit: HandFit, confidence: np.ndarray, time: np.ndarray) -> HandObjectTrajectory:
    """A trajectory of a hand without object, from a keypoint file."""
    at_rest = np.tile([0.0, 0, 0, 1, 0, 0, 0], (len(time), 1))
    return HandObjectTrajectory(name, time, {fit.hand.side: track_of(fit, confidence)}, NO_OBJECT, at_rest)
