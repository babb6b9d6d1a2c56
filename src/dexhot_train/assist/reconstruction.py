"""Hand-object clips reconstructed in physics (the paper's experiment B): the hand that Seeing fitted to a clip moves
the robot's hand, and the object must go the way it went.

The LEAP hand stands for the paper's MPL hand: four fingers, so poses are compared at its fingertips and the links that
human joints correspond to. The object starts at its true pose; nothing is known of it afterwards but what the
simulation has. There are no expert data, so there is no imitation reward.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.control.known_motion import turned
from dexhot.data.types import WRIST_JOINTS, HandObjectTrajectory, Reference
from dexhot.errors import ClipError, DexhotError
from dexhot.geometry.poses import compose, inverse
from dexhot.geometry.rotations import (
    mean_quat,
    quat_conjugate,
    quat_rotate,
    quat_to_matrix,
)
from dexhot.objects.asset import ObjectAsset
from dexhot.retargeting.contact_plan import ContactOptions, motion_interval
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.resampling import resample
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup
from dexhot_train.assist.assisted_worlds import AssistedWorlds
from dexhot_train.task.clips import TaskClip, task_clip
from dexhot_train.task.vector import Observations, Step

LOST = 0.10  # m from its true path: the object is lost, and the sequence ends
POURED = float(np.radians(25.0))  # of the tilt that the vessel has where it is tilted most
GIVEN = 0.05  # m from where it is handed over
POSE_WEIGHT = 0.01  # of eq. 6, per mm of the mean over the points (the paper's 0.01 has no unit)
TASKS = ("pour", "give")


@dataclass(frozen=True)
class Reconstruction:
    """A clip to reconstruct."""

    task: str  # of TASKS
    clip: TaskClip  # its reference is the user input: the fitted hand, retargeted as it came; the object's true path
    points: np.ndarray  # (T, P, 3) m, world: where the person's joints truly are, for the robot's tips and links
    moment: int  # the frame in which the vessel is tilted most, or the object is farthest from its start
    seen: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (T, F) visual features, or none


@dataclass
class ReconstructionOutcome:
    """What became of one clip."""

    kept: float  # fraction of the clip before the object was lost: T of the paper
    pose: float  # m, mean distance of the robot's tips and links from the person's: E_pose
    success: bool


def reconstruction(
    fit: HandObjectTrajectory, truth: HandObjectTrajectory, asset: ObjectAsset, task: str, hand_name: str = "leap_right"
) -> Reconstruction:
    """Of a fitted clip and its truth, frame by frame. Raises DexhotError where the object does not rest at the start,
    ClipError where it is moved too little for the task."""
    hand = load_hand(hand_name)
    setup = Setup(hand, asset, load_physics())
    keypoints, palm, _ = resample(fit, hand.side)
    true_points, _, object_pose = resample(truth, hand.side)
    base = mean_quat(palm)
    stream = StreamingRetargeter(hand, base)
    wrist = np.concatenate([keypoints[:, 0], palm], axis=1)
    user = np.array([stream.step(*frame) for frame in zip(keypoints, wrist)])
    start, end = motion_interval(object_pose, ContactOptions().moved)
    reference = Reference(
        name=truth.name,
        hand=hand.name,
        joint_names=[*WRIST_JOINTS, *hand.joint_names],
        base_quat=base,
        q=user,
        target=user.copy(),
        contact=np.zeros((len(user), len(hand.tip_sites))),
        object_name=asset.name,
        object_pose=object_pose,
        grasp_start=start,
        grasp_end=end,
        table_height=truth.table_height,
        provenance={"source": fit.source(), "servo": hand.servo},
    )
    points = np.array([stream.targets(frame) for frame in true_points])
    tilt, away = _tilt(object_pose, object_pose[:1]), np.linalg.norm(object_pose[:, :3] - object_pose[0, :3], axis=1)
    moment = int((tilt if task == "pour" else away).argmax())
    if (task == "pour" and tilt[moment] < 2 * POURED) or (task == "give" and away[moment] < 2 * GIVEN):
        raise ClipError(
            f"{truth.name} is not a clip of task {task}: its object is tilted by at most {np.degrees(tilt.max()):.0f} "
            f"degrees and moved by {100 * away.max():.0f} cm, so that one at rest could pass."
        )
    return Reconstruction(task, task_clip(reference, setup), points, moment)


def _tilt(pose: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(T,) rad by which the object's axis that is vertical at `start` is off the vertical."""
    axis = quat_rotate(quat_conjugate(start[:, 3:]), np.array([0.0, 0.0, 1.0]))
    tilt: np.ndarray = np.arccos(np.clip(quat_rotate(pose[:, 3:], axis)[..., 2], -1.0, 1.0))
    return tilt


def outcome(found: Reconstruction, q: np.ndarray, object_pose: np.ndarray, model: HandModel) -> ReconstructionOutcome:
    """Of hand vectors (T, 6+n) and object poses (T, 7) as simulated. A pour succeeds where the object is never lost and
    tilted as it was; a gift where the object is not lost before it is over its target."""
    true = found.clip.reference.object_pose
    away = np.linalg.norm(object_pose[:, :3] - true[:, :3], axis=1)
    lost = np.flatnonzero(~(away < LOST))
    ended = int(lost[0]) if len(lost) else len(true)
    off = []
    for hand, goal in zip(q, found.points):
        model.move(hand)
        off.append(np.linalg.norm(model.points() - goal, axis=1).mean())
    at = found.moment
    if found.task == "pour":
        tilts = [_tilt(path[at : at + 1], path[:1])[0] for path in (object_pose, true)]
        success = ended == len(true) and abs(tilts[0] - tilts[1]) < POURED
    else:
        success = ended > at and away[at] < GIVEN
    return ReconstructionOutcome(ended / len(true), float(np.mean(off)), bool(success))


@dataclass(frozen=True)
class ReconstructionOptions:
    """What the agent is paid, each frame 1 - distance of the object to its true path / LOST and eq. 6, and sees."""

    pose_weight: float = POSE_WEIGHT
    visual: bool = False  # sees the visual features, too


class ReconstructedHands(AssistedWorlds):
    """`size` worlds of fitted clips as a task for the learners, in the nominal physics, each from its clip's start.

    The agent subtracts a correction within the bounds of control.assistance (eq. 2). It sees the hand, the object as
    the palm sees it, and the user input; never the object's true path. An episode ends where the object is lost.
    """

    def __init__(
        self,
        clips: Sequence[Reconstruction],
        size: int,
        options: ReconstructionOptions | None = None,
        seed: int = 0,
        threads: int = 1,
        assigned: np.ndarray | None = None,
    ):
        """assigned (N,): the clip of each world, in place of draws."""
        super().__init__([one.clip for one in clips], size, threads)
        self.clips, self.seed, self.assigned = list(clips), seed, assigned
        self.options = options or ReconstructionOptions()
        self.models = [point_model(one) for one in clips]
        self.inputs = self.table.baseline  # (K, T, 6+n)
        self.seen = self._padded([one.seen for one in clips]) if self.options.visual else None
        self.earned = np.zeros(size)  # return of the episode
        self._begin(np.arange(size))
        self.policy_size = self.critic_size = self.state_size = self.observed().policy.shape[1]

    def reset(self) -> Observations:
        """New episodes in all worlds."""
        self.episode += 1
        self._begin(np.arange(self.size))
        return self.observed()

    def step(self, actions: np.ndarray) -> Step:
        """One control step with outputs (N, 6+n) in -1 to 1. Worlds whose episode ended begin anew."""
        applied = self.advance(self.corrected(actions))
        reward = 1.0 - np.minimum(self.away / LOST, 1.0) - 1e3 * self.options.pose_weight * self._pose_error()
        reward[self.simulator.diverged] = 0.0
        self.earned += reward
        terminated = ~(self.away < LOST) | self.simulator.diverged
        truncated = ~terminated & (self.frame >= self.last())
        done = np.flatnonzero(terminated | truncated)
        last = self.observed().critic
        kept = self.frame / (self.last() + 1)
        finished = [{"success": float(truncated[n]), "kept": float(kept[n]), "return": self.earned[n]} for n in done]
        self.episode[done] += 1
        self._begin(done)
        return Step(self.observed(), reward, terminated, truncated, last, applied.astype(np.float32), finished)

    def advance(self, targets: np.ndarray) -> np.ndarray:
        """As AssistedWorlds; an object that the simulation lost is infinitely far away."""
        super().advance(targets)
        self.away = np.nan_to_num(self.away, nan=np.inf)
        return targets

    def user(self) -> np.ndarray:
        """The user's present input (N, 6+n), m and rad."""
        found: np.ndarray = self.inputs[self.clip, self.frames()]
        return found

    def palm(self) -> np.ndarray:
        """(N, 4) world rotation of the reference's present palm."""
        found: np.ndarray = self.table.palm_pose[self.clip, self.frames(), 3:]
        return found

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        """There is none."""
        return np.zeros((self.size, self.action_size)), np.zeros(self.size, bool)

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name).copy() for name in ("episode", "clip", "frame", "earned", "away")}
        return {"task": kept, "simulator": self.simulator.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        for name, value in snapshot["task"].items():
            setattr(self, name, np.array(value))
        self.simulator.restore(snapshot["simulator"])

    def observed(self) -> Observations:
        """Hand vector beside the user's, its velocity, the object and its velocity in the palm's frame, its height
        above its start, fingertip contacts and the user's fingers; actor and critic see the same."""
        now = self.simulator.reading()
        palm = palm_poses(self.table.base_quat[self.clip], now.q)
        back = quat_conjugate(palm[:, 3:])
        seen = compose(inverse(palm), now.object_pose)
        away = turned(self.user() - now.q, back) / self.bound
        twist = np.concatenate([quat_rotate(back, now.object_twist[:, k : k + 3]) for k in (0, 3)], axis=1)
        height = now.object_pose[:, 2] - self.table.object_pose[self.clip, 0, 2]
        parts = [
            np.clip(away, -5.0, 5.0),
            np.clip(0.1 * now.qd, -3.0, 3.0),
            np.clip(10.0 * seen[:, :3], -5.0, 5.0),
            quat_to_matrix(seen[:, 3:])[:, :, :2].reshape(self.size, 6),
            np.clip(twist * np.repeat([1.0, 0.1], 3), -3.0, 3.0),
            np.clip(10.0 * height[:, None], -3.0, 3.0),
            now.tip_contact,
            self.user()[:, 6:],
            *([] if self.seen is None else [self.seen[self.clip, self.frames()]]),
        ]
        row = np.nan_to_num(np.concatenate(parts, axis=1)).astype(np.float32)
        return Observations(row, row)

    def _padded(self, rows: list[np.ndarray]) -> np.ndarray:
        """(K, T, F) features, the last ones behind a clip's end."""
        if any(len(of_clip) < length for of_clip, length in zip(rows, self.table.length)):
            raise DexhotError("a clip has no visual features of every frame: ask for an agent without (visual=False).")
        longest = self.table.q.shape[1]
        return np.stack([of_clip[np.minimum(np.arange(longest), len(of_clip) - 1)] for of_clip in rows])

    def _pose_error(self) -> np.ndarray:
        """(N,) m, mean distance of the robot's tips and links from the person's."""
        q, off = self.simulator.reading().q, np.zeros(self.size)
        for n, (k, t) in enumerate(zip(self.clip, self.frames())):
            self.models[k].move(q[n])
            off[n] = np.linalg.norm(self.models[k].points() - self.clips[k].points[t], axis=1).mean()
        return off

    def _begin(self, rows: np.ndarray) -> None:
        """Start the present episodes of worlds `rows`; they depend on seed, world and the episode's number alone."""
        for n in rows:
            rng = np.random.default_rng([self.seed, int(n), int(self.episode[n])])
            self.clip[n] = rng.integers(len(self.clips)) if self.assigned is None else self.assigned[n]
        self.put_at_start(rows)
        self.earned[rows] = 0.0


Corrector = Callable[[ReconstructedHands, np.ndarray], np.ndarray]  # of hands and observations -> targets (N, 6+n)


def user_alone(hands: ReconstructedHands, seen: np.ndarray) -> np.ndarray:
    """IK: the user input as it is."""
    return hands.user()


def outcomes(
    clips: Sequence[Reconstruction], corrector: Corrector, threads: int = 1, visual: bool = False
) -> list[ReconstructionOutcome]:
    """Of each clip, once: nothing is random. visual: the corrector sees the visual features."""
    options = ReconstructionOptions(visual=visual)
    hands = ReconstructedHands(clips, len(clips), options, threads=threads, assigned=np.arange(len(clips)))
    longest = hands.table.q.shape[1]
    q = np.empty((len(clips), longest, hands.action_size))
    object_pose = np.empty((len(clips), longest, 7))
    for t in range(longest):
        now = hands.simulator.reading()
        q[:, t], object_pose[:, t] = now.q, now.object_pose
        if t < longest - 1:
            hands.advance(corrector(hands, hands.observed().policy))
    found = []
    for k, (one, length) in enumerate(zip(clips, hands.table.length)):
        found.append(outcome(one, q[k, :length], object_pose[k, :length], hands.models[k]))
    return found


def point_model(one: Reconstruction) -> HandModel:
    """Where a clip's hand has its fingertips and links."""
    reference = one.clip.reference
    return HandModel(one.clip.setup.hand, correspondence(one.clip.setup.hand).links, reference.base_quat)
