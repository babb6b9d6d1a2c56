"""A clip in a mirror with its object: a left hand's grasp becomes a right hand's grasp of the mirrored mesh.

The mirror's normal is x, of the world and of the mesh. Nothing is approximated, but the object is another one: a mug
whose handle is on the other side. synthesis/mirror.py keeps the object, where it is its own mirror image.
"""

from dataclasses import replace

import numpy as np

from dexhot.data.keypoints import OTHER_SIDE, wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.geometry.poses import make_pose
from dexhot.humans.skin import MIRRORED_POINT, HandPose

SUFFIX = "-mirrored"  # of the object's and the clip's name
MIRRORED_QUAT = np.array([1.0, 1.0, -1.0, -1.0])


def mirrored_clip(clip: HandObjectTrajectory) -> HandObjectTrajectory:
    """Hands, motion and object in the mirror."""
    return replace(
        clip,
        name=clip.name + SUFFIX,
        hands={OTHER_SIDE[side]: _track(hand, OTHER_SIDE[side]) for side, hand in clip.hands.items()},
        object_name=clip.object_name + SUFFIX,
        object_pose=mirrored_pose(clip.object_pose),
        object_covariance=np.zeros((0, 6, 6)),
        provenance=clip.provenance | {"mirrored": True},
    )


def mirrored_pose(pose: np.ndarray) -> np.ndarray:
    """Poses (..., 7) of the mirrored mesh in the mirrored world."""
    return make_pose(pose[..., :3] * MIRRORED_POINT, pose[..., 3:] * MIRRORED_QUAT)


def mirrored_mesh(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) in the mirror, still facing outward."""
    return np.asarray(vertices, float) * MIRRORED_POINT, np.ascontiguousarray(np.asarray(faces)[:, ::-1])


def _track(hand: HandTrack, side: str) -> HandTrack:
    keypoints = hand.keypoints * MIRRORED_POINT
    parameters = hand.parameters
    if hand.model == "mano" and len(parameters):
        poses = np.stack([HandPose.from_vector(row[:51]).mirrored().vector() for row in parameters])
        parameters = np.concatenate([poses, parameters[:, 51:]], axis=1)
    elif len(parameters):
        return HandTrack(keypoints, wrist_pose(keypoints, side), hand.confidence)
    return replace(
        hand, keypoints=keypoints, wrist_pose=wrist_pose(keypoints, side), parameters=parameters,
        keypoint_covariance=np.zeros((0, 21, 3, 3)),
    )  # fmt: skip
