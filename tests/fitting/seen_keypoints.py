"""Parametric demonstrations as a detector of keypoints and a depth camera would see them."""

import numpy as np

from dexhot.data.keypoints import BONES
from dexhot.datasets.parametric import generate
from dexhot.fitting.hand_fit import Sighting
from dexhot.geometry.poses import make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat

CAMERA = np.array([615.0, 615.0, 320.0, 240.0])  # fx fy cx cy of a RealSense at 640x480, px
STEP = 2  # of 60 Hz: a camera's 30 Hz
WHITE, SLOW, MISSING, OUTLIERS = 2.0, 2.0, 0.2, 0.03  # px, px, fractions
DEPTH_NOISE, HOLES = 0.003, 0.2  # m, fraction
FLESH = (0.004, 0.014)  # m from a joint to the skin before it, other for each joint
SIZE, BONE = (0.92, 1.08), 0.04  # of a person against the parametric hand; deviation of one bone, fraction
MEMORY = 0.9  # of the slow noise from frame to frame


def seen_clip(kind: str, shape: str, seed: int) -> tuple[np.ndarray, list[Sighting]]:
    """True keypoints (T, 21, 3) in the camera's frame, m, and what the camera and a detector make of them."""
    rng = np.random.default_rng(seed)
    world = generate(kind, shape, seed)[0].hands["right"].keypoints[::STEP]
    world = resized(world, rng)
    truth = transform(camera_pose(world.mean(axis=(0, 1)), rng), world)
    pixels = truth[..., :2] / truth[..., 2:] * CAMERA[:2] + CAMERA[2:]
    slow, flesh = np.zeros((21, 2)), rng.uniform(*FLESH, 21)
    sightings = []
    for x, uv in zip(truth, pixels):
        slow = MEMORY * slow + SLOW * np.sqrt(1 - MEMORY**2) * rng.normal(size=(21, 2))
        noisy = uv + slow + WHITE * rng.normal(size=(21, 2))
        wrong = rng.random(21) < OUTLIERS
        noisy[wrong] += rng.uniform(-60, 60, (wrong.sum(), 2))
        depth = x[:, 2] - flesh + DEPTH_NOISE * rng.normal(size=21)
        depth[rng.random(21) < HOLES] = 0.0
        sightings.append(Sighting((rng.random(21) > MISSING).astype(float), None, noisy, depth, CAMERA))
    return truth, sightings


def resized(keypoints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another person's: the whole hand and each of its bones longer or shorter, all directions kept."""
    out, size = keypoints.copy(), rng.uniform(*SIZE)
    for start, end in BONES:
        bone = keypoints[:, end] - keypoints[:, start]
        out[:, end] = out[:, start] + size * (1.0 + BONE * rng.normal()) * bone
    return out


def camera_pose(centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """camera_T_world (7,) of a camera that looks at `centre` from the front and above."""
    heading, height = rng.uniform(-1.0, 1.0), rng.uniform(0.4, 1.0)  # rad
    back = np.array([np.cos(heading) * np.cos(height), np.sin(heading) * np.cos(height), np.sin(height)])
    z = -back
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])  # rows: the camera's axes in the world
    eye = centre + rng.uniform(0.5, 0.9) * back
    return make_pose(-R @ eye, matrix_to_quat(R))
