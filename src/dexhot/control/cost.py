"""Tracking cost terms: plain functions of a batch of rollouts, weighted and summed by `Tracking.cost`.

Every term takes arrays over (N rollouts, h control steps) and returns (N, h).
"""

from dataclasses import dataclass, fields

import mujoco
import numpy as np

from dexhot.data.types import Reference
from dexhot.errors import DexhotError
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.rotations import quat_angle, quat_conjugate, quat_rotate
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.backend import Batch
from dexhot.simulation.scene import Scene


@dataclass(frozen=True)
class Weights:
    """Cost per unit of each term: m, rad, squared fraction of the torque limits, fraction of missing contacts."""

    object_position: float = 20.0
    object_rotation: float = 1.5
    palm_position: float = 2.0
    palm_rotation: float = 0.5
    tips: float = 2.0  # fingertips in the world
    tips_on_object: float = 6.0  # fingertips in the object's frame: the grasp
    fingers: float = 0.1
    contact: float = 0.1
    effort: float = 0.02
    penetration: float = 50.0
    final: float = 3.0  # weight of the horizon's last step


@dataclass(frozen=True)
class Targets:
    """The reference quantities that the cost compares, one row per frame (T)."""

    object_position: np.ndarray  # (T, 3) of the object's centre of symmetry (the mesh origin where it has none)
    object_quat: np.ndarray  # (T, 4)
    palm_position: np.ndarray  # (T, 3)
    palm_quat: np.ndarray  # (T, 4)
    fingers: np.ndarray  # (T, n)
    tips: np.ndarray  # (T, k, 3) world
    tips_on_object: np.ndarray  # (T, k, 3) object frame
    contact: np.ndarray  # (T, k) in [0, 1]

    def at(self, frames: np.ndarray) -> "Targets":
        return Targets(*(getattr(self, f.name)[frames] for f in fields(self)))


def targets(reference: Reference, scene: Scene) -> Targets:
    """Targets of a reference; fingertips by the scene's own kinematics."""
    data, model = mujoco.MjData(scene.model), scene.model
    sites = [model.site(name).id for name in _hand(scene).tip_sites]
    tips = np.zeros((len(reference.q), len(sites), 3))
    for t, q in enumerate(reference.q):
        scene.set_joints(data, q)
        mujoco.mj_kinematics(model, data)
        tips[t] = data.site_xpos[sites]
    position, quat = reference.object_pose[:, :3], reference.object_pose[:, 3:]
    palm = palm_poses(reference.base_quat, reference.q)
    return Targets(
        object_position=position + quat_rotate(quat, _center(scene)),
        object_quat=quat,
        palm_position=palm[:, :3],
        palm_quat=palm[:, 3:],
        fingers=reference.q[:, 6:],
        tips=tips,
        tips_on_object=in_frame(position[:, None], quat[:, None], tips),
        contact=reference.contact,
    )


def tracking_cost(scene: Scene, batch: Batch, controls: np.ndarray, wanted: Targets, weights: Weights) -> np.ndarray:
    """(N,) mean weighted cost of the rollouts of `controls` (N, h, nu) against `wanted` (h rows); inf if diverged."""
    s = {name: batch.sensors[..., where] for name, where in scene.sensors.items()}
    q, v = batch.states[..., 1 + scene.q_address], batch.states[..., 1 + scene.model.nq + scene.v_address]
    position, quat = s["object_position"], s["object_quat"]
    tips = s["tips"].reshape(*s["tips"].shape[:2], -1, 3)
    center = position + quat_rotate(quat, _center(scene))
    grasp = in_frame(position[:, :, None], quat[:, :, None], tips)
    cost: np.ndarray = (
        weights.object_position * distance(center, wanted.object_position)
        + weights.object_rotation * reduced_angle(_object(scene).symmetry, wanted.object_quat, quat)
        + weights.palm_position * distance(s["palm_position"], wanted.palm_position)
        + weights.palm_rotation * quat_angle(s["palm_quat"], wanted.palm_quat)
        + weights.tips * distance(tips, wanted.tips).mean(-1)
        + weights.tips_on_object * distance(grasp, wanted.tips_on_object).mean(-1)
        + weights.fingers * np.abs(q[..., 6:] - wanted.fingers).mean(-1)
        + weights.contact * missing_contact(s["tip_contact"], wanted.contact)
        + weights.effort * effort(scene, controls, q, v)
        + weights.penetration * penetration(s["penetration"])
    )
    cost[:, -1] *= weights.final
    return np.where(batch.diverged, np.inf, cost.mean(axis=1))


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of points (..., 3) and (..., 3), m."""
    length: np.ndarray = np.linalg.norm(a - b, axis=-1)
    return length


def in_frame(position: np.ndarray, quat: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points (..., 3) expressed in the frame at `position` (..., 3), `quat` (..., 4) wxyz."""
    return quat_rotate(quat_conjugate(quat), points - position)


def missing_contact(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N, h) mean over fingertips of the missing contact. found (N, h, k): contact counts; wanted (h, k) in [0, 1]."""
    missing: np.ndarray = (wanted * (found <= 0)).mean(-1)
    return missing


def effort(scene: Scene, controls: np.ndarray, q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(N, h) mean over the fingers of (servo torque / torque limit)^2, saturating at 1."""
    servo = scene.physics.finger(_hand(scene))
    torque = servo.kp * (controls[..., 6:] - q[..., 6:]) - servo.kv * v[..., 6:]
    saturated: np.ndarray = np.minimum(np.square(torque / servo.torque), 1.0).mean(-1)
    return saturated


def penetration(nearest: np.ndarray, allowed: float = 0.001) -> np.ndarray:
    """(N, h) penetration of hand and object beyond `allowed`, m; `nearest` (N, h, 1): their signed distance, m."""
    return np.maximum(-nearest[..., 0] - allowed, 0.0)


def _center(scene: Scene) -> np.ndarray:
    return np.asarray(_object(scene).symmetry.center, float)


def _hand(scene: Scene) -> RobotHand:
    if scene.hand is None:
        raise DexhotError("tracking needs a scene with a hand; build it with `floating_scene(hand, asset, ...)`.")
    return scene.hand


def _object(scene: Scene) -> ObjectAsset:
    if scene.object is None:
        raise DexhotError("tracking needs a scene with an object; build it with `floating_scene(hand, asset, ...)`.")
    return scene.object
