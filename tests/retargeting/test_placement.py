"""Which placement is taken, and what is said where there is none: arm motions that the test chooses."""

import numpy as np
import pytest

from dexhot.errors import UnreachableError
from dexhot.geometry.poses import compose, inverse, pose_to_matrix, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.retargeting import placement
from dexhot.retargeting.placement import ArmMotion, _candidates, _describe, follow, moved, place, require_reach
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_ik import ArmIK
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")
FRAMES = 5
ROOT7 = np.sqrt(7)


def motion(acceleration: float = 0.0, position=(), rotation=(), table=()) -> ArmMotion:
    """All seven joints at one acceleration (rad/s2, all together); errors and contacts by frame."""
    q = np.outer(0.5 * (np.arange(FRAMES) / 60) ** 2, np.full(7, acceleration / ROOT7))
    errors = np.zeros((2, FRAMES))
    for row, given in zip(errors, (position, rotation)):
        for frame, value in dict(given).items():
            row[frame] = value
    touches = np.zeros(FRAMES, bool)
    touches[list(table)] = True
    return ArmMotion(q, *errors, touches)


@pytest.fixture
def tried(lift_reference, monkeypatch):
    """Placements 1, 2, 3 ... m along x, and the arm's motion in each; the numbers of those that were followed."""
    followed = []

    def of(*motions):
        candidates = np.tile([0.0, 0, 0, 1, 0, 0, 0], (len(motions), 1))
        candidates[:, 0] = 1.0 + np.arange(len(motions))
        monkeypatch.setattr(placement, "_candidates", lambda reference, chain: candidates)

        def follow(placed, ik):
            followed.append(round(placed.placement[0]))
            return motions[followed[-1] - 1]

        monkeypatch.setattr(placement, "follow", follow)
        return round(place(lift_reference, HAND).placement[0])

    of.followed = followed
    return of


def test_the_least_acceleration_is_taken_wherever_it_stands(tried):
    assert tried(motion(30), motion(15), motion(40), motion(20)) == 2
    assert tried.followed == [1, 2, 3, 4]


def test_where_the_arm_has_it_easy_no_other_is_looked_for(tried):
    assert tried(motion(30), motion(13.5), motion(5), motion(1)) == 3
    assert tried.followed == [1, 2, 3] and placement.EASY == 10.0


def test_one_that_fails_is_not_taken_however_easy_it_is(tried):
    assert tried(motion(0, position={2: 0.02}), motion(50), motion(0, table=[0])) == 2


def test_only_so_many_are_followed(tried):
    with pytest.raises(UnreachableError):
        tried(*[motion(0, table=[0])] * 30, motion(0))
    assert len(tried.followed) == placement.VERIFIED == 24


def test_where_none_reaches_the_one_that_goes_furthest_is_described(tried, lift_reference):
    with pytest.raises(
        UnreachableError, match=r"first at frame 3 of .* \(0\.05 s\), where the palm stays 30 mm and 0 deg"
    ):
        tried(motion(position={1: 0.05}), motion(position={3: 0.03}), motion(table=[2]))


@pytest.mark.parametrize(
    ("found", "frame"),
    [
        (motion(position={2: 0.0099}, rotation={3: np.radians(4.9)}), None),
        (motion(position={2: 0.0101}), 2),
        (motion(rotation={3: np.radians(5.1)}), 3),
        (motion(position={4: 0.02}, table=[1]), 1),
    ],
)
def test_the_first_frame_out_of_tolerance_or_in_the_table(found, frame):
    assert found.first_failure == frame


def test_acceleration_is_the_root_mean_square_of_all_joints_together():
    assert motion(12.0).acceleration == pytest.approx(12.0 * np.sqrt((FRAMES - 2) / FRAMES))


def test_what_is_wrong_with_a_frame(lift_reference):
    ik = placement.ArmIK(HAND)
    table = _describe(lift_reference, 2, motion(position={2: 0.5}, table=[2]), ik)
    assert "an arm link meets the table" in table and "palm" not in table
    off = _describe(lift_reference, 2, motion(position={2: 0.012}, rotation={2: np.radians(7)}), ik)
    assert "stays 12 mm and 7 deg off (allowed: 10 mm, 5 deg)" in off and "speed" not in off
    fast = motion(position={2: 0.012})
    fast.q[2:, 3] += ik.velocity[3] / 60
    assert "because a joint is at its speed limit" in _describe(lift_reference, 2, fast, ik)
    fast.q[2:, 3] -= 0.02 * ik.velocity[3] / 60
    assert "speed" not in _describe(lift_reference, 2, fast, ik)


def test_a_reference_out_of_reach_is_refused_where_it_is(lift_reference, monkeypatch):
    monkeypatch.setattr(placement, "follow", lambda reference, ik: motion())
    require_reach(lift_reference)
    monkeypatch.setattr(placement, "follow", lambda reference, ik: motion(table=[1]))
    with pytest.raises(UnreachableError, match="first at frame 1"):
        require_reach(lift_reference)


def test_a_shift_along_z_moves_the_table_too(lift_reference):
    there = moved(lift_reference, np.array([0.0, 0.0, 0.2, 1, 0, 0, 0]))
    assert there.table_height == pytest.approx(lift_reference.table_height + 0.2)


def test_candidates_bring_the_middle_of_the_path_before_the_arm_on_its_table(lift_reference):
    lift_reference.table_height = 0.4
    lift_reference.q[:, 2] += 0.4
    found = _candidates(lift_reference, ArmChain(HAND))
    assert len(found) == len(placement.YAWS) * len(placement.DISTANCES) * len(placement.SIDES)
    path = lift_reference.q[:, :2]
    middles = transform(found, np.r_[0.5 * (path.min(0) + path.max(0)), 0.4])
    np.testing.assert_allclose(middles[:, 2], 0.0, atol=1e-9)
    assert {round(x, 3) for x in middles[:, 0]} == {round(x, 3) for x in placement.DISTANCES}
    assert {round(y, 3) + 0.0 for y in middles[:, 1]} == {round(y, 3) + 0.0 for y in placement.SIDES}
    yaw = 2 * np.arctan2(found[:, 6], found[:, 3])
    assert len({round(float(np.cos(a)) * 100 + float(np.sin(a)) * 1e4) for a in yaw}) == len(placement.YAWS)


@pytest.mark.parametrize("distances", [(0.5, 2.0, 0.62), (2.0, 0.62, 0.5)])
def test_what_cannot_be_reached_comes_last(lift_reference, monkeypatch, distances):
    monkeypatch.setattr(placement, "DISTANCES", np.array(distances))
    monkeypatch.setattr(placement, "SIDES", np.zeros(1))
    monkeypatch.setattr(placement, "YAWS", np.zeros(1))
    chain = ArmChain(HAND)
    found = _candidates(lift_reference, chain)
    palms = palm_poses(lift_reference.base_quat, lift_reference.q)
    worst = [chain.solve(pose_to_matrix(compose(there, palms[::20])), iterations=80)[1].max() for there in found]
    assert worst[0] < 2e-3 < 0.5 < worst[-1]


@pytest.fixture(scope="module")
def ik():
    return ArmIK(HAND)


def test_moving_a_reference_keeps_hand_and_object_together(lift_reference):
    there = np.array([0.3, -0.2, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)])
    new = moved(lift_reference, there)
    before = compose(inverse(palm_poses(lift_reference.base_quat, lift_reference.q)), lift_reference.object_pose)
    after = compose(inverse(palm_poses(new.base_quat, new.q)), new.object_pose)
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-9)
    assert quat_angle(after[:, 3:], before[:, 3:]).max() < 1e-6
    np.testing.assert_allclose(new.placement, there)
    np.testing.assert_allclose(transform(there, lift_reference.target[:, :3]), new.target[:, :3])


def test_of_the_placements_the_one_with_the_least_acceleration_is_taken(lift_reference, ik, monkeypatch):
    first = follow(place(lift_reference), ik).acceleration
    monkeypatch.setattr(placement, "EASY", 0.0)
    monkeypatch.setattr(placement, "VERIFIED", 8)
    assert follow(place(lift_reference), ik).acceleration <= first


def test_placed_reference_is_followed_from_first_to_last_frame(lift_reference, ik):
    placed = place(lift_reference)
    motion = follow(placed, ik)
    assert motion.position_error.max() < 0.005 and not motion.touches_table.any()


def test_placement_does_not_depend_on_where_the_demonstration_was(lift_reference):
    far = moved(lift_reference, np.array([5.0, 3.0, 0, 1, 0, 0, 0]))
    np.testing.assert_allclose(place(far).object_pose, place(lift_reference).object_pose, atol=1e-6)


def test_unreachable_demonstration_names_the_first_frame(lift_reference):
    lift_reference.q[60:, 2] += 3.0
    with pytest.raises(UnreachableError, match=r"first at frame 6\d of .* mm and .* deg off"):
        place(lift_reference)
