"""The LEAP hand on a demonstration, with a user whose hand is estimated: errors, bound, observation, success."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.control.assist_agents import agent_file
from dexhot.control.assistance import correction_bound
from dexhot.control.known_motion import observed_offsets
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.rollouts.floating import floating_simulator, run_floating
from dexhot_train.assist import leap
from dexhot_train.assist.leap import LeapHands, load_leap_experts, succeeds
from dexhot_train.assist.leap_agent import leap_agent_from
from dexhot_train.assist.leap_success import Smoothed, leap_success, no_correction, to_expert, to_reference
from dexhot_train.assist.user_input import EstimateError, smooth_drift
from dexhot_train.task.clips import load_task_clip

LIFT = share_dir() / "policies" / "lift_box.npz"
NONE = EstimateError(0.0, 0.0, 0.0)
ALL_BUT = (*range(3, 22),)  # numbers of a hand vector that no frame turns


@pytest.fixture(scope="module")
def lift():
    """The shipped lift of a box, whose bare replay succeeds."""
    return load_task_clip(str(LIFT))


@pytest.fixture
def hands(lift):
    """Two worlds with errors of an estimate."""
    return LeapHands([lift], 2, seed=3)


def test_a_drift_is_smooth_and_has_unit_variance_in_every_frame():
    drift = smooth_drift(1200, 300, 0.5, np.random.default_rng(0))
    assert drift[[0, 600]].std(axis=1) == pytest.approx([1.0, 1.0], abs=0.1)
    lag = [float((drift[:-k] * drift[k:]).mean() / (drift**2).mean()) for k in (1, 60, 300)]
    assert lag[0] > 0.998 and 0.3 < lag[1] < 0.5 and abs(lag[2]) < 0.05  # (1 + t / tau) exp(-t / tau)


def test_errors_are_a_constant_and_a_drift_in_metres_and_radians():
    rng = np.random.default_rng(0)
    drawn = np.stack([EstimateError().draw(100, 22, rng) for _ in range(400)])
    expected = [0.01] * 3 + [np.radians(5)] * 3 + [0.1] * 16
    assert drawn[:, 50].std(axis=0) == pytest.approx(expected, rel=0.12)
    still, moving = (EstimateError(constant=share).draw(100, 22, rng) for share in (1.0, 0.0))
    assert np.ptp(still, axis=0).max() == 0.0 and np.ptp(moving, axis=0).min() > 0.0


def test_no_correction_is_the_user_input_in_the_physics_of_every_rollout(lift):
    """That of run_floating, but for the solver's start in each step."""
    hands = LeapHands([lift], 1, seed=1)
    reference, inputs = lift.reference, hands.inputs[0].copy()
    states = [hands.simulator.states[0]]
    for _ in range(40):
        hands.advance(hands.corrected(np.zeros((1, 22))))
        states.append(hands.simulator.states[0])
    rollout = run_floating(reference, inputs, floating_simulator(reference, lift.setup))
    q = hands.simulator.simulator.joint_positions(np.array(states))
    assert np.allclose(q, rollout.q[:41], rtol=0.0, atol=1e-6)


def test_a_correction_never_exceeds_the_bound_of_any_joint(hands, lift):
    bound = correction_bound(lift.setup.hand)
    assert bound[:6] == pytest.approx([0.02] * 3 + [0.2] * 3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        user = hands.user()
        applied = hands.advance(hands.corrected(rng.normal(scale=5.0, size=user.shape)))
        assert (np.abs(applied - user) <= bound + 1e-12).all()


def test_a_correction_is_subtracted(hands):
    wanted = np.full((2, 22), 0.5)
    moved = hands.user() - hands.corrected(wanted)
    assert moved[:, ALL_BUT] == pytest.approx(0.5 * hands.bound[np.newaxis, ALL_BUT].repeat(2, 0))
    assert np.linalg.norm(moved[:, :3], axis=1) == pytest.approx([0.01 * np.sqrt(3)] * 2)


def test_the_experts_output_applies_its_action_and_the_offset_the_references(lift):
    hands = LeapHands([lift], 2, EstimateError(0.002, 0.02, 0.02), seed=5)
    for _ in range(3):
        output, known = hands.expert()
        frame = hands.frame[0]
        assert known.all() and np.allclose(hands.corrected(output), lift.demonstration.actions[frame], atol=1e-9)
        assert np.allclose(hands.corrected(hands.offset()), hands.table.baseline[0, frame], atol=1e-9)
        hands.step(output)


def test_the_agent_sees_no_later_input(hands):
    for _ in range(30):
        hands.step(np.zeros((2, 22)))
    before = hands.observed().policy
    hands.offsets[:, 31:] += 1.0
    assert np.array_equal(hands.observed().policy, before)
    hands.offsets[:, 29] += 1.0
    assert not np.array_equal(hands.observed().policy, before)


def test_an_observation_is_that_of_its_layout(hands, lift):
    layout = observed_offsets(lift.setup.hand)
    for _ in range(5):
        hands.step(np.zeros((2, 22)))
    seen = hands.observed().policy
    assert seen.shape == (2, sum(part["size"] for part in layout)) and seen.dtype == np.float32
    assert seen[:, :22] == pytest.approx(hands.offset(), abs=1e-6)
    change = hands.offset() - hands.offset(2)
    at = 22 * [part["name"] for part in layout].index("its change over 2 frames")
    assert seen[:, at : at + 22] == pytest.approx(change, abs=1e-6)
    assert seen[0, -1] == pytest.approx(5 / 60)


def test_a_snapshot_goes_on_exactly(lift):
    rng = np.random.default_rng(1)
    hands = LeapHands([lift], 2, seed=4)
    hands.reset()
    for _ in range(5):
        hands.step(rng.uniform(-1, 1, (2, 22)))
    kept, later = hands.snapshot(), rng.uniform(-1, 1, (4, 2, 22))
    first = [hands.step(a) for a in later]
    other = LeapHands([lift], 2, seed=4)
    other.restore(kept)
    for a, b in zip(first, [other.step(a) for a in later]):
        assert np.array_equal(a.observations.policy, b.observations.policy) and np.array_equal(a.reward, b.reward)


def test_an_episode_ends_with_its_clip_and_the_next_has_other_errors(lift):
    hands = LeapHands([lift], 1, NONE)
    length, first = len(lift.reference.q), hands.inputs.copy()
    ends = [bool(hands.step(np.zeros((1, 22))).truncated[0]) for _ in range(length - 1)]
    assert ends == [False] * (length - 2) + [True] and hands.frame[0] == 0
    assert np.array_equal(hands.inputs, first)  # no error
    other = LeapHands([lift], 1)
    first = other.inputs.copy()
    other.reset()
    assert not np.array_equal(other.inputs, first)


def test_success_is_the_strict_one_and_seeded(lift):
    clean = leap_success([lift], no_correction, 1, NONE)
    assert clean.success == 1.0 and clean.by_clip == {lift.name: 1.0}
    alone, again = (leap_success([lift], no_correction, 3) for _ in range(2))
    assert alone == again and alone.episodes == 3
    oracle, reference = (leap_success([lift], c, 3).success for c in (to_expert, to_reference))
    assert oracle == reference == 1.0 > alone.success
    let_go = leap_success([lift], lambda hands, seen: np.ones((hands.size, 22)), 1, NONE)
    assert let_go.success == 0.0


def test_a_filter_smooths_the_input_within_the_bound(hands):
    smooth, jump = Smoothed(0.5), np.zeros(22)
    jump[10] = 0.2
    first = hands.corrected(smooth(hands, np.empty(0)))
    assert first == pytest.approx(hands.user())
    hands.inputs[:, 1] = hands.inputs[:, 0] + jump
    hands.advance(first)
    assert hands.corrected(smooth(hands, np.empty(0))) == pytest.approx(hands.inputs[:, 0] + 0.5 * jump)


def test_a_clip_without_a_demonstration_has_no_user(lift):
    with pytest.raises(DexhotError, match="no demonstration"):
        LeapHands([replace(lift, demonstration=None)], 1)


def test_experts_are_successful_demonstrations_of_the_split(tmp_path, monkeypatch):
    mined = load(LIFT, Demonstration)
    failed = {"chosen": "a", "candidates": [{"name": "a", "success_strict": False}]}
    save(mined, tmp_path / "duck_lift.npz")
    save(replace(mined, provenance=mined.provenance | failed), tmp_path / "mug_lift.npz")
    save(mined, tmp_path / "phone_lift.npz")
    monkeypatch.setattr(leap, "splits", lambda name: {"train": ["duck_lift", "mug_lift"], "test_clip": ["phone_lift"]})
    assert len(load_leap_experts("train", tmp_path)) == len(load_leap_experts("test", tmp_path)) == 1
    assert succeeds(mined) and succeeds(SimpleNamespace(provenance={}))
    (tmp_path / "phone_lift.npz").unlink()
    with pytest.raises(DexhotError, match="bench mine --split test"):
        load_leap_experts("test", tmp_path)
    with pytest.raises(DexhotError, match="train, test"):
        load_leap_experts("validation", tmp_path)


def test_live_the_agent_sees_what_it_sees_in_training(lift):
    """A user in the clip's own time, with the same errors: the same observation, frame by frame."""
    from dexhot.control.assistance import AssistState
    from dexhot.control.known_motion import KnownMotionAgent
    from dexhot.control.policy import OnnxNetwork

    hands, seen = LeapHands([lift], 1, EstimateError(0.002, 0.02, 0.02), seed=5), []
    network = OnnxNetwork(agent_file("assist_leap"))

    class Watched:
        card = network.card

        def __call__(self, observation, residual):
            seen.append(observation[0])
            return network(observation, residual)

    live = KnownMotionAgent(Watched(), lift.reference, lift.setup.physics)
    state, agent = AssistState(np.zeros(22), np.zeros(7), np.zeros(6)), leap_agent_from(network)
    for frame in range(20):
        live.follow = lambda user, frame=frame: frame
        user, expected = hands.user()[0].copy(), hands.observed().policy
        assert live(state, user) == pytest.approx((hands.user() - hands.corrected(agent(hands, expected)))[0], abs=1e-6)
        assert seen[-1] == pytest.approx(expected[0], abs=1e-5)
        hands.step(np.zeros((1, 22)))
