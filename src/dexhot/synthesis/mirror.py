"""A clip in a mirror: the other hand, with an object that looks the same in it."""

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from dexhot.data.keypoints import OTHER_SIDE, wrist_pose
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.geometry.meshes import surface_samples
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import matrix_to_quat, quat_to_matrix
from dexhot.objects.asset import ObjectAsset

ALIKE = 0.002  # m: largest 95th percentile of the distance between an object and its mirror image
SAMPLES = 1500
WORLD = np.array([1.0, -1.0, 1.0])  # the world is mirrored in y


def one_side(clip: HandObjectTrajectory, asset: ObjectAsset, side: str) -> HandObjectTrajectory:
    """The clip with one hand: the one of `side`, or the other one in a mirror. Raises ClipError if the object has no
    plane of symmetry."""
    if side in clip.hands:
        return replace(clip, hands={side: clip.hands[side]})
    return mirrored(clip, asset)


def mirrored(clip: HandObjectTrajectory, asset: ObjectAsset) -> HandObjectTrajectory:
    """Hands and motion mirrored in y; the object is the same one, turned as its mirror image lies."""
    normal, offset = symmetry_plane(asset)
    reflect = np.eye(3) - 2 * np.outer(normal, normal)
    R = WORLD[:, None] * quat_to_matrix(clip.object_pose[:, 3:]) @ reflect
    place = clip.object_pose[:, :3] + quat_to_matrix(clip.object_pose[:, 3:]) @ (2 * offset * normal)
    hands = {}
    for side, track in clip.hands.items():
        points = track.keypoints * WORLD
        other = OTHER_SIDE[side]
        hands[other] = replace(
            track, keypoints=points, wrist_pose=wrist_pose(points, other), parameters=np.zeros((0, 0)), model="",
            keypoint_covariance=np.zeros((0, 21, 3, 3)),
        )  # fmt: skip
    pose = make_pose(place * WORLD, matrix_to_quat(R))
    return replace(
        clip, name=f"{clip.name}-mirrored", hands=hands, object_pose=pose, object_covariance=np.zeros((0, 6, 6))
    )


def symmetry_plane(asset: ObjectAsset) -> tuple[np.ndarray, float]:
    """Normal (3,) and offset (m along it) of a plane in which the object is its own mirror image. Raises ClipError."""
    points = surface_samples(asset.vertices, asset.faces, SAMPLES)[0]
    dense = cKDTree(surface_samples(asset.vertices, asset.faces, 8 * SAMPLES, seed=1)[0])
    principal = np.linalg.eigh(np.cov(points.T))[1].T
    middle = 0.5 * (asset.vertices.min(axis=0) + asset.vertices.max(axis=0))
    best, best_off = (principal[0], 0.0), np.inf
    for centre in (points.mean(axis=0), middle):
        for normal in (*np.eye(3), *principal):
            offset = float(normal @ centre)
            image = points - 2 * ((points @ normal) - offset)[:, None] * normal
            off = float(np.percentile(dense.query(image)[0], 95))
            if off < best_off:
                best, best_off = (normal, offset), off
    spacing = float(np.percentile(dense.query(points)[0], 95))  # of the samples themselves
    if best_off > ALIKE + spacing:
        raise ClipError(
            f"{asset.name} differs from its mirror image by {1e3 * best_off:.1f} mm, so its clips cannot be mirrored "
            "to the other hand; leave --side out, or take another clip."
        )
    return best
