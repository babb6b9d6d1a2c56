"""A clip of a few frames drawn in depth and labels alone: another hand than the fitted one carries a box."""

import numpy as np

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.fitting.scene import object_model
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import IDENTITY, compose, inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat, quat_to_matrix, rotvec_to_quat
from dexhot.geometry.triangles import vertex_normals
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.humans.zones import contact_zones
from dexhot.objects.shapes import named_shape, shape_asset

CAMERA = Intrinsics(320, 240, 307.0, 307.0, 159.5, 119.5)
ASSET = shape_asset(named_shape("parametric/box-50x70x100"))
MODEL = object_model(ASSET)  # of which each test may have a part, and changes none
HAND = open_hand()
SHAPE = np.array([0.6, -0.5, 0.4, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0])


def tiny_clip(
    frames: int = 16, speed: float = 0.004, seed: int = 0, at: np.ndarray = IDENTITY
) -> tuple[Recording, Evidence, np.ndarray]:
    """Recording, evidence with noisy keypoints (mediapipe's convention), and true keypoints (T, 21, 3) m in the scene.

    `at` (7,): camera_T_scene; the recording's world is the scene where it is given.
    """
    rng = np.random.default_rng(seed)
    person, f = HAND.shaped(SHAPE), np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    faces = np.asarray(ASSET.faces, np.int64)
    size = (frames, CAMERA.height, CAMERA.width)
    depth, labels = np.zeros(size, np.uint16), np.zeros(size, np.uint8)
    points, seen, object_pose = [], [], []
    grasp = None
    for t in range(frames):
        turn = rotvec_to_quat(np.array([0.3, 2.6, 0.4]) + 0.01 * t * np.array([1.0, 0.0, 1.0]))
        pose = HandPose(quat_to_matrix(turn), np.array([speed * t - 0.03, 0.02, 0.6]), HAND.prior.fingers([0.3]))
        posed = person.posed(pose)
        if grasp is None:
            zones = contact_zones(HAND)
            out = vertex_normals(posed.vertices, HAND.faces)[zones["palm"]].mean(axis=0)
            middle = posed.vertices[np.concatenate(list(zones.values()))].mean(axis=0)
            middle += 0.058 * out / np.linalg.norm(out)  # the box touches the fingers
            R = quat_to_matrix(rotvec_to_quat(np.array([0.5, 0.2, -0.7])))
            grasp = pose.rotation.T @ R, pose.rotation.T @ (middle - posed.joints[0])
        R, x = pose.rotation @ grasp[0], posed.joints[0] + pose.rotation @ grasp[1]
        near, far = np.full(size[1:], 1e3), np.full(size[1:], 1e3)
        draw_depth(transform(at, posed.vertices), HAND.faces, f, near)
        draw_depth(transform(at, ASSET.vertices @ R.T + x), faces, f, far)
        labels[t] = np.where(np.minimum(near, far) > 100, 0, np.where(near < far, 1, 2))
        noisy = np.minimum(near, far) + 0.001 * rng.normal(size=near.shape)
        depth[t] = np.where(labels[t] > 0, np.round(1e3 * noisy), 900)
        points.append(posed.keypoints(HAND.table("mediapipe")))
        there = transform(at, points[-1])
        pixels = CAMERA.project(there) + rng.normal(size=(21, 2))
        seen.append(np.concatenate([there, pixels, (rng.random(21) > 0.15)[:, None]], axis=1))
        object_pose.append(compose(at, make_pose(x, matrix_to_quat(R))))
    time = np.arange(frames) / 30.0
    world = None if at is IDENTITY else inverse(at)
    recording = Recording("tiny", time, np.zeros((*size, 3), np.uint8), depth, CAMERA, world)
    evidence = Evidence("tiny", time, labels, {}, {"right": np.stack(seen)}, np.stack(object_pose))
    return recording, evidence, np.stack(points)
