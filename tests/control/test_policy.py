"""The controller `policy`: its card against the rig, its sum of residuals, and outputs that must not move a robot."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.controllers import HandState, Tracker
from dexhot.control.policy import OnnxNetwork, Policy, check_card, make_card, with_residual
from dexhot.control.sampling import base_actions
from dexhot.data.files import load, save
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError, FileFormatError, MissingExtraError, UnsafePolicyError
from dexhot.geometry.rotations import quat_rotate
from dexhot.retargeting.placement import moved
from dexhot.retargeting.retarget import with_profile
from dexhot.rollouts.floating import floating_simulator, run_controller, run_floating
from dexhot.tracking.object_state import ObjectState
from tiny_policy import LAYOUT, write_policy


@pytest.fixture
def make(tmp_path, lift_reference, lift_setup):
    """A policy with a tiny network."""

    def policy(reference=None, **how) -> Policy:
        reference = reference or lift_reference
        path = write_policy(tmp_path / "tiny", reference, lift_setup.physics, **how)
        return Policy(reference, OnnxNetwork(path), lift_setup.asset, lift_setup.physics)

    return policy


def seen(reference, t: int = 0) -> tuple[ObjectState, HandState]:
    return ObjectState(t / 60, reference.object_pose[t], np.zeros(6), np.zeros((12, 12))), HandState(
        t / 60, reference.q[t]
    )


def run(policy: Policy, frames) -> np.ndarray:
    policy.start(seen(policy.reference)[0])
    return np.stack([policy.step(t, *seen(policy.reference, t)) for t in frames])


def test_a_residual_of_zero_is_the_reference_replayed(make, lift_reference, lift_setup):
    simulator = floating_simulator(lift_reference, lift_setup)
    rollout = run_controller(make(), simulator)
    replay = run_floating(lift_reference, base_actions(lift_reference, lift_setup.physics), simulator)
    np.testing.assert_array_equal(rollout.q, replay.q)


def test_the_sum_starts_at_zero_grows_and_is_limited(make):
    policy = make(bias=0.03)  # of a limit of 0.8 for fingers, and a step of 0.08
    policy.card.residual_step = [0.1] * 22
    out = run(policy, range(60))
    grown = out[:, 10] - policy.base[:60, 10]
    np.testing.assert_allclose(grown[:5], 0.03 * np.arange(1, 6), atol=1e-6)
    np.testing.assert_allclose(grown[30:], 0.8, atol=1e-6)
    assert policy.residual[10] == pytest.approx(0.8)
    policy.start(seen(policy.reference)[0])
    assert not policy.residual.any()


def test_the_sum_stands_still_after_the_clip_and_in_a_hold(make, lift_setup):
    policy = make(bias=0.001)
    tracker = Tracker(policy, lift_setup.physics, 0.5, 0)
    last = len(policy.reference.q) - 1
    tracker.begin(1.0)
    observed, hand = seen(policy.reference)
    tracker.step(1.0 - 0.3, observed, hand)
    for t in (0, 1, 2):
        tracker.step(1.0 + t / 60, observed, hand)
    assert policy.residual[10] == pytest.approx(0.003)
    tracker.stop()  # a hold
    assert tracker.step(1.1, observed, hand) is None and policy.residual[10] == pytest.approx(0.003)
    policy.step(last, observed, hand)
    held = policy.residual.copy()
    np.testing.assert_array_equal(policy.step(last, observed, hand), policy.command)
    np.testing.assert_array_equal(policy.residual, held)


def test_the_same_inputs_give_the_same_bits(make, lift_reference):
    weight = np.random.default_rng(0).normal(0, 2e-4, (13, 22))
    one, other = (run(make(weight=weight, keep=0.5), range(40)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bias, what", [(np.nan, "not finite"), (np.inf, "not finite"), (0.5, r"tx jumps by 125\.0")])
def test_outputs_that_must_not_move_a_robot_are_refused_and_change_nothing(make, bias, what):
    policy = make(bias=bias)
    policy.start(seen(policy.reference)[0])
    with pytest.raises(UnsafePolicyError, match=what):
        policy.step(0, *seen(policy.reference))
    assert not policy.residual.any()


def test_a_residual_is_in_the_demonstrations_frame(lift_reference):
    placed = moved(lift_reference, np.r_[0.3, 0.1, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)])
    residual = np.arange(22.0)
    turned = with_residual(placed, np.zeros(22), residual)
    np.testing.assert_allclose(turned[:3], quat_rotate(placed.placement[3:], residual[:3]), atol=1e-12)
    np.testing.assert_array_equal(turned[3:], residual[3:])


def test_before_the_grasp_it_follows_the_observed_object(make):
    relative, fixed = make(), make(baseline="targets")
    observed, hand = seen(relative.reference)
    observed.pose = observed.pose + np.r_[0.01, np.zeros(6)]
    for policy, moved_by in ((relative, 0.01), (fixed, 0.0)):
        policy.start(observed)
        first = base_actions(policy.reference, policy.physics)[0, 0]
        assert policy.step(0, observed, hand)[0] - first == pytest.approx(moved_by)


CHANGES = {
    "hand": ({"hand": "leap_left"}, "hand: leap_left, not leap_right"),
    "joints": ({"joint_names": None}, "joint order: .* at place 6"),
    "rate": ({"rate": 30.0}, "rate, Hz: 30.0, not 60.0"),
    "layout": ({"observation": [{"name": "object_error", "size": 7}]}, "observation layout: .*7.* not .*6"),
    "unknown": ({"observation": [{"name": "smell", "size": 7}]}, "observation layout: .*smell.* not nothing"),
    "servo": ({"servo": "dextrack"}, "servo profile: dextrack, not leap"),
    "physics": ({"physics": "1"}, "physics version: 1, not 2"),
    "gravity": ({"hand_gravity": True}, "gravity on the hand: True, not False"),
    "clip": ({"clip": "grab/duck_lift"}, "clip: grab/duck_lift, not parametric/lift.*frames: 0, not"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_card_that_does_not_fit_is_refused_with_the_difference_named(name, tmp_path, lift_reference, lift_setup):
    changes, message = CHANGES[name]
    if name == "joints":
        names = list(lift_reference.joint_names)
        changes = {"joint_names": [*names[:6], names[7], names[6], *names[8:]]}
    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics, **changes)
    card = load(path.with_suffix(".json"), PolicyCard)
    with pytest.raises(DexhotError, match=rf"does not fit parametric/lift.*{message}"):
        check_card(card, lift_reference, lift_setup.physics)


def test_a_specialists_card_fits_its_own_reference_alone_wherever_it_is_placed(lift_reference, lift_setup):
    card = make_card("p", lift_reference, lift_setup.physics, LAYOUT, alone=True)
    check_card(card, moved(lift_reference, np.r_[0.3, 0.1, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)]), lift_setup.physics)
    again = replace(lift_reference, q=lift_reference.q + 0.01)
    with pytest.raises(DexhotError, match="retargeted again since the policy was trained"):
        check_card(card, again, lift_setup.physics)


def test_another_servo_profile_of_the_reference_is_refused(tmp_path, lift_reference, lift_setup):
    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics)
    from dexhot.simulation.setup import physics_of

    other = with_profile(lift_reference, "dextrack")
    with pytest.raises(DexhotError, match="servo profile: leap, not dextrack"):
        check_card(load(path.with_suffix(".json"), PolicyCard), other, physics_of(other))


def test_damaged_files_are_named(tmp_path, lift_reference, lift_setup):
    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics)
    content = path.read_bytes()
    path.write_bytes(content[:-7] + b"garbage")
    with pytest.raises(FileFormatError, match=r"tiny\.onnx and tiny\.json do not belong together: .*, of tiny, has"):
        OnnxNetwork(path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(
        FileFormatError, match=r"tiny\.json is not a card of .*tiny\.onnx: .*put the two files of one export"
    ):
        OnnxNetwork(path)
    path.unlink()
    with pytest.raises(FileFormatError, match=r"tiny\.onnx does not exist"):
        OnnxNetwork(path.with_suffix(".json"))
    with pytest.raises(FileFormatError, match=r"give its \.onnx"):
        OnnxNetwork(tmp_path / "tiny.npz")


def test_a_file_that_is_no_network_is_refused_though_its_hash_fits(tmp_path, lift_reference, lift_setup):
    import hashlib

    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics)
    card = load(path.with_suffix(".json"), PolicyCard)
    path.write_bytes(b"no network")
    save(replace(card, onnx_sha256=hashlib.sha256(b"no network").hexdigest()), path.with_suffix(".json"))
    with pytest.raises(FileFormatError, match="not an ONNX network"):
        OnnxNetwork(path)


def test_a_network_of_other_sizes_than_its_card_is_refused(tmp_path, lift_reference, lift_setup):
    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics)
    card = load(path.with_suffix(".json"), PolicyCard)
    save(replace(card, observation=card.observation[:1]), path.with_suffix(".json"))
    with pytest.raises(FileFormatError, match=r"observation': 13.*its card says .*observation': 6"):
        OnnxNetwork(path)


def test_without_onnxruntime_the_extra_is_named(tmp_path, lift_reference, lift_setup, monkeypatch):
    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics, layout=LAYOUT)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"dexhot\[policy\]"):
        OnnxNetwork(path)


def test_feedback_and_policies_are_not_taken_for_one_another(lift_reference, lift_setup):
    on_plan = make_card("p", lift_reference, lift_setup.physics, LAYOUT, baseline="planned")
    alone = make_card("p", lift_reference, lift_setup.physics, LAYOUT)
    check_card(on_plan, lift_reference, lift_setup.physics, on_plan=True)
    with pytest.raises(
        DexhotError, match=r"baseline: planned, not targets or object_rel.*controller:=planned feedback:="
    ):
        check_card(on_plan, lift_reference, lift_setup.physics)
    with pytest.raises(
        DexhotError, match=r"feedback p .*not planned\): it runs as controller:=policy policy:=FILE; .*feedback"
    ):
        check_card(alone, lift_reference, lift_setup.physics, on_plan=True)


def test_feedback_that_sees_the_hand_itself_is_refused(lift_reference, lift_setup):
    card = make_card("p", lift_reference, lift_setup.physics, [*LAYOUT, "last_command", "hand"], baseline="planned")
    with pytest.raises(DexhotError, match="observation: last_command, hand, which feedback must not see"):
        check_card(card, lift_reference, lift_setup.physics, on_plan=True)


def test_feedback_corrects_less_than_a_policy(lift_reference, lift_setup):
    on_plan, alone = (
        make_card("p", lift_reference, lift_setup.physics, LAYOUT, baseline=name) for name in ("planned", "targets")
    )
    assert (np.asarray(on_plan.residual_limit) < alone.residual_limit).all()
    assert (np.asarray(on_plan.residual_step) < alone.residual_step).all()
