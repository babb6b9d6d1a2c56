"""Actions -> a Demonstration: simulated in the nominal world, judged there and in held-out worlds."""

from typing import Any

import numpy as np

from dexhot.data.types import Demonstration, Reference
from dexhot.metrics.rollout import compute
from dexhot.rollouts.floating import run_floating
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.setup import Setup
from dexhot_train.mining.worlds import World, replay, success_rate


def scored(
    reference: Reference, actions: np.ndarray, setup: Setup, simulator: MujocoSimulator, trials: list[World]
) -> Demonstration:
    """The demonstration of `actions` (T, 6+n); its scores have the nominal world's metrics and `robustness`, the
    fraction of `trials` that are strict too (0 where the nominal one is not, or there are none)."""
    rollout = run_floating(reference, actions, simulator)
    scores: dict[str, Any] = compute(rollout, setup.asset, setup.hand)
    survived = replay(reference, actions, trials, simulator) if scores["success_strict"] and trials else []
    scores["robustness"] = success_rate(survived) if survived else 0.0
    return Demonstration(
        name=reference.name,
        reference=reference,
        actions=actions,
        q=np.concatenate([rollout.q[1:], rollout.q[-1:]]),
        object_pose=np.concatenate([rollout.object_pose[1:], rollout.object_pose[-1:]]),
        physics=setup.physics.version,
        servo=setup.physics.profile(setup.hand),
        scores=scores,
    )
