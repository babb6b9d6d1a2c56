"""The controller `planned`: what it plans for, when it refuses, what happens when the object moves or time runs out."""

import threading

import numpy as np
import pytest

from dexhot.control.controllers import HandState
from dexhot.control.policy import OnnxNetwork
from dexhot.errors import DexhotError, UnsafePolicyError
from dexhot.planning.planned import Planned, PlannedOptions, RefusedPlanError
from dexhot.planning.preparation import STEADY, Preparation
from dexhot.planning.prior import unfitted
from dexhot.rollouts.floating import floating_simulator, run_controller
from dexhot.tracking.object_state import ObjectState
from tiny_policy import write_policy


def seen(pose, offset=(0.0, 0.0, 0.0)) -> ObjectState:
    return ObjectState(0.0, np.r_[pose[:3] + offset, pose[3:]], np.zeros(6), np.zeros((12, 12)))


@pytest.fixture
def make(lift_reference, lift_setup):
    def planned(feedback=None, **options) -> Planned:
        budget = {"planning_rollouts": 20} | options
        return Planned(lift_reference, lift_setup, unfitted(16), PlannedOptions(**budget), feedback=feedback)

    return planned


def test_it_plans_at_the_start_and_plays_its_plan(make, lift_reference, lift_setup):
    controller = make()
    rollout = run_controller(controller, floating_simulator(lift_reference, lift_setup))
    assert controller.chosen.expected >= 0.5 and controller.chosen.rollouts <= 20
    np.testing.assert_allclose(rollout.command, controller.chosen.targets)


def test_a_reference_shorter_than_a_correction_takes_to_fade_in_is_planned_and_played(short_reference, lift_setup):
    controller = Planned(short_reference, lift_setup, unfitted(16), PlannedOptions(planning_rollouts=80))
    rollout = run_controller(controller, floating_simulator(short_reference, lift_setup))
    assert rollout.command.shape == short_reference.q.shape and np.isfinite(rollout.command).all()
    np.testing.assert_allclose(rollout.command, controller.chosen.targets)
    assert 0.0 <= controller.chosen.expected <= 1.0 and controller.chosen.rollouts <= 80


def test_the_same_observation_gives_the_same_plan(make, lift_reference):
    pose = lift_reference.object_pose[0]
    one, other = (make(seed=5).plan(pose) for _ in range(2))
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert one.expected == other.expected


def test_below_its_limit_it_refuses_and_says_what_to_do(make, lift_reference):
    controller = make(planning_limit=0.5)
    controller.space.base[:] = lift_reference.q[:1]  # a hand that never moves
    controller.prior.covariance[:] = 1e-12 * np.eye(38)
    with pytest.raises(RefusedPlanError, match=r"0\.00 of the perturbed worlds.*the limit is 0\.5.*mine the clip"):
        controller.start(seen(lift_reference.object_pose[0]))
    assert controller.chosen is None


def test_an_object_that_moved_since_is_refused(make, lift_reference):
    pose, controller = lift_reference.object_pose[0], make()
    controller.start(seen(pose))
    controller.start(seen(pose, (0.005, 0.0, 0.0)))  # object-relative
    np.testing.assert_allclose(
        controller.step(0, seen(pose), HandState(0, pose))[0] - controller.chosen.targets[0, 0], 0.005
    )
    with pytest.raises(RefusedPlanError, match=r"moved by 3\.0 cm"):
        controller.start(seen(pose, (0.03, 0.0, 0.0)))


def test_too_few_rollouts_are_refused(make):
    with pytest.raises(DexhotError, match="at least 10"):
        make(planning_rollouts=3)


def test_preparation_waits_for_rest_and_then_plans(make, lift_reference):
    pose, preparation = lift_reference.object_pose[0], Preparation(make())
    for _ in range(STEADY):
        assert preparation.pending is None and "not begun" in preparation.problem()
        preparation.observe(seen(pose))
    preparation.wait()
    assert preparation.problem() == "" and preparation.begin(seen(pose)) == ""
    preparation.close()


def test_a_moving_object_is_not_planned_for(make, lift_reference):
    pose, preparation = lift_reference.object_pose[0], Preparation(make())
    for k in range(3 * STEADY):
        preparation.observe(seen(pose, (0.001 * k, 0.0, 0.0)))
    assert preparation.pending is None
    preparation.close()


def test_an_object_that_jumps_while_it_is_planned_for_is_planned_for_again(make, lift_reference):
    pose, controller = lift_reference.object_pose[0], make()
    preparation, planning, gate = Preparation(controller), controller.plan, threading.Event()

    def slow(observed, budget):
        if not preparation.restarts:
            gate.wait()
        return planning(observed, budget)

    controller.plan = slow
    for _ in range(STEADY):
        preparation.observe(seen(pose))
    first = preparation.pending
    preparation.observe(seen(pose, (0.05, 0.0, 0.0)))
    assert preparation.restarts == 1
    gate.set()
    for _ in range(STEADY):
        preparation.observe(seen(pose, (0.05, 0.0, 0.0)))
    preparation.wait()
    assert first.exception() is not None  # cancelled
    assert preparation.problem() == "" and controller.chosen.observed[0] == pytest.approx(pose[0] + 0.05)
    preparation.close()


def test_an_object_that_moved_before_the_start_holds_and_is_planned_for_again(make, lift_reference):
    pose, preparation = lift_reference.object_pose[0], Preparation(make())
    for _ in range(STEADY):
        preparation.observe(seen(pose))
    assert "moved by 5.0 cm" in preparation.begin(seen(pose, (0.05, 0.0, 0.0)))
    assert "not begun" in preparation.problem()
    preparation.close()


def test_a_refusal_is_a_problem_that_stays(make, lift_reference):
    pose, controller = lift_reference.object_pose[0], make(planning_limit=1.0)
    controller.space.base[:] = lift_reference.q[:1]
    controller.prior.covariance[:] = 1e-12 * np.eye(38)
    preparation = Preparation(controller)
    for _ in range(2 * STEADY):
        preparation.observe(seen(pose))
    preparation.wait()
    assert "the limit is 1" in preparation.problem() and preparation.refusal and preparation.begin(seen(pose))
    preparation.close()


def test_planning_that_has_no_time_gives_what_it_has(make, lift_reference):
    chosen = make(planning_rollouts=0, planning_seconds=1e-9).plan(lift_reference.object_pose[0])
    assert chosen.rollouts <= 11 and chosen.expected > 0  # the bare reference, judged in the fresh worlds


@pytest.fixture
def network(tmp_path, lift_reference, lift_setup):
    def made(**how) -> OnnxNetwork:
        given = {"baseline": "planned"} | how
        return OnnxNetwork(write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics, **given))

    return made


def test_feedback_of_zero_is_exactly_the_playback(make, network, lift_reference, lift_setup):
    simulator = floating_simulator(lift_reference, lift_setup)
    alone, with_it = (run_controller(c, simulator) for c in (make(), make(network())))
    np.testing.assert_array_equal(with_it.command, alone.command)
    np.testing.assert_array_equal(with_it.object_pose, alone.object_pose)


def test_feedback_is_added_to_the_playback_within_its_bound(make, network, lift_reference):
    pose, controller = lift_reference.object_pose[0], make(network(bias=0.0015))
    for _ in range(2):  # a second clip begins at zero
        controller.start(seen(pose, (0.005, 0.0, 0.0)))
        played = controller.played
        added = np.stack(
            [
                controller.step(t, seen(lift_reference.object_pose[t]), HandState(t / 60, lift_reference.q[t]))
                - played[t]
                for t in range(40)
            ]
        )
        np.testing.assert_allclose(added[:5, 0], 0.0015 * np.arange(1, 6), atol=1e-6)
        np.testing.assert_allclose(added[20:, 0], 0.01, atol=1e-6)  # m, the card's limit


@pytest.mark.parametrize("bias, why", [(np.nan, "not finite"), (0.5, "jumps")])
def test_unsafe_feedback_is_no_command(make, network, lift_reference, bias, why):
    pose, controller = lift_reference.object_pose[0], make(network(bias=bias))
    controller.start(seen(pose))
    with pytest.raises(UnsafePolicyError, match=why):
        controller.step(0, seen(pose), HandState(0, lift_reference.q[0]))


def test_feedback_of_another_rig_or_kind_is_refused(make, network):
    with pytest.raises(DexhotError, match="servo profile: dextrack, not leap"):
        make(network(servo="dextrack"))
    with pytest.raises(DexhotError, match="baseline: object_relative, not planned"):
        make(network(baseline="object_relative"))


def test_feedback_is_not_among_the_trials(make, network, lift_reference):
    """Its cost would be a tick in each simulated step: what is expected is of the playback alone."""
    pose = lift_reference.object_pose[0]
    alone, with_it = make().plan(pose), make(network(bias=0.0015)).plan(pose)
    assert alone.expected == with_it.expected and alone.control_steps == with_it.control_steps
    np.testing.assert_array_equal(alone.numbers, with_it.numbers)
