"""Experiment B: a fitted hand moves the robot's; what is measured, the closing hand, and the task of the agent."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.control.assistance import correction_bound
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.human_clip import human_clip
from dexhot.errors import ClipError, DexhotError, NotFoundError
from dexhot.geometry.poses import make_pose
from dexhot.geometry.sdf import ConvexUnion
from dexhot_train.assist import fitted
from dexhot_train.assist import reconstruction as module
from dexhot_train.assist.closing import ClosingHand, closed, penetration
from dexhot_train.assist.fitted import CLIPS, as_seen, clip_names, fitted_clip, visual_features
from dexhot_train.assist.reconstruction import (
    LOST,
    ReconstructedHands,
    ReconstructionOptions,
    outcome,
    outcomes,
    point_model,
    reconstruction,
    user_alone,
)
from dexhot_train.assist.reconstruction_agent import ReconstructionTraining, corrector_of, train_reconstruction
from dexhot_train.learners.ppo import PPOOptions

SHIFT = np.array([0.0, 0.004, 0.0])


@pytest.fixture(scope="module")
def source():
    """A generated lift and its object: the truth, and as if it had been fitted 4 mm beside it."""
    trajectory, asset = human_clip("parametric/lift-box-0")
    hand = trajectory.hands["right"]
    wrist = hand.wrist_pose.copy()
    wrist[:, :3] += SHIFT
    fit = replace(trajectory, hands={"right": replace(hand, keypoints=hand.keypoints + SHIFT, wrist_pose=wrist)})
    return fit, trajectory, asset


@pytest.fixture(scope="module")
def lift(source):
    """As a gift: it is handed over where it is farthest from its start."""
    return reconstruction(*source, "give")


@pytest.fixture
def hands(lift):
    """Two worlds of it."""
    return ReconstructedHands([lift], 2, seed=1)


def test_the_user_input_is_the_fitted_hand_and_the_goal_the_true_one(lift, source):
    model, reference = point_model(lift), lift.clip.reference
    off = []
    for q, points in zip(reference.q, lift.points):
        model.move(q)
        off.append((model.points() - points)[: model.tips])
    # The streaming retargeter reaches the fingertips to a few mm, so that the fit's error remains on average.
    assert np.mean(off, axis=(0, 1)) == pytest.approx(SHIFT, abs=0.002)
    assert np.array_equal(reference.object_pose[0], source[1].object_pose[0])


def test_an_untouched_object_is_lost_where_its_true_path_is_far_away(lift):
    T = len(lift.clip.reference.q)
    still = np.repeat(lift.clip.reference.object_pose[:1], T, axis=0)
    found = outcome(lift, lift.clip.reference.q, still, point_model(lift))
    away = np.linalg.norm(lift.clip.reference.object_pose[:, :3] - still[:, :3], axis=1)
    assert found.kept == pytest.approx(np.argmax(away >= LOST) / T if (away >= LOST).any() else 1.0)
    assert not found.success


def test_the_true_path_succeeds_and_the_pose_error_is_that_of_the_points(lift):
    reference, model = lift.clip.reference, point_model(lift)
    found = outcome(lift, reference.q, reference.object_pose, model)
    assert found.success and found.kept == 1.0
    moved = reference.q + np.r_[0.1, np.zeros(21)]  # 10 cm aside
    assert outcome(lift, moved, reference.object_pose, model).pose >= 0.1 - found.pose


def test_a_gift_must_be_over_its_target_and_a_pour_tilted_as_it_was(lift):
    reference, model, at = lift.clip.reference, point_model(lift), lift.moment
    beside = reference.object_pose.copy()
    beside[at, 0] += 0.07  # kept, but not over the target
    assert not outcome(lift, reference.q, beside, model).success
    tilted = reference.object_pose.copy()
    half = np.radians(40.0) / 2
    tilted[at:] = make_pose(tilted[at:, :3], np.tile([np.cos(half), np.sin(half), 0.0, 0.0], (len(tilted) - at, 1)))
    pour = replace(lift, task="pour")
    assert outcome(pour, reference.q, reference.object_pose, model).success
    assert not outcome(pour, reference.q, tilted, model).success
    late = reference.object_pose.copy()
    late[-1, 2] += 2 * LOST  # lost after it was handed over: only a pour fails
    assert outcome(lift, reference.q, late, model).success and not outcome(pour, reference.q, late, model).success


def test_penetration_is_that_of_the_fingertips_spheres(lift):
    model, hand, asset = point_model(lift), lift.clip.setup.hand, lift.clip.asset
    solid, user = ConvexUnion(asset.pieces), lift.clip.reference.q[0]
    model.move(user)
    tip = model.points()[0]
    surface = asset.vertices[:, 2].max()
    above = tip - [0.0, 0.0, surface + hand.tip_radius - 0.003]  # the object's top is 3 mm inside the index' sphere
    depth = penetration(model, hand, solid, user, np.r_[above, 1.0, 0.0, 0.0, 0.0])
    assert depth[0] == pytest.approx(0.003, abs=2e-4)
    assert not penetration(model, hand, solid, user, np.r_[above - [0, 0, 0.2], 1.0, 0.0, 0.0, 0.0]).any()


def test_a_finger_closes_by_its_penetration_and_the_others_stay(lift):
    model, hand = point_model(lift), lift.clip.setup.hand
    user = np.r_[np.zeros(6), hand.open]
    assert np.array_equal(closed(model, hand, user, np.zeros(4)), user)
    tight = closed(model, hand, user, np.array([0.002, 0.0, 0.0, 0.0]))
    moved = tight - user
    own = [6 + k for k, name in enumerate(hand.joint_names) if moved[6 + k]]
    model.move(user)
    before = model.points()[:4].copy()
    model.move(tight)
    way = np.linalg.norm(model.points()[:4] - before, axis=1)
    assert way[0] == pytest.approx(0.002, rel=0.1) and way[1:] == pytest.approx(0.0, abs=1e-9)
    assert len(own) == 3 and (moved[own] > 0).all()  # it flexes
    twice = closed(model, hand, user, np.array([0.004, 0.0, 0.0, 0.0])) - user
    assert twice[own] == pytest.approx(2 * moved[own])  # in proportion


def test_the_closing_hand_presses_where_the_user_is_inside_alone(hands, lift, monkeypatch):
    apart = hands.simulator.reading().object_pose.copy()
    assert np.array_equal(ClosingHand()(hands, hands.observed().policy), hands.user())
    grasp = lift.clip.reference.grasp_start + 30
    hands.frame[:] = grasp
    inside = SimpleNamespace(object_pose=np.repeat(lift.clip.reference.object_pose[[grasp]], 2, axis=0))
    monkeypatch.setattr(hands.simulator, "reading", lambda: inside)
    added = ClosingHand()(hands, np.empty(0)) - hands.user()
    double = ClosingHand(2.0)(hands, np.empty(0)) - hands.user()
    assert np.abs(added[:, 6:]).max() > 0.0 and not added[:, :6].any()
    assert np.abs(double).sum() > 1.5 * np.abs(added).sum()
    assert apart.shape == (2, 7)


def test_outcomes_of_the_user_are_those_of_an_agent_of_zeros_and_repeat(lift):
    alone = outcomes([lift], user_alone)
    none = outcomes([lift], lambda hands, seen: hands.corrected(np.zeros((hands.size, hands.action_size))))
    assert alone == none == outcomes([lift], user_alone)


def test_a_correction_is_bounded_in_every_joint(hands, lift):
    bound, rng = correction_bound(lift.clip.setup.hand), np.random.default_rng(0)
    for _ in range(10):
        wanted = hands.corrected(rng.normal(scale=5.0, size=(2, 22)))
        assert (np.abs(wanted - hands.user()) <= bound + 1e-12).all()
        hands.advance(wanted)


def test_an_episode_ends_where_the_object_is_lost(hands, monkeypatch):
    step = hands.step(np.zeros((2, 22)))
    assert not step.terminated.any() and not step.truncated.any()
    monkeypatch.setattr(module, "LOST", 1e-12)
    step = hands.step(np.zeros((2, 22)))
    assert step.terminated.all() and [f["success"] for f in step.finished] == [0.0, 0.0]
    assert hands.frame.tolist() == [0, 0]


def test_a_hand_nearer_to_the_persons_is_paid_more_by_equation_6(lift):
    paid = {}
    for weight in (0.0, 0.01):
        hands = ReconstructedHands([lift], 1, ReconstructionOptions(pose_weight=weight))
        paid[weight] = hands.step(np.zeros((1, 22))).reward[0]
        error = hands._pose_error()[0]
    assert paid[0.0] - paid[0.01] == pytest.approx(0.01 * 1e3 * error) and error > 0.001


def test_the_agent_never_sees_the_true_path_after_the_start(hands):
    for _ in range(3):
        hands.step(np.zeros((2, 22)))
    before = hands.observed().policy
    hands.table.object_pose[:, 1:] += 1.0
    assert np.array_equal(hands.observed().policy, before)


def test_a_training_resumes_as_the_uninterrupted_one(lift, tmp_path):
    ppo = PPOOptions(steps=4, epochs=1, minibatches=2, hidden=(8, 8), fixed_std=True)
    options = ReconstructionTraining(steps=32, worlds=2, ppo=ppo)
    whole = train_reconstruction([lift], options, tmp_path / "whole")
    train_reconstruction([lift], replace(options, steps=16), tmp_path / "parts")
    parts = train_reconstruction([lift], options, tmp_path / "parts")
    assert all(bool((a == b).all()) for a, b in zip(whole.parameters(), parts.parameters()))
    assert outcomes([lift], corrector_of(whole))[0].pose > 0.0


def test_clips_are_of_grab_and_of_their_splits():
    from dexhot.datasets import splits

    known = splits("grab")
    for task in CLIPS:
        assert set(CLIPS[task]["train"]) <= set(known["train"])
        assert set(CLIPS[task]["test"]) <= {*known["test_unseen_object"], *known["test_unseen_clip"]}
    assert clip_names("pour", "test")[1] == "grab/cup_pour1"
    with pytest.raises(NotFoundError, match="pour, train"):
        clip_names("poor", "train")


def test_the_papers_own_clips_are_the_poured_juice_of_a_split(monkeypatch):
    splits = {"1-pour_juice_bottle-1": "train", "1-pour_juice_bottle-2": "test", "1-open_juice_bottle-1": "test"}
    monkeypatch.setattr(fitted, "cached", lambda dataset: [f"{dataset}/{name}" for name in splits])
    monkeypatch.setattr(
        fitted, "load_clip", lambda name: SimpleNamespace(provenance={"split": splits[name.partition("/")[2]]})
    )
    assert clip_names(fitted.FPHAB, "test") == ["fphab/1-pour_juice_bottle-2"]
    with pytest.raises(NotFoundError, match="pour_fphab, train"):
        clip_names(fitted.FPHAB, "quick")


def test_a_fit_is_made_once_and_kept_with_its_truth(source, tmp_path, monkeypatch):
    fit, truth, _ = source
    made = []

    def render(trajectory, asset, options, report):
        made.append(options.seed)
        recording = SimpleNamespace(time=truth.time)
        evidence = SimpleNamespace(keypoints={"right": np.zeros((len(truth.time), 21, 6))})
        return recording, evidence, SimpleNamespace(trajectory=truth)

    monkeypatch.setattr("dexhot_train.assist.fitted.render", render)
    monkeypatch.setattr("dexhot_train.assist.fitted.fit_recording", lambda *a, **k: SimpleNamespace(trajectory=fit))
    monkeypatch.setattr("dexhot_train.assist.fitted.visual_features", lambda recording, points: points[:, 0])
    for _ in range(2):
        found = fitted_clip("parametric/lift-box-0", tmp_path, seed=3)
    assert made == [3] and [type(x) for x in found[:2]] == [HandObjectTrajectory] * 2
    assert found[2].shape == (len(reconstruction(*source, "give").clip.reference.q), 6) and len(source[0].time) > 10
    assert np.array_equal(found[0].hands["right"].keypoints, fit.hands["right"].keypoints)


def test_a_picture_counts_until_the_next_one():
    time, features = np.arange(4) / 30.0, np.arange(4.0)[:, None]
    assert as_seen(time, features)[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_features_stay_while_the_hand_is_not_seen_and_are_zeros_before(monkeypatch):
    monkeypatch.setattr("dexhot_train.assist.fitted.HandFeatures", Brightness)
    points = np.random.default_rng(0).uniform(20, 60, size=(4, 21, 6))
    points[[0, 2], :, 3:5] = np.nan
    pictures = SimpleNamespace(
        color=np.arange(4, dtype=np.uint8)[:, None, None, None] + np.zeros((4, 9, 9, 3), np.uint8)
    )
    assert visual_features(pictures, points).tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [3.0, 3.0]]


class Brightness:
    """In the network's place."""

    size = 2

    def __call__(self, color, where):
        assert where.size > 0.0
        return np.full(2, color.mean())


def test_an_agent_sees_the_visual_features_of_its_frame_where_it_is_asked_to(lift):
    rows = np.arange(len(lift.clip.reference.q))[:, None] + 100.0
    hands = ReconstructedHands([replace(lift, seen=rows)], 2, ReconstructionOptions(visual=True))
    plain = ReconstructedHands([replace(lift, seen=rows)], 2)
    assert hands.policy_size == plain.policy_size + 1 and (hands.observed().policy[:, -1] == 100.0).all()
    hands.advance(hands.user())
    assert (hands.observed().policy[:, -1] == 101.0).all()
    two = [replace(lift, seen=rows), replace(lift, seen=rows + 500.0)]
    each = ReconstructedHands(two, 2, ReconstructionOptions(visual=True), assigned=np.arange(2))
    assert each.observed().policy[:, -1].tolist() == [100.0, 600.0]
    asked = []

    def corrector(of, seen):
        asked.append(seen[:, -1].tolist())
        return of.user()

    outcomes([replace(lift, seen=rows)], corrector, visual=True)
    assert asked[:2] == [[100.0], [101.0]]
    with pytest.raises(DexhotError, match="no visual features"):
        ReconstructedHands([lift], 2, ReconstructionOptions(visual=True))


def test_a_clip_in_which_an_object_at_rest_could_pass_is_refused(source):
    fit, truth, asset = source
    low = truth.object_pose.copy()
    low[:, :3] = low[0, :3] + 0.2 * (low[:, :3] - low[0, :3])
    for task, path in (("give", low), ("pour", truth.object_pose)):  # the lift is not tilted
        with pytest.raises(ClipError, match=f"not a clip of task {task}"):
            reconstruction(fit, replace(truth, object_pose=path), asset, task)
