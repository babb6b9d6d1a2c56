"""Scores are computed by simulating a file's actions again, in the benchmark physics."""

from dataclasses import replace

import numpy as np

from dexhot.control.controllers import Playback
from dexhot.control.time_warp import for_arm
from dexhot.data.types import Demonstration, Reference, Rollout
from dexhot.errors import DexhotError
from dexhot.metrics.rollout import compute
from dexhot.retargeting.placement import with_arm_path
from dexhot.rollouts.arm import run_offline
from dexhot.rollouts.floating import floating_simulator, run_floating
from dexhot.simulation.setup import Setup, load_setup


def to_play(reference: Reference, targets: np.ndarray, setup: Setup) -> Demonstration:
    """Targets (T, 6+n) as a demonstration that is to be played: the states it achieved, which playing does not use, are
    the reference's."""
    version, servo = setup.physics.version, setup.physics.profile(setup.hand)
    return Demonstration(reference.name, reference, targets, reference.q, reference.object_pose, version, servo=servo)


def score(demonstration: Demonstration, setup: Setup | None = None) -> Rollout:
    """Simulate the demonstration's actions on the floating hand and compute its metrics.

    setup: that of its reference, if loaded. Raises NotFoundError when its hand or object is missing,
    DexhotError when it was made with another physics version.
    """
    reference = demonstration.reference
    setup = setup or load_setup(reference)
    require_physics(demonstration, setup)
    simulator = floating_simulator(reference, setup)
    return rejudge(run_floating(reference, demonstration.actions, simulator), setup)


def require_physics(demonstration: Demonstration, setup: Setup) -> None:
    """Raises DexhotError unless the demonstration was made with the setup's physics version."""
    made, now = demonstration.physics, setup.physics.version
    if made != now:
        raise DexhotError(
            f"{demonstration.name} was made with physics version {made}, this is version {now}: mine it again, or "
            f"score it as it was made with `dexhot evaluate FILE --physics {made}`."
        )


def rejudge(rollout: Rollout, setup: Setup | None = None) -> Rollout:
    """`rollout` with its metrics recomputed. Raises NotFoundError when its hand or object is missing."""
    setup = setup or load_setup(rollout.reference)
    rollout.metrics = compute(rollout, setup.asset, setup.hand)
    return rollout


def score_on_arm(demonstration: Demonstration, setup: Setup | None = None) -> Rollout:
    """The demonstration on the embedded rig in the arm's time, with metrics. Raises UnreachableError unless placed."""
    setup = setup or load_setup(demonstration.reference)
    return rejudge(run_on_arm(demonstration, setup), setup)


def run_on_arm(demonstration: Demonstration, setup: Setup, palm: np.ndarray | None = None) -> Rollout:
    """The demonstration on the embedded rig in the arm's time, with palm offset (3,) m; metrics empty. Raises
    UnreachableError unless its reference is placed."""
    reference = with_arm_path(demonstration.reference)  # files of dexhot 0.1 lack it
    played = for_arm(replace(demonstration, reference=reference), setup.physics)
    return run_offline(played.reference, Playback(played), setup, palm=palm)
