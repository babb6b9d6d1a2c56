"""Algorithm 1 and equations 10 and 11 of TF-HOT."""

import numpy as np
import pytest

from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.objects.asset import Symmetry
from dexhot_train.task.following import (
    FollowingOptions,
    PickupReward,
    TrajectoryProgress,
    dense,
    furthest,
    pose_distance,
    sparse,
)

FRAMES = 6
GAP = 0.1  # m, between frames of the object: further than epsilon


def poses(x, count: int = 1) -> np.ndarray:
    """(len(x), count, 7) at x along the axis, unrotated; without the middle dimension for count 0."""
    x = np.atleast_1d(np.asarray(x, float))
    out = np.zeros((len(x), max(count, 1), 7))
    out[..., 0], out[..., 3] = x[:, None], 1.0
    return out if count else out[:, 0]


def following(size: int = 1, tips: int = 5, **options) -> TrajectoryProgress:
    """Frame i (from 1): the object at i GAP, its fingertips at i GAP in its frame."""
    at = GAP * np.arange(1, FRAMES + 1)
    return TrajectoryProgress(poses(at, tips), poses(at, 0), size, FollowingOptions(**{"position": 1.0} | options))


def hand_alone(progress: TrajectoryProgress, frame: float, off: float = 0.0) -> float:
    """Reward with the fingertips at a frame and the object nowhere near one."""
    tips = poses(GAP * frame + off, progress.tips.shape[1])
    return float(progress.reward(tips, poses(-9.0, 0))[0])


def object_alone(progress: TrajectoryProgress, frame: float, off: float = 0.0) -> float:
    return float(progress.reward(poses(-9.0, progress.tips.shape[1]), poses(GAP * frame + off, 0))[0])


def test_table_4_is_the_default():
    o, r = FollowingOptions(), PickupReward()
    assert (o.epsilon, o.beta, o.w) == (0.04, 0.1, 2.0) and (r.origin_scale, r.total_scale) == (5.0, 0.01)


def test_the_pose_distance_weighs_metres_and_radians():
    a, b = poses(0.0, 0), poses(0.3, 0)
    b[:, 3:] = rotvec_to_quat(np.array([0.0, 0.0, 0.5]))
    assert pose_distance(a, b, FollowingOptions(position=2.0, rotation=0.1)) == pytest.approx([0.65])
    axis = Symmetry("axis", rotations=[[1.0, 0.0, 0.0, 0.0]])
    assert pose_distance(a, b, FollowingOptions(position=2.0, rotation=0.1), axis) == pytest.approx([0.6])


def test_the_largest_matching_frame_counts_from_one():
    distance = np.array([[0.1, 0.01, 0.1, 0.02, 0.5], [0.9, 0.9, 0.9, 0.9, 0.9], [0.0, 0.9, 0.9, 0.9, 0.9]])
    assert furthest(distance, 0.04).tolist() == [4, 0, 1]


def test_a_frame_of_the_hand_pays_once_and_going_back_never():
    progress = following()
    assert hand_alone(progress, 3) == pytest.approx(1.3)
    assert hand_alone(progress, 3) == 0.0
    assert hand_alone(progress, 1) == 0.0 and hand_alone(progress, 2) == 0.0
    assert hand_alone(progress, 3) == 0.0 and progress.hand[0] == 3
    assert hand_alone(progress, 4) == pytest.approx(1.4)


def test_a_frame_of_the_object_pays_once_and_going_back_never():
    progress = following()
    assert object_alone(progress, 2, 0.01) == pytest.approx(1.2 * (1 - np.tanh(0.02)))
    assert [object_alone(progress, frame) for frame in (2, 1, 2)] == [0.0] * 3
    assert object_alone(progress, 3) == pytest.approx(1.3)


def test_nearer_to_the_frame_pays_more():
    assert hand_alone(following(), 2, 0.002) == pytest.approx(1.2 * (1 - np.tanh(2 * 5 * 0.002)))
    assert hand_alone(following(), 2, 0.009) == 0.0  # five fingertips: 4.5 cm together


def test_four_fingertips_weigh_as_five():
    assert hand_alone(following(tips=4), 2, 0.002) == pytest.approx(hand_alone(following(tips=5), 2, 0.002))


def test_from_the_last_frame_on_being_near_it_pays_every_step():
    progress = following()
    assert object_alone(progress, FRAMES, 0.01) == pytest.approx(1 - np.tanh(0.02))  # without the factor of its frame
    assert object_alone(progress, FRAMES) == pytest.approx(1.0)
    assert object_alone(progress, 1) == pytest.approx(1 - np.tanh(2 * GAP * (FRAMES - 1)))  # dropped: less, as printed


def test_prefix_indices_of_worlds_and_episodes_are_apart():
    progress = following(2)
    tips = poses([GAP * 2, GAP * 4], 5)
    nowhere = poses([-9.0, -9.0], 0)
    np.testing.assert_allclose(progress.reward(tips, nowhere), [1.2, 1.4])
    assert progress.hand.tolist() == [2, 4] and progress.object.tolist() == [0, 0]
    progress.reset(np.array([1]), poses(-9.0, 5), nowhere[:1])
    np.testing.assert_allclose(progress.reward(tips, nowhere), [0.0, 1.4])


def test_what_the_start_matches_is_not_paid():
    progress = following()
    progress.reset(np.array([0]), poses(GAP * 2, 5), poses(GAP * 3, 0))
    assert progress.hand.tolist() == [2] and progress.object.tolist() == [3]
    assert hand_alone(progress, 2) == object_alone(progress, 3) == 0.0
    assert hand_alone(progress, 3) == pytest.approx(1.3) and object_alone(progress, 4) == pytest.approx(1.4)


def test_the_sparse_reward_has_two_stages():
    rise, to_goal = np.array([0.0, 0.02, 0.05, 0.10, 0.02]), np.array([0.1, 0.08, 0.05, 0.02, 0.01])
    assert sparse(rise, to_goal, PickupReward()).tolist() == [0.0, 0.0, 0.4, 1.0, 1.0]


def test_the_dense_reward_reaches_lifts_and_ends_at_one():
    r = PickupReward()
    far, near = dense(np.zeros(2), np.full(2, 0.1), np.array([0.2, 0.05]), r)
    assert 0.0 < far < near < 1.0
    assert near == pytest.approx((1 - np.tanh(0.25) + 1 - np.tanh(0.5)) / 3)
    lifted, closer = dense(np.full(2, 0.05), np.array([0.1, 0.05]), np.full(2, 0.05), r)
    assert lifted == pytest.approx(near + 1 / 3) and closer > lifted
    assert dense(np.zeros(1), np.full(1, 0.02), np.full(1, 5.0), r).tolist() == [1.0]
