"""Pick-up from a start pose (TF-HOT, section 4.4): N worlds of a floating hand lift an object to a goal, at 20 Hz.

The policy chooses position targets of wrist and fingers, about the first pose of a demonstration, and the targets move
towards them at a limited rate: noise of actions stays small so, where noise of steps would add up. Nothing that it
observes depends on the method: the demonstration enters through the start pose, which all methods share, and through
what a method is paid.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_rotvec
from dexhot_train.task.backends import task_simulator
from dexhot_train.task.following import FollowingOptions, PickupReward, TrajectoryProgress, dense, sparse
from dexhot_train.task.pickup_clips import Pickup, TipFrames, centers, tips_on_object
from dexhot_train.task.randomisation import hand_sigma
from dexhot_train.task.simulators import Start, TaskSimulator, WorldStates
from dexhot_train.task.vector import Observations, Step

METHODS = ("ptf", "sparse", "dense", "imitation")
DENSE = ("dense", "imitation")  # methods paid by eq. 11; the others by the sparse reward


@dataclass(frozen=True)
class PickupOptions:
    """What the task is made of, beside the demonstration."""

    length: int = 120  # steps of an episode (table 4)
    ticks: int = 3  # of 1/60 s, per step: 20 Hz
    step_position: float = 0.015  # m, largest change of a wrist target per step
    step_rotation: float = 0.10  # rad, of the wrist
    step_finger: float = 0.15  # rad
    room_position: float = 0.10  # m, by which the wrist's targets may leave the range of the demonstration's
    room_rotation: float = 0.5  # rad
    lag_finger: float = 0.5  # rad, by which a finger's target may be ahead of the finger: the squeeze
    noise_palm: float = 0.002  # m, sigma of the start, and rad times 10
    noise_finger: float = 0.02  # rad
    following: FollowingOptions = field(default_factory=FollowingOptions)
    reward: PickupReward = field(default_factory=PickupReward)


class PickupTask:
    """A pick-up behind the vectorised interface. The reward is 0.01 (5 r_environment + r_following) (table 4), the last
    term for the method "ptf" alone."""

    def __init__(
        self,
        pickup: Pickup,
        size: int,
        method: str,
        options: PickupOptions | None = None,
        seed: int = 0,
        threads: int = 1,
        backend: str = "mujoco",
        staggered: bool = True,
    ):
        """staggered: the first episodes end at different steps, so that later ones do not all begin together.

        Raises NotFoundError for an unknown method, and the backend's errors.
        """
        if method not in METHODS:
            raise NotFoundError("method", method, METHODS)
        o = self.options = options or PickupOptions()
        self.pickup, self.size, self.method, self.staggered = pickup, size, method, staggered
        self.rng = np.random.default_rng([seed, 2])
        scene = pickup.clip.scene
        self.simulator: TaskSimulator = task_simulator(backend, [pickup.clip], size, [[None]], threads)
        self.frames = TipFrames(scene)
        symmetry = pickup.clip.asset.symmetry
        self.progress = TrajectoryProgress(pickup.tips, pickup.object_pose, size, o.following, symmetry)
        joints = pickup.q.shape[1]
        room = np.r_[[o.room_position] * 3, [o.room_rotation] * 3]
        self.lower, self.upper = scene.lower.copy(), scene.upper.copy()
        self.lower[:6] = np.maximum(self.lower[:6], pickup.q[:, :6].min(axis=0) - room)
        self.upper[:6] = np.minimum(self.upper[:6], pickup.q[:, :6].max(axis=0) + room)
        self.largest = np.r_[[o.step_position] * 3, [o.step_rotation] * 3, [o.step_finger] * (joints - 6)]
        self.goal = centers(pickup, pickup.object_pose[-1:])[0]
        self.rest = centers(pickup, pickup.object_pose[:1])[0]
        self.steps, self.whole = np.zeros(size, int), np.zeros(size, bool)  # whole: the episode began at its start
        self.target = np.zeros((size, joints))
        self.returned, self.followed = np.zeros(size), np.zeros(size)
        self.lifted, self.reached = np.zeros(size, bool), np.zeros(size, bool)  # at any step so far
        self.tips = np.zeros((size, pickup.tips.shape[1], 7))  # on the object
        self.action_size = joints
        self.state_size = self.state(pickup.q, pickup.object_pose, pickup.tips).shape[1]
        seen = self.reset()
        self.policy_size, self.critic_size = seen.policy.shape[1], seen.critic.shape[1]

    def reset(self) -> Observations:
        everything = np.arange(self.size)
        self._begin(everything)
        if self.staggered:
            self.steps = self.rng.integers(self.options.length, size=self.size)
            self.whole = self.steps == 0
        return self._observe(self.simulator.reading())

    def step(self, actions: np.ndarray) -> Step:
        applied = np.clip(actions, -1.0, 1.0)
        reading = self._move(applied)
        self.steps += 1
        self._measure(reading)
        reward = self._reward(reading)
        terminated = reading.diverged.copy()
        truncated = ~terminated & (self.steps >= self.options.length)
        observations = self._observe(reading)
        last = observations.critic.copy()
        done = np.flatnonzero(terminated | truncated)
        finished = self._statistics(done, reading)
        if len(done):
            self._begin(done)
            fresh = self._observe(self.simulator.reading())
            observations.policy[done], observations.critic[done] = fresh.policy[done], fresh.critic[done]
        return Step(observations, reward, terminated, truncated, last, applied, finished)

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        """None knows an action: the demonstration has poses alone."""
        return np.zeros((self.size, self.action_size)), np.zeros(self.size, bool)

    def demonstrated(self) -> np.ndarray:
        """(n, S) states of the demonstration, as a discriminator sees them."""
        p = self.pickup
        return self.state(p.q, p.object_pose, p.tips).astype(np.float32)

    def state(self, q: np.ndarray, object_pose: np.ndarray, tips: np.ndarray) -> np.ndarray:
        """(N, S): fingers, fingertips on the object, the object from its goal."""
        goal = self.pickup.object_pose[-1]
        turn = quat_to_rotvec(quat_multiply(object_pose[:, 3:], quat_conjugate(goal[3:])))
        away = centers(self.pickup, object_pose) - self.goal
        return np.concatenate([q[:, 6:], tips[..., :3].reshape(len(q), -1), away, turn], axis=1)

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name).copy() for name in _KEPT}
        prefix = {"hand": self.progress.hand.copy(), "object": self.progress.object.copy()}
        rng = self.rng.bit_generator.state
        return {"task": kept, "progress": prefix, "simulator": self.simulator.snapshot(), "rng": rng}

    def restore(self, snapshot: dict[str, Any]) -> None:
        for name in _KEPT:
            if snapshot["task"][name].shape != getattr(self, name).shape:
                raise DexhotError("the snapshot is of another task: resume with the settings that it began with.")
            setattr(self, name, snapshot["task"][name].copy())
        self.progress.hand, self.progress.object = (snapshot["progress"][name].copy() for name in ("hand", "object"))
        self.simulator.restore(snapshot["simulator"])
        self.rng.bit_generator.state = snapshot["rng"]

    def _begin(self, rows: np.ndarray) -> None:
        """New episodes in worlds `rows`: the demonstration's first pose with noise, the object displaced."""
        o, p, count = self.options, self.pickup, len(rows)
        sigma = hand_sigma(o.noise_palm, o.noise_finger, self.action_size)
        q = np.clip(p.q[0] + sigma * self.rng.standard_normal((count, self.action_size)), self.lower, self.upper)
        pose = np.repeat(p.object_pose[:1], count, axis=0)
        pose[:, :2] += self.rng.uniform(-p.noise, p.noise, (count, 2))
        none = np.zeros(count, int)
        self.simulator.reset(rows, none, none, Start(q, np.zeros_like(q), pose, np.zeros((count, 6))))
        self.target[rows] = q
        self.tips[rows] = tips_on_object(self.frames(q), pose)
        self.progress.reset(rows, self.tips[rows], pose)
        for name in ("steps", "returned", "followed", "lifted", "reached"):
            getattr(self, name)[rows] = 0
        self.whole[rows] = True

    def _move(self, applied: np.ndarray) -> WorldStates:
        """Move the targets towards those of the action, linearly within the step."""
        o, before = self.options, self.target
        start = self.pickup.q[0]
        wanted = start + applied * np.where(applied > 0.0, self.upper - start, start - self.lower)
        after = before + np.clip(wanted - before, -self.largest, self.largest)
        now = self.simulator.reading().q[:, 6:]
        after[:, 6:] = np.clip(after[:, 6:], now - o.lag_finger, now + o.lag_finger)
        self.target = np.clip(after, self.lower, self.upper)
        substeps = self.simulator.substeps
        share = np.arange(1, o.ticks * substeps + 1)[:, None] / (o.ticks * substeps)
        path = before[:, None] + share * (self.target - before)[:, None]
        for tick in range(o.ticks):
            reading = self.simulator.step(path[:, tick * substeps : (tick + 1) * substeps])
        return reading

    def _measure(self, reading: WorldStates) -> None:
        """What reward and observation share."""
        world = self.frames(reading.q)
        self.tips = tips_on_object(world, reading.object_pose)
        at = centers(self.pickup, reading.object_pose)
        self.rise, self.to_goal = at[:, 2] - self.rest[2], np.linalg.norm(at - self.goal, axis=1)
        self.to_hand = np.linalg.norm(world[..., :3].mean(axis=1) - at, axis=1)
        self.lifted |= self.rise > self.options.reward.lifted
        self.reached |= self.to_goal < self.options.reward.reached

    def _reward(self, reading: WorldStates) -> np.ndarray:
        r = self.options.reward
        if self.method in DENSE:
            environment = dense(self.rise, self.to_goal, self.to_hand, r)
        else:
            environment = sparse(self.rise, self.to_goal, r)
        following = self.progress.reward(self.tips, reading.object_pose)  # of all methods, to be reported
        paid = r.origin_scale * environment + (following if self.method == "ptf" else 0.0)
        reward: np.ndarray = np.where(reading.diverged, 0.0, r.total_scale * paid)
        self.returned += reward
        self.followed += np.where(reading.diverged, 0.0, following)
        return reward

    def _observe(self, reading: WorldStates) -> Observations:
        """The policy's and, with contacts, prefix indices and time left, the critic's."""
        state = self.state(reading.q, reading.object_pose, self.tips)
        start = self.pickup.q[0]
        policy = [state, reading.q[:, :6] - start[:6], 0.1 * reading.qd, self.target - reading.q]
        policy += [reading.object_twist]
        left = 1.0 - self.steps / self.options.length
        prefix = np.stack([self.progress.hand, self.progress.object], axis=1) / self.progress.length
        seen = np.concatenate(policy, axis=1)
        critic = np.concatenate([seen, reading.tip_contact, prefix, left[:, None]], axis=1)
        return Observations(seen.astype(np.float32), critic.astype(np.float32))

    def _statistics(self, done: np.ndarray, reading: WorldStates) -> list[dict[str, float]]:
        """Of the whole episodes that ended: `success` is being at the goal in the last step."""
        out, n = [], self.progress.length
        for i in done[self.whole[done]]:
            success = self.to_goal[i] < self.options.reward.reached and not reading.diverged[i]
            row = {"return": float(self.returned[i]), "length": float(self.steps[i]), "success": float(success)}
            row |= {"success_once": float(self.reached[i]), "lifted": float(self.lifted[i])}
            row |= {"following": float(self.followed[i])}
            row |= {"progress_hand": float(self.progress.hand[i] / n)}
            out.append(row | {"progress_object": float(self.progress.object[i] / n)})
        return out


_KEPT = ("steps", "whole", "target", "returned", "followed", "lifted", "reached", "tips")
