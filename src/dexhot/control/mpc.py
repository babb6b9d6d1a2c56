"""Sampling-based model predictive control along a reference, deterministic: same stamped inputs and seed, same targets.

Every `replan` seconds a plan starts from the observed state and takes effect exactly `delay` frames later, whatever its
computation time; until then the previous plan continues. On a machine that needs more than `delay` frames per plan the
targets are late and the safety supervisor holds: use fewer samples or a longer delay.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dexhot.control.controllers import HandState
from dexhot.control.sampling import SamplingOptions, SamplingPlanner
from dexhot.data.types import RATE, Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.simulation.backend import Simulator
from dexhot.tracking.object_state import ObjectState


@dataclass(frozen=True)
class MpcOptions:
    """Budget of online planning. Times in s."""

    samples: int = 16
    iterations: int = 2
    horizon: float = 0.5
    replan: float = 0.2
    delay: int = 8  # frames until a plan takes effect, fewer than `replan`
    seed: int = 0


class Mpc:
    """Plans with `simulator`, a floating scene of the reference's hand and object."""

    def __init__(
        self,
        reference: Reference,
        simulator: Simulator,
        options: MpcOptions | None = None,
        demonstration: Demonstration | None = None,
    ):
        """`demonstration`: its actions are the initial plan, instead of the reference's targets."""
        o = options or MpcOptions()
        self.reference, self.simulator, self.demonstration = reference, simulator, demonstration
        self.budget = SamplingOptions(o.samples, o.iterations, o.horizon, o.replan)
        self.delay, self.seed = o.delay, o.seed
        if not 0 < o.delay < round(o.replan * RATE):
            raise DexhotError(
                f"mpc: delay must be 1 to {round(o.replan * RATE) - 1} frames (below replan), not {o.delay}."
            )
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="mpc")

    def start(self, observed: ObjectState) -> None:
        self.planner = SamplingPlanner(self.reference, self.simulator, self.budget, seed=self.seed)
        if self.demonstration is not None:
            self.planner.residual[: self.planner.frames] = (
                self.demonstration.actions - self.planner.base[: self.planner.frames]
            )
        self.plan = self.planner.actions(0, len(self.planner.base))
        self.pending: tuple[int, Future[np.ndarray]] | None = None  # the frame at which the plan takes effect
        self.last: HandState | None = None

    def step(self, index: int, observed: ObjectState, hand: HandState) -> np.ndarray:
        if self.pending is not None and index >= self.pending[0]:
            begin, future = self.pending
            actions = future.result()
            self.plan[begin : begin + len(actions)] = actions
            self.pending = None
        begin = index + self.delay
        if self.pending is None and index % self.planner.stride == 0 and begin < self.planner.frames:
            state = self._state(observed, hand)
            ahead = self.simulator.rollout(state, self.plan[index:begin]).states[0, -1]
            self.pending = begin, self.thread.submit(self.planner.plan, ahead, begin)
        self.last = hand
        target: np.ndarray = self.plan[index]
        return target

    def _state(self, observed: ObjectState, hand: HandState) -> np.ndarray:
        """The simulator state for the observation; the hand's velocity from its last two poses."""
        scene = self.simulator.scene
        moved = self.last is not None and hand.stamp > self.last.stamp
        qd = (hand.q - self.last.q) / (hand.stamp - self.last.stamp) if moved and self.last else np.zeros_like(hand.q)
        state = self.simulator.initial_state(hand.q, observed.pose, qd)
        assert scene.object_dof is not None, "planning needs a scene with an object"
        dof = 1 + scene.model.nq + scene.object_dof.start
        state[dof : dof + 3] = observed.twist[:3]
        state[dof + 3 : dof + 6] = (
            single.matrix(observed.pose[3:]).T @ observed.twist[3:]
        )  # a free joint's angular velocity is in the body frame
        return state
