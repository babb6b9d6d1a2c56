"""The sampling controller as an expert: asked what to do in the states that a student visits.

It plans from the visited state in the world's own model, beginning with the teacher's plan. One answer is noisy, so
those of several seeds are averaged; and where their mean is not better than the teacher's plan, that is the answer.
"""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from dexhot.control.sampling import SamplingOptions, SamplingPlanner
from dexhot.data.types import RATE, Reference
from dexhot.simulation.backend import MujocoSimulator

NEAR = SamplingOptions(
    samples=16, iterations=2, horizon=0.4, knot=0.1, sigma_position=0.003, sigma_rotation=0.02, sigma_finger=0.08
)  # a teacher's plan is near already


@dataclass(frozen=True)
class ExpertOptions:
    """Budget of an answer."""

    draws: int = 3  # seeds averaged
    sampling: SamplingOptions = field(default_factory=lambda: NEAR)
    margin: float = 0.02  # relative cost by which the mean must be better than the teacher's plan


class SamplingExpert:
    """Answers along one reference in one world."""

    def __init__(
        self,
        reference: Reference,
        simulator: MujocoSimulator,
        model: mujoco.MjModel,
        teacher: np.ndarray,
        options: ExpertOptions,
        seed: int,
    ):
        """teacher: (T, 6+n) targets of the teacher in this world."""
        self.planners = [
            SamplingPlanner(reference, simulator, options.sampling, seed=seed + k, models=[model])
            for k in range(options.draws)
        ]
        self.margin, self.answers, self.improved = options.margin, 0, 0
        base = self.planners[0].base
        self.teacher = np.zeros_like(base)
        self.teacher[: len(teacher)] = teacher - base[: len(teacher)]
        self.teacher[len(teacher) :] = self.teacher[len(teacher) - 1]

    @property
    def control_steps(self) -> int:
        """Simulated so far."""
        return sum(planner.control_steps for planner in self.planners)

    def answer(self, state: np.ndarray, t: int, frames: int) -> np.ndarray:
        """(frames, 6+n) targets from frame t on, in `state` (ns,)."""
        found = []
        for planner in self.planners:
            planner.residual[:] = self.teacher
            planner.plan(state, t)
            found.append(planner.residual[t : t + planner.steps].copy())
        first, mean = self.planners[0], np.mean(found, axis=0)
        teacher = self.teacher[t : t + first.steps]
        cost = first.evaluate(state[None], t, np.stack([teacher, mean]))[0]
        better = cost[1] < (1.0 - self.margin) * cost[0]
        self.answers += 1
        self.improved += bool(better)
        first.residual[t : t + first.steps] = mean if better else teacher
        return first.actions(t, t + frames)


def queried(reference: Reference, stride: int) -> np.ndarray:
    """Frames at which an expert is asked: around the grasp, every `stride` frames, while its answer fits the clip."""
    first = max(0, reference.grasp_start - round(0.5 * RATE))
    last = min(len(reference.q) - stride, reference.grasp_end + round(0.2 * RATE))
    return np.arange(first, max(last, first + 1), stride)
