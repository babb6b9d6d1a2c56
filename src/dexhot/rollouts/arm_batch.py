"""The live chain for many sequences of targets at once: what a sampling planner needs to plan for the arm.

The targets are the floating hand's, as everywhere. They pass through shaper, inverse kinematics and feed-forward and
move the embedded rig. The first of several sequences goes exactly the live chain's way; the others' arm joints are
those near its own that bring the palm to their shaped wrist, and its Jacobian and inertia serve them too.
"""

import mujoco
import numpy as np

from dexhot.control.arm_dynamics import damped_inverse
from dexhot.control.controllers import Controller
from dexhot.geometry.poses import pose_to_matrix
from dexhot.rigs.embedded import ARM, EmbeddedWorld
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.wrist import palm_poses, wrist_to_palm, wrist_twist
from dexhot.rollouts.arm import ChainOptions, Follower, run_ticks
from dexhot.simulation.backend import STATE, Batch, MujocoSimulator
from dexhot.simulation.scene import arm_scene

NEWTON = 3  # steps of the inverse kinematics from one joint path to another near it


class ArmSimulator:
    """States (ns,) begin in the layout of the floating scene, so that costs made for it serve here too: object and
    fingers, the wrist left at zero. What the rig and the chain remember follows."""

    def __init__(self, floating: MujocoSimulator, controller: Controller, options: ChainOptions | None = None):
        """`floating`: the benchmark's world of the controller's reference, which must be placed. The controller leads
        the robot to the reference's first frame. Raises UnreachableError when the arm cannot get there."""
        reference, scene, options = controller.reference, floating.scene, options or ChainOptions()
        hand = scene.hand
        assert hand is not None
        self.scene, self.base_quat = scene, reference.base_quat
        self.world = EmbeddedWorld(arm_scene(hand, scene.object, scene.physics, reference.table_height))
        self.follower = Follower(hand, reference.base_quat, scene.physics, options)
        self.shaper, self.chain = self.follower.shaper, ArmChain(hand)
        self.rig, self.shaped = MujocoSimulator(self.world.scene), MujocoSimulator(self.shaper.shaper.scene)
        seen = floating.state_size
        sizes = [seen, self.rig.state_size, self.shaped.state_size, ARM, ARM, len(hand.joint_names), ARM]
        self.ends, self.state_size = np.cumsum(sizes)[:-1], sum(sizes)
        ticks = run_ticks(self.world, reference, controller, hand, options, follower=self.follower)
        first = next(tick for tick in ticks if tick.index == 0)
        self.first_state = np.concatenate([np.zeros(seen), first.state, *self._memory()])  # (ns,) the robot in motion

    def rollout(self, state: np.ndarray, controls: np.ndarray) -> Batch:
        """From one state (ns,), targets (N, h, 6+n) of the floating hand, one per control step."""
        s, follower = self.shaper, self.follower
        _, rig, shaped, arm_q, arm_qd, sent_hand, sent_arm = np.split(state, self.ends)
        shaped_states = self.shaped.rollout(shaped, np.clip(controls, self.scene.lower, self.scene.upper)).states
        q, qd = self._joints(
            np.concatenate([np.broadcast_to(shaped, shaped_states[:, :1].shape), shaped_states], axis=1)
        )
        path = self._arm_path(q[:, 1:, :6] + s.wrist_lead * qd[:, 1:, :6], arm_q)
        arm, mean, end, torque = self._arm_commands(path, wrist_twist(q[..., :6], qd[..., :6], s.base_R), arm_qd)
        fingers = 0.5 * (q[:, 1:, 6:] + q[:, :-1, 6:]) + s.lead * np.diff(q[..., 6:], axis=1) * s.rate
        hand = limited(np.clip(fingers, s.lower, s.upper), sent_hand, follower.hand_limits.velocity / s.rate)
        arm = limited(arm, sent_arm, follower.arm_limits.velocity / s.rate)
        batch = self.rig.rollout(rig, np.concatenate([self.world.arm_target(arm, mean, torque), hand], axis=-1))
        parts = self._seen(batch.states), batch.states, shaped_states, path[:, 1:], end, hand, arm
        return Batch(np.concatenate(parts, axis=-1), batch.sensors, batch.diverged)

    def _memory(self) -> tuple[np.ndarray, ...]:
        """Of the live chain as it is now: the shaper's world, the arm's joints and velocities, the last commands."""
        shaped = np.empty(self.shaped.state_size)
        mujoco.mj_getState(self.shaped.model, self.shaper.shaper.data, shaped, STATE)
        assert self.follower.hand_q is not None
        return shaped, self.shaper.arm_q, self.shaper.arm_qd, self.follower.hand_q, self.follower.arm_q

    def _joints(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joints and their velocities (..., 6+n) in the shaper's states."""
        scene = self.shaped.scene
        return states[..., 1 + scene.q_address], states[..., 1 + scene.model.nq + scene.v_address]

    def _arm_path(self, wrist: np.ndarray, start: np.ndarray) -> np.ndarray:
        """(N, 1 + h, 7) joints for wrists (N, h, 6), from `start` (7,): the first's as live, the others' near those."""
        first = [start]
        for pose in wrist[0]:
            first.append(self.shaper.ik.solve(wrist_to_palm(pose, self.base_quat), first[-1])[0])
        near = np.broadcast_to(first[1:], (*wrist.shape[:2], ARM))
        path = np.tile(first, (len(wrist), 1, 1))
        if len(wrist) > 1:
            palms = pose_to_matrix(palm_poses(self.base_quat, wrist[1:]))
            q, _, _ = self.chain.solve(palms.reshape(-1, 4, 4), near[1:].reshape(-1, ARM), NEWTON)
            path[1:, 1:] = limited(q.reshape(near[1:].shape), start, self.shaper.ik.velocity / self.shaper.rate)
        return path

    def _arm_commands(self, path: np.ndarray, twist: np.ndarray, arm_qd: np.ndarray) -> tuple[np.ndarray, ...]:
        """What CommandShaper.step makes of arm joints (N, 1 + h, 7) and the shaped palm's twist (N, 1 + h, 6), the
        present ones first, and the present velocity (7,): each tick's position, mean and final velocity and torque,
        (N, h, 7) each."""
        s, q, mean = self.shaper, path[0], np.diff(path, axis=1) * self.shaper.rate
        jacobian = np.array([s.dynamics.kinematics.palm_jacobian(row) for row in q[1:]])
        inverse = np.array([damped_inverse(J) for J in jacobian])
        missing = twist[:, 1:] - np.einsum("hij,nhj->nhi", jacobian, mean)
        end = np.clip(mean + np.einsum("hij,nhj->nhi", inverse, missing), -s.ik.velocity, s.ik.velocity)
        acceleration = np.diff(end, axis=1, prepend=np.broadcast_to(arm_qd, end[:, :1].shape)) * s.rate
        torque, inertia = [], []
        for row in zip(0.5 * (q[1:] + q[:-1]), mean[0], acceleration[0]):
            torque.append(s.dynamics.torque(*row))
            inertia.append(s.dynamics.inertia())
        torques = np.array(torque) + np.einsum("hij,nhj->nhi", np.array(inertia), acceleration - acceleration[0])
        return path[:, 1:] - 0.5 * mean / s.rate, mean, end, np.clip(torques, -s.torque_limit, s.torque_limit)

    def _seen(self, states: np.ndarray) -> np.ndarray:
        """(N, h, nf) time, fingers and object of the rig's states, where the floating scene has them."""
        here, rig = self.scene, self.rig.scene
        out = np.zeros((*states.shape[:-1], self.ends[0]))
        q, v, rig_q, rig_v = 1, 1 + here.model.nq, 1, 1 + rig.model.nq
        out[..., 0] = states[..., 0]
        out[..., q + here.q_address[6:]] = states[..., rig_q + rig.q_address[ARM:]]
        out[..., v + here.v_address[6:]] = states[..., rig_v + rig.v_address[ARM:]]
        out[..., q + here.coupled.q] = states[..., rig_q + rig.coupled.q]
        out[..., v + here.coupled.v] = states[..., rig_v + rig.coupled.v]
        out[..., q:][..., here.object_qpos] = states[..., rig_q:][..., rig.object_qpos]
        out[..., v:][..., here.object_dof] = states[..., rig_v:][..., rig.object_dof]
        return out


def limited(q: np.ndarray, start: np.ndarray, step: np.ndarray) -> np.ndarray:
    """q (N, h, j) with no change from row to row beyond `step` (j,); the first changes from `start` (j,)."""
    out = np.empty_like(q)
    before: np.ndarray = start
    for t in range(q.shape[1]):
        before = out[:, t] = np.clip(q[:, t], before - step, before + step)
    return out
