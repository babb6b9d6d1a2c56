"""The tracking task on torch tensors: dexhot_train/task/tracking.py without noise, latency and shaper."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dexhot_isaacgym.bundle import Bundle
from dexhot_isaacgym.observation import DextrackFrame, joint_velocity, observation, pose_velocity
from dexhot_isaacgym.rotations import quat_angle, quat_conjugate, quat_multiply, quat_rotate
from dexhot_train.task.rewards import REWARDS, RewardTerm, Transition, total
from dexhot_train.task.termination import TERMINATIONS, TerminationTerm, ended


class WorldState(NamedTuple):
    """State of N environments."""

    q: Tensor  # (N, 6+n)
    qd: Tensor  # (N, 6+n)
    object_pose: Tensor  # (N, 7) wxyz
    object_twist: Tensor  # (N, 6) m/s and rad/s, world axes
    tip_contact: Tensor  # (N, k) bool


class TaskStep(NamedTuple):
    """Result of a control step; environments that ended have begun anew."""

    policy: Tensor  # (N, P)
    critic: Tensor  # (N, C)
    reward: Tensor  # (N,)
    terminated: Tensor  # (N,) bool
    truncated: Tensor  # (N,) bool
    parts: dict[str, Tensor]  # each reward term's weighted part


class TorchTrackingTask:
    """N environments; `simulator` offers size, clip and world (N,), substeps, reset(rows, ...), step and state."""

    def __init__(self, bundle: Bundle, simulator: Any, seed: int = 0):
        self.bundle, self.simulator, self.size = bundle, simulator, simulator.size
        self.clip, self.world = simulator.clip, simulator.world
        every = {name: term for terms in REWARDS.values() for name, term in terms.items()}
        self.rewards = {
            name: RewardTerm(every[name].function, told["weight"], told["parameters"])
            for name, told in bundle["rewards"].items()
        }
        self.terminations = {
            name: TerminationTerm(TERMINATIONS[name].function, told) for name, told in bundle["terminations"].items()
        }
        self.random = torch.Generator(device=bundle.device)
        self.random.manual_seed(seed)
        self._choices, self._count = self._candidates()
        self.frame, self.steps = torch.zeros_like(self.clip), torch.zeros_like(self.clip)
        state = bundle.start_q[:1].repeat(self.size, 1)
        self.residual, self.command, self.q, self.qd = (torch.zeros_like(state) for _ in range(4))
        self.object_pose, self.object_twist = state.new_zeros(self.size, 7), state.new_zeros(self.size, 6)
        self.action_size = state.shape[1]

    def reset(self, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Begin new episodes in all environments, from rows `starts` (N,) of the start table, else drawn ones;
        observations of policy and critic."""
        self._begin(torch.arange(self.size, device=self.bundle.device), starts)
        return self._observe(self.simulator.state())

    def step(self, actions: Tensor) -> TaskStep:
        """One control step with actions (N, 6+n), clipped to [-1, 1]."""
        b = self.bundle
        self.residual = self._next_residual(actions.to(b.dtype))
        target = b.baseline[self.clip, self.frame] + self._placed(self.residual)
        self.command = torch.max(torch.min(target, b.upper), b.lower)
        self.simulator.step(self.command)
        state = self.simulator.state()
        self.frame, self.steps = self.frame + 1, self.steps + 1
        transition = self._transition(state)
        reward, parts = total(self.rewards, transition)
        terminated = ~torch.isfinite(reward)  # diverged
        reward = torch.where(terminated, torch.zeros_like(reward), reward)
        for cause in ended(self.terminations, transition).values():
            terminated = terminated | cause
        at_end = self.frame >= b.length[self.clip] - 1
        truncated = ~terminated & (at_end | (self.steps >= b["longest"]))
        self._measure(state)
        policy, critic = self._observe(state)
        done = torch.nonzero(terminated | truncated).flatten()
        if len(done):
            self._begin(done)
            fresh = self._observe(self.simulator.state())
            policy[done], critic[done] = fresh[0][done], fresh[1][done]
        return TaskStep(policy, critic, reward, terminated, truncated, parts)

    def _begin(self, rows: Tensor, starts: Tensor | None = None) -> None:
        b = self.bundle
        chosen = self._drawn(rows) if starts is None else starts
        q = b.start_q[chosen]
        self.simulator.reset(rows, q, b.start_qd[chosen], b.start_object_pose[chosen], b.start_object_twist[chosen])
        self.frame[rows], self.steps[rows] = b.start_frame[chosen], 0
        self.residual[rows], self.command[rows] = b.start_residual[chosen], q
        self.q[rows], self.qd[rows] = q, 0.0
        self.object_pose[rows], self.object_twist[rows] = b.start_object_pose[chosen], 0.0

    def _candidates(self) -> tuple[Tensor, Tensor]:
        """Rows (K, kinds, most) of the start table by clip and kind, and their number (K, kinds); a clip without a kind
        begins in its first frame."""
        b, found = self.bundle, []
        for k in range(len(b.length)):
            of_kind = [torch.nonzero((b.start_clip == k) & (b.start_kind == kind)).flatten() for kind in range(4)]
            found.append([rows if len(rows) else of_kind[0] for rows in of_kind])
        count = torch.tensor([[len(rows) for rows in kinds] for kinds in found], device=b.device)
        choices = torch.zeros(*count.shape, int(count.max()), dtype=torch.long, device=b.device)
        for k, kinds in enumerate(found):
            for kind, rows in enumerate(kinds):
                choices[k, kind, : len(rows)] = rows
        return choices, count

    def _drawn(self, rows: Tensor) -> Tensor:
        """Rows of the start table, by the fractions of their kinds."""
        kind = torch.multinomial(self.bundle.start_fractions, len(rows), True, generator=self.random)
        clip = self.clip[rows]
        lot = torch.rand(len(rows), device=kind.device, generator=self.random)
        return self._choices[clip, kind, (lot * self._count[clip, kind]).long()]

    def _next_residual(self, u: Tensor) -> Tensor:
        """control/action_space.py, residual and cumulative."""
        b, u = self.bundle, u.clamp(-1.0, 1.0)
        change = b.step * u if b["action"] == "cumulative" else b.limit * u - self.residual
        change = torch.max(torch.min(change, b.step), -b.step)
        return torch.max(torch.min(self.residual + change, b.limit), -b.limit)

    def _placed(self, residual: Tensor) -> Tensor:
        """Residuals turned as the clips' placements are."""
        cosine, sine = self.bundle.turn[self.clip].unbind(1)
        x, y = residual[:, 0], residual[:, 1]
        return torch.cat([torch.stack([cosine * x - sine * y, sine * x + cosine * y], 1), residual[:, 2:]], 1)

    def _measure(self, state: WorldState) -> None:
        self.qd, self.object_twist = joint_velocity(state.q, self.q), pose_velocity(state.object_pose, self.object_pose)
        self.q, self.object_pose = state.q.clone(), state.object_pose.clone()

    def _observe(self, state: WorldState) -> tuple[Tensor, Tensor]:
        b, clip = self.bundle, self.clip
        tips = b.tips(clip, self.q)
        seen = DextrackFrame(
            b,
            clip,
            self.frame,
            self.q,
            self.qd,
            self.object_pose,
            self.object_twist,
            self.command,
            self.residual,
            tips,
        )
        policy = observation(seen)
        wanted, pose = seen.ahead(b.object_pose, 1), state.object_pose
        left = (b.length[clip] - 1 - self.frame).to(b.dtype) / 100.0
        unknown = torch.zeros_like(self.q)  # the reference's error, which is none here
        privileged = [
            state.qd,
            state.object_twist,
            pose[:, :3] - wanted[:, :3],
            quat_angle(pose[:, 3:], wanted[:, 3:]).unsqueeze(1),
            state.tip_contact.to(b.dtype),
            (tips - pose[:, None, :3]).flatten(1),
            b.physics[clip, self.world],
            unknown,
            unknown[:, :1],  # latency
            torch.stack([left, self.frame.to(b.dtype) / 100.0], 1),
        ]
        return policy, torch.cat([policy, *privileged], 1)

    def _transition(self, state: WorldState) -> Transition:
        b, clip = self.bundle, self.clip
        frame = torch.minimum(self.frame, b.length[clip] - 1)
        wanted, pose, center = b.object_pose[clip, frame], state.object_pose, b.center[clip]
        away = pose[:, :3] + quat_rotate(pose[:, 3:], center) - wanted[:, :3] - quat_rotate(wanted[:, 3:], center)
        return Transition(
            q=state.q,
            object_pose=pose,
            palm_pose=b.palm(clip, state.q),
            tips=b.tips(clip, state.q),
            tip_contact=state.tip_contact,
            wanted_q=b.q[clip, frame],
            wanted_object=wanted,
            wanted_palm=b.palm_pose[clip, frame],
            wanted_grasp=b.grasp[clip, frame],
            wanted_contact=b.contact[clip, frame],
            position_error=away.norm(dim=1),
            angle_error=self._angle_error(wanted[:, 3:], pose[:, 3:]),
        )

    def _angle_error(self, wanted: Tensor, quat: Tensor) -> Tensor:
        """Angle (N,) between orientations, over each object's symmetries: geometry/equivalents.py's reduced_angle."""
        angle = quat_angle(wanted, quat)
        relative = quat_multiply(quat_conjugate(wanted), quat)
        for k, symmetry in enumerate(self.bundle["symmetry"]):
            if symmetry["kind"] == "none":
                continue
            here = self.clip == k
            if symmetry["kind"] == "sphere":
                angle = torch.where(here, torch.zeros_like(angle), angle)
                continue
            turns = torch.as_tensor(symmetry["rotations"], device=angle.device, dtype=angle.dtype)[:, None]
            if symmetry["kind"] == "discrete":
                reduced = quat_angle(turns, relative[None]).min(0).values
            else:  # with a free rotation about the axis, the angle between the axes remains
                axis = torch.as_tensor(symmetry["axis"], device=angle.device, dtype=angle.dtype)
                axis = axis / axis.norm()
                turned = quat_rotate(relative[None], quat_rotate(turns, axis.expand(len(turns), 1, 3)))
                crossed = torch.cross(axis.expand_as(turned), turned, dim=-1).norm(dim=-1)
                reduced = torch.atan2(crossed, (turned * axis).sum(-1)).min(0).values
            angle = torch.where(here, reduced, angle)
        return angle
