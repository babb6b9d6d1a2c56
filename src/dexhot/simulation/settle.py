"""Rest checks: whether an object is at rest, and the pose in which it comes to rest."""

import copy

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.errors import DexhotError
from dexhot.geometry.poses import lowest
from dexhot.objects.asset import ObjectAsset
from dexhot.simulation.scene import Scene

MOVED = 0.005  # m


def settle_height(asset: ObjectAsset, pose: ArrayLike, table_height: float = 0.0) -> np.ndarray:
    """`pose` (7,) moved along z until the object just touches the table: neither inside it nor floating."""
    pose = np.array(pose, float)
    pose[2] += table_height - lowest(pose, asset.corners)
    return pose


def settle_check(scene: Scene, object_pose: ArrayLike, seconds: float = 0.2) -> tuple[float, float]:
    """Speed (m/s, rad/s) of the object after `seconds` alone on the table, from rest at `object_pose`."""
    data = drop(scene, object_pose, seconds)
    v = data.qvel[scene.object_dof]
    return float(np.linalg.norm(v[:3])), float(np.linalg.norm(v[3:]))


def rests(scene: Scene, object_pose: ArrayLike) -> bool:
    """Whether the object stays at rest after a reset to `object_pose`: 0.2 s later it is slower than physics.rest_speed
    and within MOVED of `object_pose` (it did not drop)."""
    return _unrest(scene, object_pose) is None


def require_rest(scene: Scene, object_pose: ArrayLike) -> None:
    """Raises DexhotError unless the object `rests` at `object_pose`."""
    unrest = _unrest(scene, object_pose)
    if unrest is not None:
        (speed, turn, moved), (limit, turn_limit) = unrest, scene.physics.rest_speed
        name = scene.object.name if scene.object else "the object"
        raise DexhotError(
            f"{name} is not at rest after the reset: {speed:.3f} m/s, {turn:.2f} rad/s and {1e3 * moved:.1f} mm away "
            f"0.2 s later (limits {limit:g} m/s, {turn_limit:g} rad/s, {1e3 * MOVED:g} mm). Start it from one of "
            "the `resting_poses` in its file; a clip is corrected by retargeting it again."
        )


def _unrest(scene: Scene, object_pose: ArrayLike) -> tuple[float, float, float] | None:
    """Speed (m/s, rad/s) and displacement (m) of an object that does not rest; None for one that does."""
    speed, turn = settle_check(scene, object_pose)
    limit, turn_limit = scene.physics.rest_speed
    moved = float(np.linalg.norm(settle(scene, object_pose, 0.2)[:3] - np.asarray(object_pose)[:3]))
    return (speed, turn, moved) if speed > limit or turn > turn_limit or moved > MOVED else None


def settle(scene: Scene, object_pose: ArrayLike, seconds: float = 1.0) -> np.ndarray:
    """The pose (7,) of the object alone on the table, `seconds` after release at `object_pose`."""
    reached: np.ndarray = drop(scene, object_pose, seconds).qpos[scene.object_qpos].copy()
    return reached


def drop(scene: Scene, object_pose: ArrayLike, seconds: float) -> mujoco.MjData:
    """The world `seconds` after release of the object at `object_pose`; the robot's contacts are disabled."""
    model = copy.copy(scene.model)
    model.geom_contype[scene.hand_geoms] = model.geom_conaffinity[scene.hand_geoms] = 0
    data = mujoco.MjData(model)
    data.qpos[scene.object_qpos] = object_pose
    mujoco.mj_step(model, data, nstep=max(1, round(seconds / model.opt.timestep)))
    return data
