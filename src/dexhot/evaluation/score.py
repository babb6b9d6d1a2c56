"""Scores come from simulating a file's actions again, in the benchmark physics."""

from dexhot.control.controllers import Playback
from dexhot.data.types import Demonstration, Rollout
from dexhot.errors import DexhotError
from dexhot.evaluation.metrics import compute
from dexhot.objects.library import load_object
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.arm import run_offline
from dexhot.rollouts.floating import floating_simulator, run_floating
from dexhot.simulation.physics import load_physics


def score(demonstration: Demonstration) -> Rollout:
    """Simulate the demonstration's actions on the floating hand and judge what happens.

    Raises NotFoundError when its hand or object is not here, DexhotError when it was made with another physics version.
    """
    physics = load_physics()
    if demonstration.physics != physics.version:
        made, now = demonstration.physics, physics.version
        raise DexhotError(
            f"{demonstration.name} was made with physics version {made}, this is version {now}: mine it again."
        )
    reference = demonstration.reference
    asset, hand = load_object(reference.object_name), load_hand(reference.hand)
    simulator = floating_simulator(reference, asset, hand, physics)
    return rejudge(run_floating(reference, demonstration.actions, simulator))


def rejudge(rollout: Rollout) -> Rollout:
    """`rollout` with its metrics computed anew. Raises NotFoundError when its hand or object is not here."""
    reference = rollout.reference
    rollout.metrics = compute(rollout, load_object(reference.object_name), load_hand(reference.hand))
    return rollout


def score_on_arm(demonstration: Demonstration) -> Rollout:
    """The demonstration played back on the arm rig, judged. Its reference must be placed."""
    return rejudge(run_offline(demonstration.reference, Playback(demonstration), load_physics()))
