"""Which placement is chosen, and the error if there is none: arm motions given by the test."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from dexhot.errors import UnreachableError
from dexhot.geometry.poses import compose, inverse, pose_to_matrix, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.hardware.franka.limits import ACCELERATION, JERK, fr3_limits
from dexhot.retargeting import placement
from dexhot.retargeting.placement import (
    POSITION_TOLERANCE,
    ROTATION_TOLERANCE,
    ArmMotion,
    Planner,
    _candidates,
    _describe,
    demanded,
    moved,
    place,
    with_arm_path,
)
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")
FRAMES = 5


def motion(position=(), rotation=(), table=()) -> ArmMotion:
    """An arm that stands still; errors and contacts by frame."""
    errors = np.zeros((2, FRAMES))
    for row, given in zip(errors, (position, rotation)):
        for frame, value in dict(given).items():
            row[frame] = value
    touches = np.zeros(FRAMES, bool)
    touches[list(table)] = True
    return ArmMotion(np.zeros((FRAMES, 7)), *errors, touches)


@pytest.fixture(scope="module")
def placed(_lift_reference):
    return place(_lift_reference, HAND)


@pytest.fixture
def tried(lift_reference, monkeypatch):
    """Placements 1, 2, 3 ... m along x, of each how many times the person's time the arm needs, or a motion that fails;
    the numbers of those that were planned."""
    planned = []

    def of(*found):
        candidates = np.tile([0.0, 0, 0, 1, 0, 0, 0], (len(found), 1))
        candidates[:, 0] = 1.0 + np.arange(len(found))
        monkeypatch.setattr(placement, "_candidates", lambda *_: (candidates, np.zeros((len(found), FRAMES, 7))))

        def plan(self, placed, coarse):
            planned.append(round(placed.placement[0]))
            this = found[planned[-1] - 1]
            return this if isinstance(this, ArmMotion) else motion()

        frames = len(lift_reference.q)
        monkeypatch.setattr(Planner, "motion", plan)
        monkeypatch.setattr(
            Planner, "frames", lambda self, placed, _: np.linspace(0, frames - 1, int(found[planned[-1] - 1] * frames))
        )
        monkeypatch.setattr(Planner, "carried", lambda self, placed, _, frames: replace(placed, arm_frames=frames))
        return round(place(lift_reference, HAND).placement[0])

    of.planned = planned
    return of


def test_the_one_that_the_arm_follows_fastest_is_taken_wherever_it_stands(tried):
    assert tried(1.5, 1.2, 1.9, 1.3) == 2
    assert tried.planned == [1, 2, 3, 4]


def test_where_the_arm_keeps_the_persons_time_no_other_is_looked_for(tried):
    assert tried(1.5, 1.1, 1.0, 1.0) == 3
    assert tried.planned == [1, 2, 3]


def test_one_that_fails_is_not_taken(tried):
    assert tried(motion(position={2: 0.02}), 3.0, motion(table=[0])) == 2


def test_only_so_many_are_planned(tried):
    with pytest.raises(UnreachableError):
        tried(*[motion(table=[0])] * placement.VERIFIED, 1.0)
    assert len(tried.planned) == placement.VERIFIED


def test_where_none_reaches_the_one_that_goes_furthest_is_described(tried):
    with pytest.raises(
        UnreachableError, match=r"first at frame 3 of .* \(0\.05 s\), where the palm is 30 mm and 0 deg"
    ):
        tried(motion(position={1: 0.05}), motion(position={3: 0.03}), motion(table=[2]))


@pytest.mark.parametrize(
    ("found", "frame"),
    [
        (motion(position={2: 0.0049}, rotation={3: np.radians(2.9)}), None),
        (motion(position={2: 0.0051}), 2),
        (motion(rotation={3: np.radians(3.1)}), 3),
        (motion(position={4: 0.02}, table=[1]), 1),
    ],
)
def test_the_first_frame_out_of_tolerance_or_in_the_table(found, frame):
    assert found.first_failure == frame


def test_what_is_wrong_with_a_frame(lift_reference):
    table = _describe(lift_reference, 2, motion(position={2: 0.5}, table=[2]))
    assert "an arm link collides with the table" in table and "palm" not in table
    off = _describe(lift_reference, 2, motion(position={2: 0.012}, rotation={2: np.radians(7)}))
    assert "the palm is 12 mm and 7 deg off (allowed: 5 mm, 3 deg)" in off


def test_a_reference_out_of_reach_is_refused_where_it_is(lift_reference):
    far = moved(lift_reference, np.array([2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    with pytest.raises(UnreachableError, match=r"out of the arm's reach, first at frame 0 .* mm and .* deg off"):
        with_arm_path(far)


def test_a_path_for_the_arm_is_kept_and_one_that_is_missing_is_planned_where_the_reference_is(placed):
    assert with_arm_path(placed) is placed
    again = with_arm_path(replace(placed, arm_q=np.zeros((0, 7)), arm_frames=np.zeros(0)))
    np.testing.assert_array_equal(again.placement, placed.placement)
    there, here = (ArmChain(HAND).forward(reference.arm_q)[0] for reference in (again, placed))
    assert np.abs(there - here)[:, :3, 3].max() < 2e-3 and len(again.arm_frames)


def test_a_shift_along_z_moves_the_table_too(lift_reference):
    there = moved(lift_reference, np.array([0.0, 0.0, 0.2, 1, 0, 0, 0]))
    assert there.table_height == pytest.approx(lift_reference.table_height + 0.2)


def test_candidates_bring_the_middle_of_the_path_before_the_arm_on_its_table(lift_reference):
    lift_reference.table_height = 0.4
    lift_reference.q[:, 2] += 0.4
    found, joints = _candidates(lift_reference, ArmChain(HAND))
    assert joints.shape == (len(found), placement.FRAMES, 7)
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
    found, _ = _candidates(lift_reference, chain)
    palms = palm_poses(lift_reference.base_quat, lift_reference.q)
    worst = [chain.solve(pose_to_matrix(compose(there, palms[::20])), iterations=80)[1].max() for there in found]
    assert worst[0] < 2e-3 < 0.5 < worst[-1]


def test_moving_a_reference_keeps_hand_and_object_together(lift_reference):
    there = np.array([0.3, -0.2, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)])
    new = moved(lift_reference, there)
    before = compose(inverse(palm_poses(lift_reference.base_quat, lift_reference.q)), lift_reference.object_pose)
    after = compose(inverse(palm_poses(new.base_quat, new.q)), new.object_pose)
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-9)
    assert quat_angle(after[:, 3:], before[:, 3:]).max() < 1e-6
    np.testing.assert_allclose(new.placement, there)
    np.testing.assert_allclose(transform(there, lift_reference.target[:, :3]), new.target[:, :3])


def test_the_wrist_is_where_the_arm_carries_it_and_the_fingers_stay(placed, lift_reference):
    palms = pose_to_matrix(palm_poses(placed.base_quat, placed.q))
    np.testing.assert_allclose(ArmChain(HAND).forward(placed.arm_q)[0], palms, atol=1e-6)
    wanted = moved(lift_reference, placed.placement)
    before, after = (palm_poses(reference.base_quat, reference.q) for reference in (wanted, placed))
    assert np.linalg.norm(after[:, :3] - before[:, :3], axis=1).max() < POSITION_TOLERANCE
    assert quat_angle(after[:, 3:], before[:, 3:]).max() < ROTATION_TOLERANCE
    np.testing.assert_array_equal(placed.q[:, 6:], wanted.q[:, 6:])
    np.testing.assert_allclose((placed.target - placed.q)[:, :6], (wanted.target - wanted.q)[:, :6], atol=1e-12)
    assert not Planner(HAND).table.touches(placed.arm_q).any()


def test_a_hurried_clip_is_slowed_until_no_joint_passes_its_limits(lift_reference):
    hurried = replace(
        lift_reference,
        **{name: getattr(lift_reference, name)[::4] for name in ("q", "target", "contact", "object_pose")},
        grasp_start=lift_reference.grasp_start // 4,
        grasp_end=lift_reference.grasp_end // 4,
    )
    at_once, planned = place(hurried, HAND, slow=False), place(hurried, HAND)
    assert not len(at_once.arm_frames) and demanded(at_once, HAND).stretch.max() > 1.2
    assert planned.speed_factor > 1.1
    q, limits = CubicSpline(np.arange(len(planned.q)), planned.arm_q)(planned.arm_frames), fr3_limits()
    for n, limit in ((1, limits.velocity), (2, ACCELERATION), (3, JERK)):
        assert (np.abs(np.diff(q, n=n, axis=0)) * 60**n < limit).all()


def test_placement_does_not_depend_on_where_the_demonstration_was(lift_reference):
    far = moved(lift_reference, np.array([5.0, 3.0, 0, 1, 0, 0, 0]))
    np.testing.assert_allclose(place(far).object_pose, place(lift_reference).object_pose, atol=1e-6)


def test_unreachable_demonstration_names_the_first_frame(lift_reference):
    """About: the smooth path sets out for it some frames before."""
    lift_reference.q[60:, 2] += 3.0
    with pytest.raises(UnreachableError, match=r"first at frame (5[3-9]|60) of .* mm and .* deg off"):
        place(lift_reference)
