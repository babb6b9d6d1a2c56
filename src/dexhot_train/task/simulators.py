"""Simulators of the task: N floating hands with their objects, stepped in one call.

What crosses this interface are physical quantities, so that another engine, also one in another interpreter
(task/worker.py), can take MuJoCo's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import mujoco
import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry.rotations import quat_conjugate, quat_rotate
from dexhot.simulation.backend import STATE, MujocoSimulator
from dexhot.simulation.perturbation import Draw
from dexhot.simulation.scene import Scene, floating_scene
from dexhot_train.task.clips import TaskClip


@dataclass
class Start:
    """States to reset M worlds to."""

    q: np.ndarray  # (M, 6+n) hand vector
    qd: np.ndarray  # (M, 6+n)
    object_pose: np.ndarray  # (M, 7) world_T_mesh
    object_twist: np.ndarray  # (M, 6) m/s and rad/s, world axes


@dataclass
class WorldStates:
    """State of N worlds after a step, or a reset. Fingertips and contacts are those of the last substep's begin."""

    q: np.ndarray  # (N, 6+n)
    qd: np.ndarray  # (N, 6+n)
    object_pose: np.ndarray  # (N, 7)
    object_twist: np.ndarray  # (N, 6) m/s and rad/s, world axes
    tips: np.ndarray  # (N, k, 3) world
    tip_contact: np.ndarray  # (N, k) bool
    diverged: np.ndarray  # (N,) bool: since its last reset

    def at(self, rows: np.ndarray) -> "WorldStates":
        """Of the worlds `rows` alone."""
        return WorldStates(*(getattr(self, f.name)[rows] for f in fields(self)))


class TaskSimulator(Protocol):
    """What the task needs from an engine."""

    size: int  # worlds, N
    substeps: int  # of a control step, each with a command of its own

    def reset(self, rows: np.ndarray, clip: np.ndarray, world: np.ndarray, start: Start) -> None:
        """Put worlds `rows` (M,) into `start`, with clip (M,) and physics number `world` (M,) of that clip. No step."""

    def step(self, controls: np.ndarray) -> WorldStates:
        """A control step with position targets (N, substeps, 6+n)."""

    def reading(self) -> WorldStates:
        """Of the present state."""

    def snapshot(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on exactly from here."""

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Back to a snapshot of a simulator made with the same arguments."""


class MujocoWorlds:
    """State of N worlds of MuJoCo models, on the host; what steps it is a subclass's."""

    def __init__(self, clips: Sequence[TaskClip], size: int, worlds: Sequence[Sequence[Draw | None]]):
        """worlds: of each clip, the physics that `reset` chooses from; None is the nominal one."""
        self.size, self.clips = size, list(clips)
        first = self.scene = clips[0].scene
        self.substeps, self.sensors = first.physics.substeps, first.sensors
        self.models = [[d.model(c.scene) if d else c.scene.model for d in draws] for c, draws in zip(clips, worlds)]
        self.templates = np.stack([_template(clip) for clip in clips])
        self.states = np.repeat(self.templates[:1], size, axis=0)
        self.clip, self.world = np.zeros(size, int), np.zeros(size, int)
        tips, contacts = self.sensors["tips"], self.sensors["tip_contact"]
        self.tips = np.zeros((size, (tips.stop - tips.start) // 3, 3))
        self.tip_contact = np.zeros((size, contacts.stop - contacts.start), bool)
        self.diverged = np.zeros(size, bool)
        assert first.object_qpos is not None and first.object_dof is not None
        self._q, self._qd = 1 + first.q_address, 1 + first.model.nq + first.v_address
        self._pose = slice(1 + first.object_qpos.start, 1 + first.object_qpos.stop)
        at = 1 + first.model.nq
        self._twist = slice(at + first.object_dof.start, at + first.object_dof.stop)
        self._scratch = mujoco.MjData(largest_model(clips))

    def reset(self, rows: np.ndarray, clip: np.ndarray, world: np.ndarray, start: Start) -> None:
        rows = np.asarray(rows)
        states = self.templates[clip]
        states[:, self._q], states[:, self._qd] = start.q, start.qd
        states[:, self._pose] = start.object_pose
        states[:, self._twist] = start.object_twist
        turned = quat_rotate(quat_conjugate(start.object_pose[:, 3:]), start.object_twist[:, 3:])
        states[:, self._twist.start + 3 : self._twist.stop] = turned  # MuJoCo's angular velocity is the body's
        nq = self.scene.model.nq
        for k, (row, state) in enumerate(zip(rows, states)):
            scene = self.clips[clip[k]].scene
            scene.coupled.follow(state[1 : 1 + nq], state[1 + nq : 1 + nq + scene.model.nv])
            self.tips[row] = self._tips(self.models[clip[k]][world[k]], scene, state)
        self.states[rows], self.clip[rows], self.world[rows] = states, clip, world
        self.tip_contact[rows], self.diverged[rows] = False, False

    def advance(self, states: np.ndarray, sensors: np.ndarray, diverged: np.ndarray) -> WorldStates:
        """Take over states (N, ns) and sensors (N, nsens) after a control step."""
        self.states = states
        self.tips = sensors[:, self.sensors["tips"]].reshape(self.tips.shape)
        self.tip_contact = sensors[:, self.sensors["tip_contact"]] > 0
        self.diverged |= diverged
        return self.reading()

    def reading(self) -> WorldStates:
        s = self.states
        pose, twist = s[:, self._pose].copy(), s[:, self._twist].copy()
        pose[:, 3:] /= np.linalg.norm(pose[:, 3:], axis=1, keepdims=True)
        twist[:, 3:] = quat_rotate(pose[:, 3:], twist[:, 3:])
        return WorldStates(
            s[:, self._q], s[:, self._qd], pose, twist, self.tips.copy(), self.tip_contact.copy(), self.diverged.copy()
        )

    def snapshot(self) -> dict[str, np.ndarray]:
        names = ("states", "clip", "world", "tips", "tip_contact", "diverged")
        return {name: getattr(self, name).copy() for name in names}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        if snapshot["states"].shape != self.states.shape:
            raise DexhotError(
                f"the snapshot is of {len(snapshot['states'])} worlds, this simulator has {self.size}: resume with the "
                "settings that the training began with."
            )
        for name, value in snapshot.items():
            setattr(self, name, np.array(value))

    def _tips(self, model: mujoco.MjModel, scene: Scene, state: np.ndarray) -> np.ndarray:
        assert scene.hand is not None
        self._scratch.qpos[:] = state[1 : 1 + model.nq]
        mujoco.mj_kinematics(model, self._scratch)
        return np.array([self._scratch.site_xpos[model.site(name).id] for name in scene.hand.tip_sites])


class ThreadedMujoco(MujocoWorlds):
    """C MuJoCo, through the thread pool that mining and evaluation use."""

    def __init__(self, clips: Sequence[TaskClip], size: int, worlds: Sequence[Sequence[Draw | None]], threads: int = 1):
        """Arguments as of `MujocoWorlds`; threads of the pool."""
        super().__init__(clips, size, worlds)
        self.simulator = MujocoSimulator(self.scene, threads, largest_model(clips))

    @property
    def chosen(self) -> list[mujoco.MjModel]:
        """The model of each world."""
        return [self.models[c][w] for c, w in zip(self.clip, self.world)]

    def step(self, controls: np.ndarray) -> WorldStates:
        batch = self.simulator.rollout(self.states, controls, self.chosen, np.ones(controls.shape[1], int))
        return self.advance(batch.states[:, -1].copy(), batch.sensors[:, -1], batch.diverged)


def largest_model(clips: Sequence[TaskClip]) -> mujoco.MjModel:
    """A model whose MjData has room for that of every clip: its object has the pieces of all objects."""
    if len(clips) == 1:
        return clips[0].scene.model
    first = clips[0]
    asset = replace(first.asset, pieces=all_pieces(clips)[0])
    return floating_scene(
        first.setup.hand,
        asset,
        first.reference.base_quat,
        first.setup.physics,
        first.reference.table_height,
        visual=False,
    ).model


Pieces = list[tuple[np.ndarray, np.ndarray]]


def all_pieces(clips: Sequence[TaskClip]) -> tuple[Pieces, dict[str, slice]]:
    """The convex pieces of the clips' objects, and where each object's are, by its name."""
    unique = {clip.asset.name: clip.asset for clip in clips}
    end = np.cumsum([len(asset.pieces) for asset in unique.values()]).tolist()
    where = {name: slice(e - len(asset.pieces), e) for e, (name, asset) in zip(end, unique.items())}
    return [piece for asset in unique.values() for piece in asset.pieces], where


def _template(clip: TaskClip) -> np.ndarray:
    """(ns,) a state of the clip at time 0."""
    data = mujoco.MjData(clip.scene.model)
    state = np.empty(mujoco.mj_stateSize(clip.scene.model, STATE))
    mujoco.mj_getState(clip.scene.model, data, state, STATE)
    return state
