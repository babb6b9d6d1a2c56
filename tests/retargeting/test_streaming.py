"""The frame-by-frame retargeter."""

import numpy as np
import pytest

from dexhot.data.keypoints import wrist_pose
from dexhot.datasets.parametric import mirrored
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import mean_quat, quat_to_matrix
from dexhot.geometry.single import rotation_error
from dexhot.retargeting.resampling import resample
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.robots.robot_hand import list_hands, load_hand


@pytest.fixture(scope="module")
def human(lift):
    keypoints, palm, _ = resample(lift[0], "right")
    return keypoints, palm


def tip_errors(solver, keypoints):
    wrists = wrist_pose(keypoints, solver.hand.side)
    errors = []
    for k, wrist in zip(keypoints, wrists):
        solver.model.move(solver.step(k, wrist))
        errors.append(np.linalg.norm(solver.model.points() - solver.targets(k), axis=1)[: solver.model.tips].mean())
    return np.array(errors)


@pytest.mark.parametrize("name", list_hands())
def test_fingertips_follow_within_millimetres(name, lift):
    hand = load_hand(name)
    keypoints, palm, _ = resample(lift[0] if hand.side == "right" else mirrored(lift[0]), hand.side)
    solver = StreamingRetargeter(hand, mean_quat(palm), link_weight=0.0)
    assert tip_errors(solver, keypoints).mean() < 0.006


def test_stays_within_joint_limits(human):
    hand = load_hand("leap_right")
    solver = StreamingRetargeter(hand)
    far = human[0] * 1.8  # a hand that the robot cannot match
    q = np.array([solver.step(k, wrist_pose(k, "right")) for k in far])
    assert (q[:, 6:] >= hand.lower).all() and (q[:, 6:] <= hand.upper).all()


def test_same_frames_give_the_same_joints(human):
    runs = []
    for _ in range(2):
        solver = StreamingRetargeter(load_hand("leap_right"))
        runs.append([solver.step(k, wrist_pose(k, "right")) for k in human[0][:20]])
    np.testing.assert_array_equal(*runs)


def test_reset_forgets_the_last_frame(human):
    solver = StreamingRetargeter(load_hand("leap_right"))
    first = solver.step(human[0][0], wrist_pose(human[0][0], "right"))
    solver.step(human[0][60], wrist_pose(human[0][60], "right"))
    solver.reset()
    np.testing.assert_array_equal(solver.step(human[0][0], wrist_pose(human[0][0], "right")), first)


def test_refuses_a_keypoint_that_is_not_finite(human):
    solver = StreamingRetargeter(load_hand("leap_right"))
    broken = human[0][0].copy()
    broken[8, 1] = np.nan
    with pytest.raises(DexhotError, match="keypoint is not finite"):
        solver.step(broken, wrist_pose(human[0][0], "right"))


def iterations_of(solver, keypoints, monkeypatch) -> int:
    """How often one step iterates."""
    calls, iterate = [], solver._iterate

    def counted(*args):
        calls.append(args)
        return iterate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(solver, "_iterate", counted)
        solver.step(keypoints, wrist_pose(keypoints, "right"))
    return len(calls)


def test_iterations_end_once_settled(human, monkeypatch):
    """A frame like the last one takes one iteration, a jump more, at most `iterations`."""
    solver, keypoints = StreamingRetargeter(load_hand("leap_right"), iterations=3), human[0][60]
    for _ in range(5):
        solver.step(keypoints, wrist_pose(keypoints, "right"))
    assert iterations_of(solver, keypoints, monkeypatch) == 1
    assert iterations_of(solver, keypoints + [0.0, 0.0, 3.0], monkeypatch) == 3


def test_the_first_frame_ends_once_it_is_found(human, monkeypatch):
    """It starts far away; from its own solution it needs no further iterations."""
    solver, keypoints = StreamingRetargeter(load_hand("leap_right")), human[0][60]
    assert 4 < iterations_of(solver, keypoints, monkeypatch) < 60
    found = solver.q
    monkeypatch.setattr("dexhot.retargeting.streaming.FOUND", 0.0)
    solver.reset()
    assert iterations_of(solver, keypoints, monkeypatch) == 60
    np.testing.assert_allclose(found, solver.q, atol=2e-3)


def test_the_system_of_a_frame_is_its_cost_without_the_pull_to_the_last_one(human):
    solver = StreamingRetargeter(load_hand("leap_right"), palm=0.2, posture=0.1, change=0.5)
    for k in human[0][60:64]:
        solver.step(k, wrist_pose(k, "right"))
    q, H, b = solver.system
    goal, palm = solver.targets(k).ravel(), quat_to_matrix(wrist_pose(k, "right")[3:])

    def cost(q):
        solver.model.move(q)
        away = solver._weight * (goal - solver.model.points().ravel())
        turn = 0.2 * rotation_error(palm, solver.model.palm_rotation())
        return 0.5 * (away @ away + turn @ turn + 0.01 * ((q - solver._nominal)[6:] ** 2).sum())

    steps = 1e-5 * np.eye(len(q))
    gradient = [(cost(q + step) - cost(q - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(-b, gradient, atol=1e-6)
    assert np.abs(gradient).max() > 1e-3
    assert np.linalg.eigvalsh(H).min() > 0.24  # damped by the pull to the last frame, 0.5^2


def test_a_steady_motion_is_followed_without_more_iterations(human, monkeypatch):
    """The start continues the last motion: at a constant speed the first iteration settles."""
    solver = StreamingRetargeter(load_hand("leap_right"))
    for k in range(12):  # 2.4 m/s at 60 Hz, more than SETTLED per frame
        count = iterations_of(solver, human[0][60] + [0.04 * k, 0.0, 0.0], monkeypatch)
    assert count == 1


def test_fingertips_lag_by_less_than_a_millimetre(human):
    """The shipped weights: neither posture nor the last frame hold the fingertips back."""
    solver = StreamingRetargeter(load_hand("leap_right"))
    assert tip_errors(solver, human[0])[1:].mean() < 0.0012


def test_with_a_fixed_wrist_only_the_fingers_are_solved_for(human):
    wrist = np.array([0.4, 0.1, 0.3, 0.1, -0.2, 0.3])
    solver = StreamingRetargeter(load_hand("leap_right"), fixed_wrist=wrist)
    found = np.array([solver.step(k, wrist_pose(k, "right")) for k in human[0][:60:10]])
    np.testing.assert_array_equal(found[:, :6], np.tile(wrist, (len(found), 1)))
    assert np.ptp(found[:, 6:], axis=0).max() > 0.01
