"""The simple human hand: its proportions, its joints, and reaching with it."""

import numpy as np
import pytest

from dexhot.data.keypoints import TIPS
from dexhot.datasets.human_hand import BASES, BONES, DIP_PER_PIP, LOWER, RELAXED, UPPER, keypoints, reach
from dexhot.geometry.poses import IDENTITY, make_pose, transform
from dexhot.geometry.rotations import rotvec_to_quat


def joints(points, digit):
    """(4, 3) base, two joints and tip."""
    return points[1 + 4 * digit : 5 + 4 * digit]


def bend(points, digit, k):
    """Angle at the k-th joint from the base, rad."""
    a, b = np.diff(joints(points, digit), axis=0)[k : k + 2]
    return np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))


@pytest.mark.parametrize("digit", range(5))
def test_bones_keep_their_lengths_and_fingers_their_bases(digit):
    points = keypoints(IDENTITY, RELAXED)
    np.testing.assert_allclose(joints(points, digit)[0], BASES[digit])
    np.testing.assert_allclose(np.linalg.norm(np.diff(joints(points, digit), axis=0), axis=1), BONES[digit])
    np.testing.assert_array_equal(points[0], 0.0)


def test_a_finger_bends_towards_the_palm_and_its_last_joint_by_two_thirds():
    angles = np.zeros(15)
    angles[3:6] = 0.0, 0.6, 0.9
    points = keypoints(IDENTITY, angles)
    first = np.diff(joints(points, 1), axis=0)[0]
    np.testing.assert_allclose(first / np.linalg.norm(first), [np.cos(0.6), 0, -np.sin(0.6)], atol=1e-12)
    assert bend(points, 1, 0) == pytest.approx(0.9) and bend(points, 1, 1) == pytest.approx(0.9 * DIP_PER_PIP)
    assert (np.diff(joints(points, 1)[:, 2]) < 0).all() and pytest.approx(2 / 3) == DIP_PER_PIP


def test_a_finger_spreads_sideways_about_the_dorsal_axis():
    angles = np.zeros(15)
    angles[3] = 0.3
    first = np.diff(joints(keypoints(IDENTITY, angles), 1), axis=0)[0]
    np.testing.assert_allclose(first / np.linalg.norm(first), [np.cos(0.3), np.sin(0.3), 0], atol=1e-12)


def test_both_joints_of_the_thumb_bend_alike():
    angles = np.zeros(15)
    angles[:3] = 0.4, 0.5, 0.7
    points = keypoints(IDENTITY, angles)
    assert bend(points, 0, 0) == pytest.approx(0.7) and bend(points, 0, 1) == pytest.approx(0.7)
    first = np.diff(joints(points, 0), axis=0)[0]
    expected = [np.cos(0.5) * np.cos(0.4), np.cos(0.5) * np.sin(0.4), -np.sin(0.5)]
    np.testing.assert_allclose(first / np.linalg.norm(first), expected, atol=1e-12)


def test_the_whole_hand_moves_with_the_wrist_in_any_batch():
    wrist = make_pose([0.1, 0.2, 0.3], rotvec_to_quat([0.3, -0.2, 0.5]))
    many = keypoints(np.tile(wrist, (2, 3, 1)), np.tile(RELAXED, (2, 3, 1)))
    assert many.shape == (2, 3, 21, 3)
    np.testing.assert_allclose(many[1, 2], transform(wrist, keypoints(IDENTITY, RELAXED)), atol=1e-12)


def test_a_relaxed_hand_is_within_its_limits_and_curls_a_little():
    assert (RELAXED > LOWER).all() and (RELAXED < UPPER).all()
    np.testing.assert_allclose(RELAXED[3:].reshape(4, 3)[:3], [[0.0, 0.45, 0.45]] * 3)
    assert RELAXED[12] == -0.05 and RELAXED[0] == 0.35


def test_fingertips_reach_their_goals_with_the_wrist_where_it_is():
    wanted = RELAXED.copy()
    wanted[3:9] += [0.1, 0.3, 0.2, -0.1, 0.2, 0.3]
    goals = {d: keypoints(IDENTITY, wanted)[TIPS[d]] for d in (1, 2)}
    pose, angles, miss = reach(goals, IDENTITY, RELAXED)
    assert miss < 5e-4
    np.testing.assert_array_equal(pose, IDENTITY)
    np.testing.assert_array_equal(angles[[0, 1, 2, *range(9, 15)]], RELAXED[[0, 1, 2, *range(9, 15)]])
    for digit, goal in goals.items():
        assert np.linalg.norm(keypoints(pose, angles)[TIPS[digit]] - goal) <= miss + 1e-12


def test_the_wrist_helps_where_it_may():
    far = {1: keypoints(IDENTITY, RELAXED)[TIPS[1]] + [0.15, 0.0, 0.0]}
    _, _, alone = reach(far, IDENTITY, RELAXED)
    moved, _, miss = reach(far, IDENTITY, RELAXED, wrist_freedom=0.1)
    assert alone > 0.02 > miss and moved[0] > 0.02


@pytest.mark.parametrize("limit", [LOWER - 0.2, UPPER + 0.2])
def test_it_starts_from_beyond_a_limit_too(limit):
    """The solver's start must be inside of the limits."""
    goals = {d: keypoints(IDENTITY, RELAXED)[TIPS[d]] for d in range(5)}
    _, angles, miss = reach(goals, IDENTITY, limit)
    assert miss < 0.003 and (angles >= LOWER).all() and (angles <= UPPER).all()
