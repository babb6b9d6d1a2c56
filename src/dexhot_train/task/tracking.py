"""The tracking task (DexTrack, section 3.1 and appendix A.2): keep hand and object at a reference's frames, at 60 Hz.

In frame t the policy observes the state and the reference ahead; its action, added to a baseline trajectory, leads to
frame t + 1, where it is rewarded. The hand's gravity is off (its links are compensated, as in every scene here). The
baseline follows the object from where it is observed at the start, as playback does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from dexhot.control.action_space import action_space
from dexhot.control.batch_shaper import BatchShaper
from dexhot.control.controllers import following_object
from dexhot.control.observation import LAYOUTS, ClipToTrack, Observed, Observer, joint_velocity, pose_velocity
from dexhot.control.shaper import LEAD
from dexhot.data.types import Reference
from dexhot.errors import DexhotError
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import quat_angle, quat_multiply, quat_rotate, rotvec_to_quat
from dexhot.metrics.success import SUCCESSES
from dexhot.objects.encoder import ObjectEncoder
from dexhot.objects.object_offset import object_offset
from dexhot.simulation.perturbation import Draw
from dexhot_train.task.backends import task_simulator
from dexhot_train.task.clips import ClipTable, TaskClip
from dexhot_train.task.randomisation import Randomisation, draw_worlds, hand_sigma, ratios
from dexhot_train.task.rewards import REWARDS, RewardTerm, Transition, total
from dexhot_train.task.simulators import Start, TaskSimulator, WorldStates
from dexhot_train.task.starts import KINDS, StartOptions, find_starts
from dexhot_train.task.termination import TERMINATIONS, TerminationTerm, ended
from dexhot_train.task.vector import Observations, Step

_STRICT = SUCCESSES["success_strict"]  # its nominal limits on the object; where an object moves little they are lower
SUCCESS_MAX, SUCCESS_FINAL = 0.01 * _STRICT["judged_T_max_cm"], 0.01 * _STRICT["judged_T_final_cm"]
SUCCESS_ANGLE = np.radians(_STRICT["judged_R_max_deg"])


@dataclass(frozen=True)
class TaskOptions:
    """What a tracking task is made of."""

    action: str = "residual"  # or "cumulative" (control/action_space.py)
    action_factor: float = 1.0  # scales the largest correction
    layout: tuple[str, ...] = tuple(LAYOUTS["dextrack"])
    rewards: str = "dextrack"  # of task/rewards.py
    randomisation: Randomisation = field(default_factory=Randomisation)
    starts: StartOptions = field(default_factory=StartOptions)
    worlds: int = 16  # physics per clip that episodes choose from, the nominal one among them
    references: int = 4  # per clip: the reference itself, and noisy ones
    object_relative: bool = True  # the baseline follows the object's observed offset
    shaper: bool = False  # the command shaper between policy and servos
    longest: int = 600  # steps of an episode


class TrackingTask:
    """N worlds of clips, behind the vectorised interface.

    `assigned` (N, 2), where it is not None, are the clip and the physics of each world, in place of draws.
    """

    residual: np.ndarray  # (N, 6+n) translation without the clip's placement

    def __init__(
        self,
        clips: Sequence[TaskClip],
        size: int,
        options: TaskOptions | None = None,
        seed: int = 0,
        threads: int = 1,
        simulator: TaskSimulator | None = None,
        rewards: Mapping[str, RewardTerm] | None = None,
        terminations: Mapping[str, TerminationTerm] | None = None,
        backend: str = "mujoco",
        encoder: ObjectEncoder | None = None,
    ):
        """backend: of task/backends.py; simulator: in its place; encoder: for a layout with object_feature. Raises
        DexhotError for clips that do not fit one task, or the backend, or for a layout without its encoder."""
        o = self.options = options or TaskOptions()
        self.table, self.size = ClipTable(clips), size
        self.rewards = REWARDS[o.rewards] if rewards is None else rewards
        self.terminations = TERMINATIONS if terminations is None else terminations
        rng = np.random.default_rng([seed, 1])  # for what is drawn once; self.rng is for what is drawn per episode
        self.rng = np.random.default_rng([seed, 2])
        how = o.randomisation.perturbation()
        self.worlds = [draw_worlds(how, o.worlds, rng) for _ in clips]
        self.palm_offset = np.array([[_palm_offset(d) for d in draws] for draws in self.worlds])  # (K, W, 3) m
        self.offset, self.yaw = (how.offset, how.yaw) if how else (0.0, 0.0)
        self.simulator = simulator or task_simulator(backend, clips, size, self.worlds, threads)
        self.assigned: np.ndarray | None = getattr(self.simulator, "assigned", None)
        setup, bases = clips[0].setup, [c.reference.base_quat for c in clips]
        self.shaper = BatchShaper(setup.hand, bases, setup.physics, size, LEAD, threads) if o.shaper else None
        self.space = action_space(o.action, self.table.joints - 6, o.action_factor)
        self.lower, self.upper = clips[0].scene.lower, clips[0].scene.upper
        self._make_references(rng, encoder)
        self.starts = [find_starts(c, b, o.starts, seed) for c, b in zip(clips, self.table.baseline)]
        self._make_state()
        self.action_size = self.table.joints
        self.policy_size = self.state_size = self.observer.size
        self.critic_size = self.reset().critic.shape[1]

    def reset(self) -> Observations:
        self._begin(np.arange(self.size))
        policy, critic = self._observe(np.arange(self.size), self.simulator.reading())
        return Observations(policy, critic)

    def step(self, actions: np.ndarray) -> Step:
        baseline = self.baseline[self._all, self.frame]
        self.residual = self.space.residual(actions, self.residual)
        target = np.clip(baseline + self.table.placed(self.clip, self.residual), self.lower, self.upper)
        command = self.shaper.step(target) if self.shaper else target
        reading = self.simulator.step(self._delayed(command))
        self.target, self.command = target, command
        self.frame += 1
        self.steps += 1
        transition = self._transition(reading)
        reward, parts = total(self.rewards, transition)
        causes = ended(self.terminations, transition)
        terminated = np.logical_or.reduce([reading.diverged, *causes.values()])
        reward = np.where(reading.diverged, 0.0, reward)
        at_end = self.frame >= self.table.length[self.clip] - 1
        truncated = ~terminated & (at_end | (self.steps >= self.options.longest))
        self._count(transition, reward, parts)
        self._measure(reading, np.arange(self.size))
        policy, critic = self._observe(self._all, reading)
        last, done = critic.copy(), np.flatnonzero(terminated | truncated)
        finished = self._statistics(done, at_end & ~terminated, causes)
        if len(done):
            self._begin(done)
            policy[done], critic[done] = self._observe(done, self.simulator.reading())
        return Step(
            Observations(policy, critic), reward, terminated, truncated, last, np.clip(actions, -1.0, 1.0), finished
        )

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        """The demonstration's action at the present frame, moved with the object, as an action of this space."""
        baseline, wanted = self.baseline[self._all, self.frame], self.experts[self._all, self.frame]
        residual = self.table.placed(self.clip, wanted - baseline, back=True)
        return self.space.output(residual, self.residual), self.table.has_expert[self.clip]

    def snapshot(self) -> dict[str, Any]:
        state = {name: getattr(self, name).copy() for name in self._kept}
        shaper = self.shaper.snapshot() if self.shaper else {}
        return {
            "task": state,
            "simulator": self.simulator.snapshot(),
            "shaper": shaper,
            "rng": self.rng.bit_generator.state,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        for name in self._kept:
            if snapshot["task"][name].shape != getattr(self, name).shape:
                raise DexhotError("the snapshot is of another task: resume with the settings that it began with.")
            setattr(self, name, snapshot["task"][name].copy())
        self.simulator.restore(snapshot["simulator"])
        if self.shaper:
            self.shaper.restore(snapshot["shaper"], self.clip)
        self.rng.bit_generator.state = snapshot["rng"]

    def _make_references(self, rng: np.random.Generator, encoder: ObjectEncoder | None) -> None:
        """What the policy is shown of each clip: the reference, and copies with a constant error of the hand."""
        o, table = self.options, self.table
        sigma = hand_sigma(o.randomisation.reference_palm, o.randomisation.reference_finger, table.joints)
        self.variants = max(1, o.references) if sigma.any() else 1
        self.errors = np.zeros((len(table.clips), self.variants, table.joints))
        self.errors[:, 1:] = sigma * rng.standard_normal(self.errors[:, 1:].shape)
        shown = []
        for k, clip in enumerate(table.clips):
            baseline, feature = table.baseline[k, : table.length[k]], encoder.of(clip.asset) if encoder else None
            for error in self.errors[k]:
                noisy = _displaced(clip.reference, error)
                shown.append(ClipToTrack(noisy, clip.asset, baseline + error, feature))
        self.observer = Observer(shown, self.options.layout, table.clips[0].setup.hand)

    def _make_state(self) -> None:
        n, joints, longest = self.size, self.table.joints, self.table.q.shape[1]
        self._all = np.arange(n)
        self.clip, self.variant, self.world = np.zeros(n, int), np.zeros(n, int), np.zeros(n, int)
        self.frame, self.steps, self.began = np.zeros(n, int), np.zeros(n, int), np.zeros(n, int)
        self.kind = np.zeros(n, int)  # of the start
        self.latency = np.zeros(n, int)  # substeps
        self.baseline, self.experts = np.zeros((n, longest, joints)), np.zeros((n, longest, joints))
        self.residual = np.zeros((n, joints))
        self.target, self.command = np.zeros((n, joints)), np.zeros((n, joints))
        self.q, self.qd = np.zeros((n, joints)), np.zeros((n, joints))  # as observed
        self.object_pose, self.object_twist = np.zeros((n, 7)), np.zeros((n, 6))  # as observed
        self.palm = np.zeros((n, 7))  # true pose
        self.returned, self.far, self.near_error = np.zeros(n), np.zeros(n), np.zeros(n)
        self.angle, self.summed = np.zeros(n), np.zeros(n)
        self.summed_parts = np.zeros((n, len(self.rewards)))
        self._kept = (
            *("clip", "variant", "world", "frame", "steps", "began", "kind", "latency", "baseline", "experts"),
            *("residual", "target", "command", "q", "qd", "object_pose", "object_twist", "returned", "far"),
            *("near_error", "angle", "summed", "summed_parts"),
        )

    def _begin(self, rows: np.ndarray) -> None:
        """Begin new episodes in worlds `rows`."""
        o, r, rng, count = self.options, self.options.randomisation, self.rng, len(rows)
        clip = rng.integers(len(self.table.clips), size=count)
        world = rng.integers(len(self.worlds[0]), size=count)
        if self.assigned is not None:
            clip, world = self.assigned[rows].T
        self.clip[rows], self.world[rows] = clip, world
        self.variant[rows] = rng.integers(self.variants, size=count)
        self.kind[rows] = kind = rng.choice(len(KINDS), size=count, p=o.starts.fractions())
        dt = self.table.clips[0].setup.physics.timestep
        self.latency[rows] = np.rint(rng.uniform(*r.latency, count) / dt).astype(int)
        chosen = []
        for k, what in zip(clip, kind):
            candidates = self.starts[k].of_kind(what)
            chosen.append(candidates[rng.integers(len(candidates))])
        start = Start(
            *(np.stack([getattr(self.starts[k].start, name)[s] for k, s in zip(clip, chosen)]) for name in _START)
        )
        self.frame[rows] = self.began[rows] = [self.starts[k].frame[s] for k, s in zip(clip, chosen)]
        residual = np.stack([self.starts[k].residual[s] for k, s in zip(clip, chosen)])
        self._disturb(start, np.array([self.starts[k].kind[s] < 2 for k, s in zip(clip, chosen)]))
        self.simulator.reset(rows, clip, world, start)
        self.palm[rows] = self.table.palm(clip, start.q)
        self._measure(self.simulator.reading(), rows, first=True)
        self._follow(rows)
        residual = self.table.placed(clip, residual, back=True)
        self.residual[rows] = np.clip(residual, -self.space.limit, self.space.limit)
        for name in ("steps", "returned", "far", "angle", "near_error", "summed"):
            getattr(self, name)[rows] = 0
        self.summed_parts[rows] = 0.0
        self.command[rows] = self.target[rows] = start.q
        if self.shaper:
            self.shaper.reset(rows, clip, start.q, start.qd)

    def _disturb(self, start: Start, resting: np.ndarray) -> None:
        """Move hand and object of starts whose object rests on the table: where it touches, it would be ejected."""
        r, rng, count = self.options.randomisation, self.rng, len(resting)
        sigma = hand_sigma(r.start_palm, r.start_finger, start.q.shape[1])
        start.q += resting[:, None] * sigma * rng.standard_normal(start.q.shape)
        start.q[:, 6:] = np.clip(start.q[:, 6:], self.lower[6:], self.upper[6:])
        start.object_pose[:, :2] += resting[:, None] * rng.uniform(-self.offset, self.offset, (count, 2))
        half = 0.5 * resting * rng.uniform(-self.yaw, self.yaw, count)
        turn = np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], axis=1)
        start.object_pose[:, 3:] = quat_multiply(turn, start.object_pose[:, 3:])

    def _follow(self, rows: np.ndarray) -> None:
        """Baselines and experts of new episodes: the hand's error of the shown reference, the object's offset."""
        for row in rows:
            k, table = self.clip[row], self.table
            clip, length = table.clips[k], table.length[k]
            error = self.errors[k, self.variant[row]]
            baseline, expert = table.baseline[k] + error, table.expert[k]
            if self.options.object_relative and self.began[row] < clip.reference.grasp_start:
                first = clip.reference.object_pose[0]
                offset = object_offset(clip.asset.symmetry, first, self.object_pose[row])
                both = [following_object(clip.reference, x[:length], offset) for x in (baseline, expert)]
                baseline, expert = (np.concatenate([x, y[length:]]) for x, y in zip(both, (baseline, expert)))
            self.baseline[row], self.experts[row] = baseline, expert

    def _delayed(self, command: np.ndarray) -> np.ndarray:
        """(N, substeps, 6+n): the last command until the latency is over."""
        substep = np.arange(self.simulator.substeps)
        late = substep[None, :] < self.latency[:, None]
        return np.where(late[..., None], self.command[:, None], command[:, None])

    def _measure(self, reading: WorldStates, rows: np.ndarray, first: bool = False) -> None:
        """What a rig would measure: noisy joints and object, velocities by finite differences."""
        r, rng, count = self.options.randomisation, self.rng, len(rows)
        noise = hand_sigma(0.2 * r.joint_noise, r.joint_noise, self.table.joints)
        noise[3:6] = r.joint_noise
        q = reading.q[rows] + noise * rng.standard_normal((count, self.table.joints))
        turn = rotvec_to_quat(r.rotation_noise * rng.standard_normal((count, 3)))
        position = reading.object_pose[rows, :3] + r.position_noise * rng.standard_normal((count, 3))
        pose = make_pose(position, quat_multiply(turn, reading.object_pose[rows, 3:]))
        if first:
            self.qd[rows], self.object_twist[rows] = 0.0, 0.0
        else:
            self.qd[rows] = joint_velocity(q, self.q[rows])
            self.object_twist[rows] = pose_velocity(pose, self.object_pose[rows])
        self.q[rows], self.object_pose[rows] = q, pose

    def _observe(self, rows: np.ndarray, reading: WorldStates) -> tuple[np.ndarray, np.ndarray]:
        """The policy's and the critic's observations of worlds `rows`; the critic's without noise, and with what only
        the simulator knows."""
        clip, frame, at = self.clip[rows], self.frame[rows], reading.at(rows)
        tick = Observed(
            frame,
            self.object_pose[rows],
            self.object_twist[rows],
            self.q[rows],
            self.qd[rows],
            self.target[rows],
            self.residual[rows],
            self._seen_tips(rows, at),
            clip * self.variants + self.variant[rows],
        )
        policy = self.observer(tick)
        ahead = np.minimum(frame + 1, self.table.length[clip] - 1)
        wanted = self.table.object_pose[clip, ahead]
        left = (self.table.length[clip] - 1 - frame) / 100.0
        privileged = [
            at.qd,
            at.object_twist,
            at.object_pose[:, :3] - wanted[:, :3],
            quat_angle(at.object_pose[:, 3:], wanted[:, 3:])[:, None],
            at.tip_contact,
            (at.tips - at.object_pose[:, None, :3]).reshape(len(rows), -1),
            self.physics[clip, self.world[rows]],
            self.errors[clip, self.variant[rows]],
            self.latency[rows][:, None],
            np.stack([left, frame / 100.0], axis=1),
        ]
        return policy, np.concatenate([policy, *privileged], axis=1).astype(np.float32)

    def _seen_tips(self, rows: np.ndarray, at: WorldStates) -> np.ndarray:
        """(M, k, 3) fingertips by the nominal kinematics, which do not know of a displaced palm."""
        clip = self.clip[rows]
        shift = quat_rotate(self.palm[rows, 3:], self.palm_offset[clip, self.world[rows]])
        seen: np.ndarray = at.tips - shift[:, None]
        return seen

    @cached_property
    def physics(self) -> np.ndarray:
        """(K, W, 5) friction, mass, gain, inertia, contact time constant of each clip's worlds, as ratios."""
        return np.array([[ratios(d, c.setup.physics) for d in w] for c, w in zip(self.table.clips, self.worlds)])

    def _transition(self, reading: WorldStates) -> Transition:
        t, clip, frame = self.table, self.clip, np.minimum(self.frame, self.table.length[self.clip] - 1)
        wanted, pose = t.object_pose[clip, frame], reading.object_pose
        self.palm = t.palm(clip, reading.q)
        center = t.center[clip]
        away = pose[:, :3] + quat_rotate(pose[:, 3:], center) - wanted[:, :3] - quat_rotate(wanted[:, 3:], center)
        angle = quat_angle(pose[:, 3:], wanted[:, 3:])
        for k in t.symmetric:
            here = clip == k
            if here.any():
                angle[here] = reduced_angle(t.clips[k].asset.symmetry, wanted[here, 3:], pose[here, 3:])
        return Transition(
            q=reading.q,
            object_pose=pose,
            palm_pose=self.palm,
            tips=reading.tips,
            tip_contact=reading.tip_contact,
            wanted_q=t.q[clip, frame],
            wanted_object=wanted,
            wanted_palm=t.palm_pose[clip, frame],
            wanted_grasp=t.grasp[clip, frame],
            wanted_contact=t.contact[clip, frame],
            position_error=np.linalg.norm(away, axis=1),
            angle_error=angle,
            object_twist=reading.object_twist,
            wanted_twist=t.object_twist[clip, frame],
            pregrasp_palm=t.pregrasp_palm[clip],
            pregrasp_tips=t.pregrasp_tips[clip],
            grasping=self.frame >= t.grasp_start[clip],
        )

    def _count(self, t: Transition, reward: np.ndarray, parts: dict[str, np.ndarray]) -> None:
        self.returned += reward
        self.summed += t.position_error
        self.near_error = t.position_error
        self.far = np.maximum(self.far, t.position_error)
        self.angle = np.maximum(self.angle, t.angle_error)
        self.summed_parts += np.stack(list(parts.values()), axis=1)

    def _statistics(
        self, done: np.ndarray, completed: np.ndarray, causes: dict[str, np.ndarray]
    ) -> list[dict[str, float]]:
        """Of the episodes that ended: `tracked` is success_strict's limits on the object's error, to the clip's end."""
        out = []
        for i in done:
            tracked = completed[i] and self.far[i] < SUCCESS_MAX and self.near_error[i] < SUCCESS_FINAL
            steps = int(self.steps[i])
            row = {
                "return": float(self.returned[i]),
                "length": float(steps),
                "clip": float(self.clip[i]),
                "from_first": float(self.kind[i] == 0 and self.began[i] == 0),
                "completed": float(completed[i]),
                "tracked": float(tracked and self.angle[i] < SUCCESS_ANGLE),
                "T_err_cm": 100.0 * float(self.summed[i]) / steps,
            }
            row |= {f"reward/{n}": float(x) / steps for n, x in zip(self.rewards, self.summed_parts[i])}
            row |= {f"ended/{name}": float(which[i]) for name, which in causes.items()}
            out.append(row)
        return out


_START = ("q", "qd", "object_pose", "object_twist")


def _displaced(reference: Reference, error: np.ndarray) -> Reference:
    """The reference with a constant error (6+n,) of its hand."""
    return replace(reference, q=reference.q + error, target=reference.target + error) if error.any() else reference


def _palm_offset(drawn: Draw | None) -> np.ndarray:
    return np.zeros(3) if drawn is None or drawn.palm is None else drawn.palm
