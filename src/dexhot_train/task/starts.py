"""States that episodes start from, per clip: its first frame, its approach, and states that physics has visited.

A frame of a kinematic reference is not a state: fingers that press into an object eject it. So the hand is put beside
an object that rests on the table (first frame, approach), or a whole state is taken that a simulated plan went through:
moving, or held at constant targets until everything is at rest. All but the visited ones start at rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.rotations import quat_rotate
from dexhot.planning.prior import unfitted
from dexhot.planning.structured import StructuredPlans
from dexhot.rollouts.floating import start_state
from dexhot.simulation.backend import Batch, MujocoSimulator
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.simulators import Start, ThreadedMujoco

KINDS = ("first", "approach", "visited", "held")
EVERY = 6  # frames between the visited states that are kept
NEAR, TURNED = 0.03, np.radians(30)  # m and rad: how far a visited object may be from the reference's
HOLD = 40  # steps at constant targets until a held object is at rest
STILL = 0.02  # m/s: faster at the end of HOLD, it is not held


@dataclass(frozen=True)
class StartOptions:
    """Fractions of episodes by the kind of their start; kinds that a clip does not have fall to its first frame."""

    first: float = 0.4
    approach: float = 0.2
    visited: float = 0.3
    held: float = 0.1
    plans: int = 24  # structured plans whose states are visited, besides those of the clip's demonstration

    def fractions(self) -> np.ndarray:
        """(4,) of KINDS, their sum 1."""
        weight = np.array([self.first, self.approach, self.visited, self.held])
        fractions: np.ndarray = weight / weight.sum()
        return fractions


@dataclass
class StartTable:
    """A clip's starts; rows S."""

    kind: np.ndarray  # (S,) index into KINDS
    frame: np.ndarray  # (S,) of the reference
    start: Start
    residual: np.ndarray  # (S, 6+n) by which the visited plan's target differs from the baseline

    def of_kind(self, kind: int) -> np.ndarray:
        """Rows of that kind; the first frame where there are none."""
        rows = np.flatnonzero(self.kind == kind)
        return rows if len(rows) else np.zeros(1, int)


def find_starts(clip: TaskClip, baseline: np.ndarray, options: StartOptions, seed: int) -> StartTable:
    """The starts of a clip. The search is a few hundred steps of physics per plan, in the nominal world."""
    r = clip.reference
    simulator = ThreadedMujoco([clip], 1, [[None]]).simulator
    last = max(1, min(r.grasp_start - 10, len(r.q) - 2))
    frames = np.r_[0, np.arange(EVERY, last, EVERY)]
    kind = np.r_[0, np.ones(len(frames) - 1, int)]
    rest = np.repeat(r.object_pose[:1], len(frames), axis=0)
    still = Start(r.q[frames], np.zeros_like(r.q[frames]), rest, np.zeros((len(frames), 6)))
    tables = [StartTable(kind, frames, still, np.zeros_like(still.q))]
    if options.visited or options.held:
        actions = _plans(clip, options.plans, seed)
        batch = simulator.rollout(start_state(r, simulator), actions[:, :-1])
        tables += _visited(clip, simulator, batch, actions, baseline)
        tables += _held(clip, simulator, batch, actions, baseline)
    return StartTable(
        np.concatenate([t.kind for t in tables]),
        np.concatenate([t.frame for t in tables]),
        _joined([t.start for t in tables]),
        np.concatenate([t.residual for t in tables]),
    )


def _plans(clip: TaskClip, count: int, seed: int) -> np.ndarray:
    """(P, T, 6+n) actions: those of the demonstration, if there is one, and of draws of structured plans."""
    space = StructuredPlans(clip.reference, clip.setup.physics, clip.asset.symmetry.center)
    drawn = space.targets(unfitted(space.fingers).draw(max(1, count), np.random.default_rng(seed)))
    own = [clip.demonstration.actions[None]] if clip.demonstration else []
    return np.concatenate([*own, drawn])


def _visited(
    clip: TaskClip, simulator: MujocoSimulator, batch: Batch, actions: np.ndarray, baseline: np.ndarray
) -> list[StartTable]:
    """States along the plans from the grasp on, while the object is near the reference's."""
    r = clip.reference
    frames = np.arange(max(1, r.grasp_start - 10), len(r.q) - EVERY, EVERY)
    if not len(frames):
        return []
    plan, at = np.nonzero(_near(clip, simulator, batch.states[:, frames - 1], frames) & ~batch.diverged[:, None])
    frame = frames[at]
    states = batch.states[plan, frame - 1]  # row t - 1 is the state at frame t
    residual = actions[plan, frame] - baseline[frame]
    return [StartTable(np.full(len(frame), 2), frame, start_of(simulator, states), residual)]


def _held(
    clip: TaskClip, simulator: MujocoSimulator, batch: Batch, actions: np.ndarray, baseline: np.ndarray
) -> list[StartTable]:
    """States in the air that constant targets hold, at rest."""
    r = clip.reference
    lifted = np.flatnonzero(r.object_pose[:, 2] > r.object_pose[0, 2] + 0.015)
    frames = lifted[(lifted > r.grasp_start) & (lifted < len(r.q) - EVERY)][:: 2 * EVERY]
    if not len(frames):
        return []
    plan, at = np.nonzero(_near(clip, simulator, batch.states[:, frames - 1], frames) & ~batch.diverged[:, None])
    if not len(plan):
        return []
    frame = frames[at]
    target = actions[plan, frame]
    held = simulator.rollout(batch.states[plan, frame - 1], np.repeat(target[:, None], HOLD, axis=1))
    states = held.states[:, -1]
    found = start_of(simulator, states)
    good = _near(clip, simulator, states[:, None], frame[:, None])[:, 0] & ~held.diverged
    good &= np.linalg.norm(found.object_twist[:, :3], axis=1) < STILL
    good &= ~simulator.contacts(states).table_contact
    rest = Start(found.q[good], np.zeros_like(found.qd[good]), found.object_pose[good], np.zeros((good.sum(), 6)))
    return [StartTable(np.full(good.sum(), 3), frame[good], rest, (target - baseline[frame])[good])]


def start_of(simulator: MujocoSimulator, states: np.ndarray) -> Start:
    """What the task's simulators are reset to, of MuJoCo's states (M, ns)."""
    scene = simulator.scene
    assert scene.object_dof is not None
    at = 1 + scene.model.nq
    pose = simulator.object_pose(states)
    twist = states[:, at + scene.object_dof.start : at + scene.object_dof.stop].copy()
    twist[:, 3:] = quat_rotate(pose[:, 3:], twist[:, 3:])
    return Start(simulator.joint_positions(states), states[:, at + scene.v_address], pose, twist)


def _near(clip: TaskClip, simulator: MujocoSimulator, states: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(P, F) bool: whether the object of states (P, F, ns) is near the reference's at frames (F,) or (P, F)."""
    pose, wanted = simulator.object_pose(states), clip.reference.object_pose[frames]
    near: np.ndarray = np.linalg.norm(pose[..., :3] - wanted[..., :3], axis=-1) < NEAR
    wanted_quat = np.broadcast_to(wanted[..., 3:], pose[..., 3:].shape)
    near &= reduced_angle(clip.asset.symmetry, wanted_quat, pose[..., 3:]) < TURNED
    return near


def _joined(starts: Sequence[Start]) -> Start:
    names = ("q", "qd", "object_pose", "object_twist")
    return Start(*(np.concatenate([getattr(s, name) for s in starts]) for name in names))
