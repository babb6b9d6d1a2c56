"""Annealed sampling over residuals on a reference's position targets: for mining and, with enough cores, for control.

Actions are base + residual: `base` are the reference's targets with velocity feed-forward for the servos' lag, the
residual is linear between knots. `plan` samples knots around the current residual, rolls them out in one batch (for a
robust plan, each in several worlds) and moves the residual to the weighted mean of the elites; the noise decreases from
iteration to iteration (model predictive path integral control, Williams et al. 2017, with annealing, Xue et al. 2024).
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from dexhot.control.cost import Targets, Weights, targets, tracking_cost
from dexhot.data.types import Reference
from dexhot.simulation.backend import Batch, BatchSimulator
from dexhot.simulation.physics import Physics


@dataclass(frozen=True)
class SamplingOptions:
    """Budget and noise of one plan. Times in s."""

    samples: int = 64
    iterations: int = 4
    horizon: float = 1.0
    replan: float = 0.2  # executed part of a plan before the next one
    knot: float = 0.2
    sigma_position: float = 0.01  # m, of the wrist
    sigma_rotation: float = 0.05  # rad, of the wrist
    sigma_finger: float = 0.25  # rad
    first: float = 0.5  # noise at the first knot, ratio to the last: near actions were planned before
    anneal: float = 0.15  # noise in the last iteration, ratio to the first
    elites: float = 0.1  # fraction of the samples that is averaged
    finalists: float = 0.25  # fraction of the samples, best in the first world, evaluated in the others
    temperature: float = 0.5  # of the elites' weights, in standard deviations of their cost


def base_actions(reference: Reference, physics: Physics) -> np.ndarray:
    """(T, 6+n) targets that unloaded servos track: the next frame's target plus its velocity times the lag."""
    following = np.minimum(np.arange(1, len(reference.target) + 1), len(reference.target) - 1)
    velocity = np.gradient(reference.target, axis=0) * reference.rate
    velocity[-1] = 0.0  # at rest at the end
    lag = physics.servo_lag(reference.hand)
    actions: np.ndarray = reference.target[following] + lag * velocity[following]
    return actions


class SamplingPlanner:
    """Plans along one reference. Frame t is the reference's; action t leads from frame t to frame t + 1.

    `residual` (T + h, 6+n) is kept between calls, so the next plan starts from the last one.
    """

    def __init__(
        self,
        reference: Reference,
        simulator: BatchSimulator,
        options: SamplingOptions | None = None,
        weights: Weights | None = None,
        seed: int = 0,
        models: list[mujoco.MjModel] | None = None,
    ):
        """`models`: the worlds of a robust plan (`scene.perturbed`), one per state passed to `plan`."""
        self.reference, self.simulator, self.models = reference, simulator, models
        self.options, self.weights = options or SamplingOptions(), weights or Weights()
        self.scene, self.rng = simulator.scene, np.random.default_rng(seed)
        self.frames = len(reference.q)
        self.steps = round(self.options.horizon * reference.rate)
        self.stride = round(self.options.replan * reference.rate)
        base = base_actions(reference, self.scene.physics)
        self.base = np.concatenate([base, np.repeat(base[-1:], self.steps, axis=0)])
        self.residual = np.zeros_like(self.base)
        self.targets: Targets = targets(reference, self.scene)
        self.interpolation = knot_weights(self.steps, round(self.options.knot * reference.rate))
        o, fingers = self.options, base.shape[1] - 6
        self.sigma = np.r_[[o.sigma_position] * 3, [o.sigma_rotation] * 3, [o.sigma_finger] * fingers]  # (6+n,)
        self.control_steps = 0  # simulated so far, over all worlds

    def actions(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, 6+n) actions of the current plan."""
        return self._clip(self.base[start:stop] + self.residual[start:stop])

    def plan(self, states: np.ndarray, t: int, samples: int | None = None, iterations: int | None = None) -> np.ndarray:
        """Improve the plan from frame t on; `states` (ns,), or one per world (W, ns). Returns (h, 6+n) actions."""
        samples, iterations = samples or self.options.samples, iterations or self.options.iterations
        span, states = slice(t, t + self.steps), np.atleast_2d(states)
        for k in range(iterations):
            scale = self.options.anneal ** (k / max(1, iterations - 1))
            residual = self.residual[span] + self._noise(samples) * scale
            residual[0] = self.residual[span]
            if k == 0:
                residual[1] = 0.0  # a zero residual always competes
            cost = self._race(states, t, residual)
            self.residual[span] = elite_mean(residual, cost, self.options.elites, self.options.temperature)
        return self.actions(t, t + self.steps)

    def predict(self, states: np.ndarray, t: int) -> Batch:
        """Roll out the current plan from frame t on, in each world."""
        states = np.atleast_2d(states)
        self.control_steps += len(states) * self.steps
        return self.simulator.rollout(states, self.actions(t, t + self.steps)[None], self.models)

    def evaluate(self, states: np.ndarray, t: int, residual: np.ndarray, first: int = 0) -> np.ndarray:
        """(W, N) cost of residuals (N, h, 6+n) from frame t on in worlds first, first + 1, ... of `states` (W, ns)."""
        worlds, samples, steps = len(states), *residual.shape[:2]
        controls = np.tile(self._clip(self.base[t : t + steps] + residual), (worlds, 1, 1))
        models = (
            None if self.models is None else [m for m in self.models[first : first + worlds] for _ in range(samples)]
        )
        batch = self.simulator.rollout(np.repeat(states, samples, axis=0), controls, models)
        self.control_steps += worlds * samples * steps
        frames = np.minimum(np.arange(t + 1, t + 1 + steps), self.frames - 1)
        cost = tracking_cost(self.scene, batch, controls, self.targets.at(frames), self.weights)
        per_world: np.ndarray = cost.reshape(worlds, samples)
        return per_world

    def _race(self, states: np.ndarray, t: int, residual: np.ndarray) -> np.ndarray:
        """(N,) mean cost over all worlds; infinite for samples that were not among the first world's best."""
        cost: np.ndarray = self.evaluate(states[:1], t, residual)[0]
        if len(states) == 1:
            return cost
        best = np.argsort(cost)[: max(4, round(len(cost) * self.options.finalists))]
        others = self.evaluate(states[1:], t, residual[best], first=1)
        mean = np.full(len(cost), np.inf)
        mean[best] = (cost[best] + others.sum(axis=0)) / len(states)
        return mean

    def _noise(self, samples: int) -> np.ndarray:
        o, knots = self.options, self.interpolation.shape[1]
        envelope = np.linspace(o.first, 1.0, knots)[:, None]
        drawn = self.rng.standard_normal((samples, knots, len(self.sigma))) * self.sigma * envelope
        noise: np.ndarray = np.einsum("hk,nku->nhu", self.interpolation, drawn)
        return noise

    def _clip(self, controls: np.ndarray) -> np.ndarray:
        clipped: np.ndarray = np.clip(controls, self.scene.lower, self.scene.upper)
        return clipped


def knot_weights(steps: int, spacing: int) -> np.ndarray:
    """(steps, knots) linear interpolation between knots that are `spacing` steps apart."""
    knot, part = np.divmod(np.arange(steps), spacing)
    out = np.zeros((steps, steps // spacing + 2))
    out[np.arange(steps), knot] = 1 - part / spacing
    out[np.arange(steps), knot + 1] = part / spacing
    return out


def elite_mean(samples: np.ndarray, cost: np.ndarray, fraction: float, temperature: float) -> np.ndarray:
    """Mean of the best `fraction` (at least 4) of samples (N, ...), weighted by exp(-z / temperature), z the cost's
    distance from the best one in standard deviations."""
    best = np.argsort(cost)[: max(4, round(len(cost) * fraction))]
    best = best[np.isfinite(cost[best])]
    if not len(best):
        plan: np.ndarray = samples[0]
        return plan  # all rollouts diverged: keep the plan
    z = (cost[best] - cost[best].min()) / (cost[best].std() + 1e-6)
    weight = np.exp(-z / temperature)
    return np.tensordot(weight / weight.sum(), samples[best], axes=1)
