"""The Simulator protocol and its threaded MuJoCo backend: many worlds, one call, at the 60 Hz control rate."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from mujoco import rollout as mj_rollout
from numpy.typing import ArrayLike

from dexhot.errors import DexhotError
from dexhot.simulation.scene import Scene, reset

STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
log = logging.getLogger(__name__)


def _hear_warning(text: str) -> None:
    """Replaces MuJoCo's handler, which writes MUJOCO_LOG.TXT where the user is. Batch.diverged reports divergence."""
    log.log(logging.DEBUG if text.startswith("Nan, Inf or huge value") else logging.WARNING, text)


mujoco.set_mju_user_warning(_hear_warning)


@dataclass
class Batch:
    """Result of N worlds over h control steps. A diverged world's rows repeat its last valid values from then on."""

    states: np.ndarray  # (N, h, ns) after each control step
    sensors: np.ndarray  # (N, h, nsens)
    diverged: np.ndarray  # (N,) bool: the world met a non-finite or huge value


@dataclass
class Contacts:
    """Contacts of each of T states."""

    penetration: np.ndarray  # (T,) deepest penetration between robot and object, m, >= 0
    self_penetration: np.ndarray  # (T,) between two fingers, or a finger and the palm, m, >= 0
    table_contact: np.ndarray  # (T,) bool: the object touches the table
    tip_contact: np.ndarray  # (T, tips) bool: the fingertip's link touches the object


class BatchSimulator(Protocol):
    """What planning needs from a physics engine. A state is an opaque (ns,) row of float64."""

    scene: Scene

    def rollout(self, states: ArrayLike, controls: ArrayLike, models: Sequence[mujoco.MjModel] | None = None) -> Batch:
        """Simulate N worlds from states (N, ns) with controls (N, h, nu), one per control step; `models`: one per
        world."""

    def object_pose(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., 7) world_T_mesh."""


class Simulator(BatchSimulator, Protocol):
    """What mining and evaluation need in addition."""

    def initial_state(
        self, q: ArrayLike, object_pose: ArrayLike | None = None, qd: ArrayLike | None = None
    ) -> np.ndarray:
        """(ns,) with joint positions q and velocities qd in the scene's order (rad, rad/s; default: at rest) and the
        object at `object_pose` (7,), world_T_mesh."""

    def joint_positions(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., joints) in the scene's joint_names order."""

    def contacts(self, states: np.ndarray) -> Contacts:
        """Contacts of states (T, ns), by collision detection without a step."""


class MujocoSimulator:
    """C MuJoCo through mujoco.rollout's thread pool."""

    def __init__(self, scene: Scene, threads: int = 1, largest: mujoco.MjModel | None = None):
        """`largest`: a model whose MjData has room for every model that `rollout` is called with; default: the
        scene's."""
        self.scene, self.model = scene, scene.model
        self.datas = [mujoco.MjData(largest or self.model) for _ in range(max(1, threads))]
        self.pool = mj_rollout.Rollout(nthread=threads if threads > 1 else 0)
        self.state_size = mujoco.mj_stateSize(self.model, STATE)
        self.lock = threading.Lock()  # a planner may run in a thread of its own; two at once in the same MjData crash

    def initial_state(
        self, q: ArrayLike, object_pose: ArrayLike | None = None, qd: ArrayLike | None = None
    ) -> np.ndarray:
        """(ns,) the state before any step; arguments and errors as of `scene.reset`."""
        data = mujoco.MjData(self.model)
        reset(self.scene, data, q, object_pose, qd)
        state = np.empty(self.state_size)
        mujoco.mj_getState(self.model, data, state, STATE)
        return state

    def rollout(
        self,
        states: ArrayLike,
        controls: ArrayLike,
        models: Sequence[mujoco.MjModel] | None = None,
        substeps: np.ndarray | None = None,
    ) -> Batch:
        """Step N worlds through h control steps, each control held for `substeps` (h,) steps, else `physics.substeps`.

        states: (N, ns) or one (ns,) for all; controls: (N, h, nu) or one (h, nu) for all; models: one per world,
        e.g. of `scene.perturbed`, instead of this simulator's.
        """
        states, controls = np.atleast_2d(states), np.asarray(controls, float)
        controls = controls[None] if controls.ndim == 2 else controls
        n = max(len(states), len(controls), len(models) if models else 1)
        if substeps is None:
            substeps = np.full(controls.shape[1], self.scene.physics.substeps)
        held = np.repeat(np.broadcast_to(controls, (n, *controls.shape[1:])), substeps, axis=1)
        world_states = np.array(np.broadcast_to(states, (n, states.shape[1])))
        model = list(models) if models else self.model
        with self.lock:
            x, s = self.pool.rollout(model, self.datas, world_states, held)
        last = np.cumsum(substeps) - 1
        x, s = x[:, last], s[:, last]
        # MuJoCo freezes a diverging world or resets its clock: either way its time falls behind.
        elapsed = x[:, -1, 0] - world_states[:, 0]
        on_time = np.abs(elapsed - substeps.sum() * self.scene.physics.timestep) < 1e-6
        finite = np.isfinite(x[:, -1]).all(axis=1) & np.isfinite(s[:, -1]).all(axis=1)
        return Batch(x, s, ~(on_time & finite))

    def joint_positions(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., joints) in the scene's joint_names order."""
        return np.asarray(states)[..., 1 + self.scene.q_address]

    def joint_velocities(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., joints), m/s and rad/s, in the scene's joint_names order."""
        return np.asarray(states)[..., 1 + self.model.nq + self.scene.v_address]

    def object_pose(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., 7) world_T_mesh, the quaternion normalised."""
        where = self.scene.object_qpos
        if where is None:
            raise DexhotError("this scene has no object, so it has no object pose.")
        pose = np.array(np.asarray(states)[..., 1 + where.start : 1 + where.stop])
        pose[..., 3:] /= np.linalg.norm(pose[..., 3:], axis=-1, keepdims=True)
        return pose

    def contacts(self, states: np.ndarray) -> Contacts:
        """Contacts of states (T, ns), by collision detection without a step."""
        with self.lock:
            return self._contacts(states)

    def _contacts(self, states: np.ndarray) -> Contacts:
        scene, model, data = self.scene, self.scene.contact_model, self.datas[0]
        kind = np.full(model.ngeom, 9)  # 1 robot, 3 object, 5 table: a contact pair is identified by its sum
        kind[scene.hand_geoms], kind[scene.object_geoms], kind[scene.table_geom] = 1, 3, 5
        tip = np.full(model.ngeom, -1)
        for k, geoms in enumerate(scene.tip_geoms):
            tip[geoms] = k
        T = len(states)
        out = Contacts(np.zeros(T), np.zeros(T), np.zeros(T, bool), np.zeros((T, len(scene.tip_geoms)), bool))
        for t, state in enumerate(np.asarray(states)):
            mujoco.mj_setState(model, data, state, STATE)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_collision(model, data)
            pairs, depth = data.contact.geom, -data.contact.dist
            touching = depth > 0
            pair_kind = kind[pairs].sum(axis=1)
            grasp = touching & (pair_kind == 4)
            out.self_penetration[t] = depth[pair_kind == 2].max(initial=0.0)
            out.penetration[t] = depth[grasp].max(initial=0.0)
            out.table_contact[t] = (touching & (pair_kind == 8)).any()
            tips = tip[pairs[grasp]].max(axis=1, initial=-1)
            out.tip_contact[t, tips[tips >= 0]] = True
        return out
