"""The chain without ROS, on a parametric lift that needs no mining: what the live nodes do when no message is late."""

import numpy as np
import pytest

from dexhot.control.controllers import Kinematic, Playback
from dexhot.data.types import Demonstration
from dexhot.errors import UnreachableError
from dexhot.metrics.rollout import compute
from dexhot.retargeting.placement import moved, place
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.arm import ChainOptions, run_offline, start_joints
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup

HAND, PHYSICS = load_hand("leap_right"), load_physics()


@pytest.fixture(scope="module")
def placed(_lift_reference):
    return place(_lift_reference)


@pytest.fixture(scope="module")
def setup(lift):
    return Setup(HAND, lift[1], PHYSICS)


@pytest.fixture(scope="module")
def rollout(placed, setup):
    return run_offline(placed, Kinematic(placed, PHYSICS), setup)


def test_the_object_is_lifted_as_the_reference_wants(rollout, lift):
    assert compute(rollout, lift[1], HAND)["success_strict"]


def test_the_palm_is_where_the_reference_has_it(rollout):
    error = np.linalg.norm(rollout.q[:, :3] - rollout.reference.q[:, :3], axis=1)
    assert error.mean() < 0.006 and error.max() < 0.02


def test_the_rollout_is_valid_and_says_how_it_was_made(rollout):
    rollout.validate()
    assert rollout.kind == "arm" and rollout.provenance["chain"]["lead"] == 1.0
    assert rollout.provenance["physics"] == "2" and rollout.provenance["servo"] == "leap"


def test_without_the_lead_the_fingers_come_late(placed, setup, rollout):
    late = run_offline(placed, Kinematic(placed, PHYSICS), setup, ChainOptions(lead=0.0))
    error = [np.abs(r.q[:, 6:] - placed.q[:, 6:]).mean() for r in (late, rollout)]
    assert error[0] > 1.3 * error[1]


def test_zero_action_fails(placed, setup, lift):
    actions = np.repeat(placed.q[:1], len(placed.q), axis=0)
    frozen = Playback(Demonstration("zero", placed, actions, placed.q, placed.object_pose, "1"))
    metrics = compute(run_offline(placed, frozen, setup), lift[1], HAND)
    assert not metrics["success_strict"] and metrics["lifted_frames"] == 0


def test_noise_is_reproduced_by_its_seed(placed, setup):
    def run(seed: int):
        options = ChainOptions(position_noise=0.002, rotation_noise=0.01, seed=seed)
        demonstration = Demonstration(
            "d", placed, Kinematic(placed, PHYSICS).targets, placed.q, placed.object_pose, "1"
        )
        return run_offline(placed, Playback(demonstration), setup, options)

    first, second, other = run(1), run(1), run(2)
    assert (first.object_pose == second.object_pose).all() and (first.command != other.command).any()


def test_a_reference_without_a_path_for_the_arm_is_refused(placed):
    far = moved(placed, np.array([2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    with pytest.raises(UnreachableError, match="has no arm path"):
        start_joints(far)
