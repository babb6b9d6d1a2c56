"""The live chain for many target sequences in one batch, as a sampling planner for the arm needs it.

The targets are the floating hand's, in the clip's time. The arm executes each frame in as many substeps as its time map
gives it. The targets pass through shaper, inverse kinematics and feed-forward, and move the embedded rig's arm about a
setpoint within its limits. The first sequence is computed exactly as in the live chain; the others use its setpoint,
inertia and Jacobian, displaced by the difference of their commands.
"""

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.control.arm_dynamics import damped_inverse
from dexhot.control.controllers import Kinematic
from dexhot.control.sampling import base_actions
from dexhot.control.shaper import NEWTON
from dexhot.control.time_warp import frames_at, warp_reference
from dexhot.data.types import RATE, Reference
from dexhot.geometry.poses import pose_to_matrix
from dexhot.hardware.franka.limits import Setpoint, fr3_limits
from dexhot.rigs.embedded import ARM, EmbeddedWorld, cycles_in
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.wrist import palm_poses, wrist_twist
from dexhot.rollouts.arm import ChainOptions, Follower, run_ticks
from dexhot.simulation.backend import STATE, Batch, MujocoSimulator
from dexhot.simulation.physics import Physics
from dexhot.simulation.scene import arm_scene, perturbed


class ArmSimulator:
    """States (ns,) start with the layout of the floating scene, so that its cost terms apply here too: the clip's time,
    object and fingers, the wrist at zero. The internal states of rig and chain follow."""

    def __init__(
        self,
        floating: MujocoSimulator,
        reference: Reference,
        options: ChainOptions | None = None,
        palm: ArrayLike | None = None,
    ):
        """`floating`: the benchmark's world of `reference`, which must have an arm path. The reference's own targets
        lead the robot to its first frame. `palm` (3,) m: offset of the palm that the kinematics do not know, in the
        mount's frame. Raises UnreachableError without an arm path."""
        scene, options = floating.scene, options or ChainOptions()
        hand, physics = scene.hand, scene.physics
        assert hand is not None
        self.scene, self.base_quat, self.arm_path = scene, reference.base_quat, reference.arm_q
        frames = frames_at(reference)
        warped = warp_reference(reference, frames)
        self.substeps = _durations(reference, frames, physics.substeps)
        self.behind = _lead(reference, warped, frames, physics)
        rig = arm_scene(hand, scene.object, physics, reference.table_height)
        rig.model = perturbed(rig, palm=palm)
        self.world = EmbeddedWorld(rig)
        self.follower = Follower(hand, warped, physics, options)
        self.shaper, self.setpoint = self.follower.shaper, Setpoint(fr3_limits())
        self.chain = ArmChain(hand)
        self.rig, self.shaped = MujocoSimulator(self.world.scene), MujocoSimulator(self.shaper.shaper.scene)
        seen = floating.state_size
        sizes = [seen, self.rig.state_size, self.shaped.state_size, *[ARM] * 2, len(hand.joint_names), *[ARM] * 4]
        self.ends, self.state_size = np.cumsum(sizes)[:-1], sum(sizes)
        ticks = run_ticks(self.world, warped, Kinematic(warped, physics), hand, options, follower=self.follower)
        first = next(tick for tick in ticks if tick.index == 0)
        self.first_state = np.concatenate([np.zeros(seen), first.state, *self._memory()])  # (ns,) the robot in motion

    def rollout(self, state: np.ndarray, controls: np.ndarray) -> Batch:
        """Roll out targets (N, h, 6+n) of the floating hand, one per frame of the clip, from one state (ns,)."""
        s, follower, steps = self.shaper, self.follower, controls.shape[1]
        _, rig, shaped, arm_q, arm_qd, sent_hand, sent_arm, *setpoint = np.split(state, self.ends)
        frame = round(state[0] * RATE)
        here = np.minimum(np.arange(frame, frame + steps), len(self.substeps) - 1)
        substeps = self.substeps[here]
        dt = substeps[:, None] * self.scene.physics.timestep  # (h, 1) s
        controls = np.clip(controls + self.behind[here], self.scene.lower, self.scene.upper)
        shaped_states = self.shaped.rollout(shaped, controls, substeps=substeps).states
        q, qd = self._joints(
            np.concatenate([np.broadcast_to(shaped, shaped_states[:, :1].shape), shaped_states], axis=1)
        )
        path = self._arm_path(q[:, 1:, :6] + s.wrist_lead * qd[:, 1:, :6], arm_q, here, dt)
        twist = wrist_twist(q[..., :6], qd[..., :6], s.base_R)
        arm, mean, end, torque = self._arm_commands(path, twist, arm_qd, dt)
        fingers = 0.5 * (q[:, 1:, 6:] + q[:, :-1, 6:]) + s.lead * np.diff(q[..., 6:], axis=1) / dt
        hand = limited(np.clip(fingers, s.lower, s.upper), sent_hand, follower.hand_limits.velocity * dt)
        arm = limited(arm, sent_arm, follower.arm_limits.velocity * dt)
        done = round(rig[0] / self.scene.physics.timestep)  # substeps since the rig's reset
        target, moved = self._setpoints(arm, mean, path, torque, setpoint, substeps, dt, done)
        driven = np.concatenate([target, np.repeat(hand, substeps, axis=1)], axis=-1)
        batch = self.rig.rollout(rig, driven, substeps=np.ones(driven.shape[1], int))
        last = np.cumsum(substeps) - 1
        states, sensors = batch.states[:, last], batch.sensors[:, last]
        parts = self._seen(states, frame), states, shaped_states, path[:, 1:], end, hand, arm, *moved
        return Batch(np.concatenate(parts, axis=-1), sensors, batch.diverged)

    def _memory(self) -> tuple[np.ndarray, ...]:
        """Internal state of the live chain: the shaper's world, the arm's joints and velocities, the last commands,
        the setpoint."""
        shaped, setpoint = np.empty(self.shaped.state_size), self.world.setpoint
        mujoco.mj_getState(self.shaped.model, self.shaper.shaper.data, shaped, STATE)
        assert self.follower.hand_q is not None
        sent = self.follower.hand_q, self.follower.arm_q
        return shaped, self.shaper.arm_q, self.shaper.arm_qd, *sent, setpoint.q, setpoint.v, setpoint.a

    def _joints(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joint positions and velocities (..., 6+n) in the shaper's states."""
        scene = self.shaped.scene
        return states[..., 1 + scene.q_address], states[..., 1 + scene.model.nq + scene.v_address]

    def _arm_path(self, wrist: np.ndarray, start: np.ndarray, here: np.ndarray, dt: np.ndarray) -> np.ndarray:
        """(N, 1 + h, 7) rad: the current joints `start` (7,), then those nearest to the plan for wrists (N, h, 6)."""
        planned = self.arm_path[np.minimum(here + 1, len(self.arm_path) - 1)]
        palms = pose_to_matrix(palm_poses(self.base_quat, wrist)).reshape(-1, 4, 4)
        near = np.tile(planned, (len(wrist), 1))
        q, _, _ = self.chain.solve(palms, near, NEWTON)
        q = limited(q.reshape(*wrist.shape[:2], ARM), start, self.shaper.arm_velocity * dt)
        return np.concatenate([np.broadcast_to(start, (len(q), 1, ARM)), q], axis=1)

    def _arm_commands(
        self, path: np.ndarray, twist: np.ndarray, arm_qd: np.ndarray, dt: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """CommandShaper.step for arm joints (N, 1 + h, 7) and the shaped palm's twist (N, 1 + h, 6), the current ones
        first, and the current velocity (7,): each frame's position, mean velocity, final velocity and torque,
        (N, h, 7) each."""
        s, q, mean = self.shaper, path[0], np.diff(path, axis=1) / dt
        jacobian = self.chain.forward(q[1:])[1]
        inverse = np.array([damped_inverse(J) for J in jacobian])
        missing = twist[:, 1:] - np.einsum("hij,nhj->nhi", jacobian, mean)
        end = np.clip(mean + np.einsum("hij,nhj->nhi", inverse, missing), -s.arm_velocity, s.arm_velocity)
        acceleration = np.diff(end, axis=1, prepend=np.broadcast_to(arm_qd, end[:, :1].shape)) / dt
        torque, inertia = [], []
        for row in zip(0.5 * (q[1:] + q[:-1]), mean[0], acceleration[0]):
            torque.append(s.dynamics.torque(*row))
            inertia.append(s.dynamics.inertia())
        torques = np.array(torque) + np.einsum("hij,nhj->nhi", np.array(inertia), acceleration - acceleration[0])
        return path[:, 1:] - 0.5 * mean * dt, mean, end, np.clip(torques, -s.torque_limit, s.torque_limit)

    def _setpoints(
        self,
        arm: np.ndarray,
        mean: np.ndarray,
        path: np.ndarray,
        torque: np.ndarray,
        now: list[np.ndarray],
        substeps: np.ndarray,
        dt: np.ndarray,
        done: int,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The servo's targets (N, S, 7), one per substep, starting after substep `done`, and the setpoint q, v, a
        (N, h, 7) after each frame.

        Commands as of `_arm_commands`. The first sequence's setpoint is the driver's, the others' is displaced.
        """
        setpoint = self.setpoint
        setpoint.reset(*now)
        q, v, ends = [], [], []
        for k, count in enumerate(substeps):
            setpoint.command(arm[0, k] - 0.5 * dt[k] * mean[0, k], mean[0, k])
            for _ in range(count):
                setpoint.age = 0  # the live chain commands at every tick, however long the frame lasts
                setpoint.advance(cycles_in(self.scene.physics.timestep, done))
                done += 1
                q.append(setpoint.q)
                v.append(setpoint.v)
            ends.append((setpoint.q, setpoint.v, setpoint.a))
        aside = np.diff(path - path[:1], axis=1)  # of each frame
        into = np.concatenate([np.arange(1, n + 1) / n for n in substeps])[:, None]
        apart = np.repeat((path - path[:1])[:, :-1], substeps, axis=1) + into * np.repeat(aside, substeps, axis=1)
        faster = mean - mean[:1]
        target = self.world.arm_target(
            np.array(q) + apart, np.array(v) + np.repeat(faster, substeps, axis=1), np.repeat(torque, substeps, axis=1)
        )
        end_q, end_v, end_a = np.array(ends).transpose(1, 0, 2)
        return target, [end_q + (path - path[:1])[:, 1:], end_v + faster, np.broadcast_to(end_a, mean.shape)]

    def _seen(self, states: np.ndarray, frame: int) -> np.ndarray:
        """(N, h, nf) clip time, fingers and object of the rig's states after the frames from `frame` on, in the
        floating scene's layout."""
        here, rig = self.scene, self.rig.scene
        out = np.zeros((*states.shape[:-1], self.ends[0]))
        q, v, rig_q, rig_v = 1, 1 + here.model.nq, 1, 1 + rig.model.nq
        out[..., 0] = (frame + 1 + np.arange(states.shape[1])) / RATE
        out[..., q + here.q_address[6:]] = states[..., rig_q + rig.q_address[ARM:]]
        out[..., v + here.v_address[6:]] = states[..., rig_v + rig.v_address[ARM:]]
        out[..., q + here.coupled.q] = states[..., rig_q + rig.coupled.q]
        out[..., v + here.coupled.v] = states[..., rig_v + rig.coupled.v]
        out[..., q:][..., here.object_qpos] = states[..., rig_q:][..., rig.object_qpos]
        out[..., v:][..., here.object_dof] = states[..., rig_v:][..., rig.object_dof]
        return out


def _durations(reference: Reference, frames: np.ndarray, substeps: int) -> np.ndarray:
    """(T,) substeps of the arm from each frame of the clip to the next; `frames` (K,): its time map."""
    ticks = np.interp(np.arange(len(reference.q)), frames, np.arange(len(frames)))
    whole = np.diff(np.round(substeps * ticks).astype(int))
    durations: np.ndarray = np.append(whole, substeps)
    return durations


def _lead(reference: Reference, slow: Reference, frames: np.ndarray, physics: Physics) -> np.ndarray:
    """(T, 6+n) lead of the arm's slower targets minus that in the clip's time (`base_actions`): smaller by the servos'
    lag at the lower speed, larger by half the time that a frame, whose target is held, exceeds a tick. `slow`: the
    reference in the arm's time."""
    rows = np.arange(len(reference.q))
    led = base_actions(slow, physics) - slow.target
    own: np.ndarray = base_actions(reference, physics) - reference.target
    servos = np.stack([np.interp(rows, frames, column) for column in led.T], axis=1) - own
    pace = np.gradient(frames)[np.searchsorted(frames, rows)][:, None]  # frames per tick
    more: np.ndarray = servos + 0.5 * (1.0 - pace) * np.gradient(reference.target, axis=0)
    return more


def limited(q: np.ndarray, start: np.ndarray, step: np.ndarray) -> np.ndarray:
    """q (N, h, j) with changes from row to row limited to `step` (h, j); the first is relative to `start` (j,)."""
    out = np.empty_like(q)
    before: np.ndarray = start
    for t in range(q.shape[1]):
        before = out[:, t] = np.clip(q[:, t], before - step[t], before + step[t])
    return out
