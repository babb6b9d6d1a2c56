"""Fingertip paths over a clip, frame by frame."""

import numpy as np
import pytest

from dexhot.geometry.poses import make_pose, transform
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.contact_plan import (
    ContactOptions,
    in_mesh_frame,
    measured_contacts,
    motion_interval,
    plan_contacts,
)
from dexhot.retargeting.grasp import Grasp

SIDES = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
RADIUS, THUMB, FRAMES = 0.0115, 3, 200
CENTRE = np.array([[0.0415, 0.02, 0], [0.0415, 0.0, 0], [0.0415, -0.02, 0], [-0.0415, 0.0, 0]])
NORMAL = np.array([[1.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]])
FORCE = np.array([[-0.3, 0, 0], [-0.4, 0, 0], [-0.3, 0, 0], [1.0, 0, 0]])
START, END = 80, 120
FRAME = np.arange(FRAMES)


@pytest.fixture(scope="module")
def box():
    return ConvexUnion([(SIDES * [0.03, 0.05, 0.04], None)])


def plan(box, weight=(1.0, 1.0, 0.0, 1.0), table=-1.0, pose=None, **changes):
    """Measured tips 50 mm above their contacts, and as far off the object."""
    measured = np.tile(CENTRE + 0.02 * NORMAL + [0, 0, 0.05], (FRAMES, 1, 1))
    normal = NORMAL * np.array(weight, bool)[:, None]  # a tip without a task has no contact
    grasp = Grasp(CENTRE, normal, np.array(weight), FORCE, 0.0)
    pose = np.tile([0.0, 0, 0, 1, 0, 0, 0], (FRAMES, 1)) if pose is None else pose
    made = plan_contacts(measured, grasp, (START, END), pose, box, RADIUS, table, ContactOptions(**changes))
    return made, measured


def test_when_the_tips_are_on_their_contacts(box):
    made, _ = plan(box)
    assert (made.closed, made.grasp_start, made.grasp_end) == (START - 14, START, END)
    held = slice(made.closed + 6, END - 5)
    np.testing.assert_allclose(made.tips[held, :2], np.tile(CENTRE[:2], (held.stop - held.start, 1, 1)), atol=1e-5)
    assert np.linalg.norm(made.tips[made.closed - 12, 0] - CENTRE[0]) > 0.01
    assert np.linalg.norm(made.tips[END + 12, 0] - CENTRE[0]) > 0.01


def test_a_tip_without_a_task_stays_where_it_was_measured(box):
    made, measured = plan(box)
    np.testing.assert_allclose(made.tips[:, 2], measured[:, 2], atol=1e-6)


def test_far_from_contact_the_measured_tips_are_followed(box):
    made, measured = plan(box)
    away = np.maximum(made.closed - FRAME, FRAME - END)
    free = away > 40 + 30 + 8
    assert free.any()
    np.testing.assert_allclose(made.tips[free], measured[free], atol=1e-6)
    opened = (away > 20) & (away < 32)  # 12 mm off the contact, along its normal
    np.testing.assert_allclose(made.tips[opened, 0], np.tile(CENTRE[0] + [0.012, 0, 0], (opened.sum(), 1)), atol=1e-5)
    half = away == 55
    between = 0.5 * (CENTRE[0] + [0.012, 0, 0]) + 0.5 * measured[0, 0]
    np.testing.assert_allclose(made.tips[half, 0], np.tile(between, (2, 1)), atol=1e-4)


def test_who_may_touch_and_who_is_meant_to(box):
    made, _ = plan(box, weight=(1.0, 0.2, 0.21, 1.0))
    may = (made.closed <= FRAME) & (FRAME <= END + 10)
    np.testing.assert_array_equal(made.touching, may[:, None] & [True, False, True, True])
    meant = (START <= FRAME) & (FRAME <= END)
    np.testing.assert_allclose(made.contact, meant[:, None] * [1.0, 0.2, 0.21, 1.0])


def test_the_squeeze_rises_over_8_frames_before_the_motion_and_ends_10_after_it(box):
    made, _ = plan(box, force=10.0)
    thumb = made.force[:, THUMB, 0]
    np.testing.assert_allclose(thumb[START - 6 : END + 1], 10.0)
    np.testing.assert_allclose(thumb[START - 14 : START - 6], 10.0 * np.arange(8) / 8)
    np.testing.assert_allclose(thumb[END : END + 11], 10.0 * (1 - np.arange(11) / 10), atol=1e-12)
    assert not thumb[: START - 14].any() and not thumb[END + 10 :].any()
    np.testing.assert_allclose(made.force[START], 10.0 * FORCE)


def test_tips_and_forces_turn_with_the_object(box):
    still, _ = plan(box)
    pose = make_pose([0.1, 0.2, 0.3], np.tile(rotvec_to_quat([0.0, 0.0, 0.5]), (FRAMES, 1)))
    made, _ = plan(box, pose=pose)
    np.testing.assert_allclose(made.tips, transform(pose[:, None], still.tips), atol=1e-12)
    turn = make_pose(np.zeros(3), pose[:, 3:])
    np.testing.assert_allclose(made.force, transform(turn[:, None], still.force), atol=1e-12)


def test_tips_stay_their_radius_and_a_millimetre_above_the_table(box):
    made, _ = plan(box, table=0.01)
    np.testing.assert_allclose(made.tips[START, 0, 2], 0.01 + RADIUS + 0.001)
    assert made.tips[..., 2].min() == pytest.approx(0.0225)


def test_tips_inside_the_object_are_pushed_out_and_the_idle_ones_further(box):
    grasp = Grasp(CENTRE, NORMAL, np.array([1.0, 0.0, 1.0, 1.0]), FORCE, 0.0)
    measured = np.tile([[0.025, 0.02, 0], [0.025, 0, 0], [0.025, -0.02, 0], [-0.025, 0, 0]], (FRAMES, 1, 1))
    pose = np.tile([0.0, 0, 0, 1, 0, 0, 0], (FRAMES, 1))
    made = plan_contacts(measured, grasp, (START, END), pose, box, RADIUS, -1.0, ContactOptions())
    gap = box.distance(made.tips)[0] - RADIUS
    assert gap.min() > -1e-6
    np.testing.assert_allclose(gap[:, 1], 0.006, atol=1e-6)


@pytest.mark.parametrize(
    ("rise", "turn", "expected"),
    [
        (0.0041, 0.0, (10, 39)),
        (0.0039, 0.0, (59, 59)),
        (0.0, 0.0041 / 0.05, (10, 39)),
        (0.0, 0.0039 / 0.05, (59, 59)),
        (0.002, 0.0021 / 0.05, (10, 39)),
    ],
)
def test_an_object_moves_by_4_mm_or_what_50_mm_turn_by(rise, turn, expected):
    pose = np.tile([0.0, 0, 0, 1, 0, 0, 0], (60, 1))
    pose[10:40, 0] = rise
    pose[10:40, 3:] = rotvec_to_quat([0.0, turn, 0.0])
    assert motion_interval(pose) == expected


@pytest.mark.parametrize(("left_at", "end"), [(0.009, 40), (0.011, 59)])
def test_an_object_that_is_not_set_down_moves_to_the_end(left_at, end):
    pose = np.tile([0.0, 0, 0, 1, 0, 0, 0], (60, 1))
    pose[10:41, 2], pose[41:, 2] = 0.1, left_at
    assert motion_interval(pose) == (10, end)


def test_how_surely_a_tip_touches(box):
    """All of the frames within `sure`, half of the way to `reach`, beyond it; half of the frames are enough."""
    gaps = np.array([0.016, 0.022, 0.028])
    tips = np.zeros((10, 4, 3))
    tips[:, :3, 0] = 0.03 + gaps
    tips[:, 3, 0] = -0.5  # the thumb counts wherever it is
    _, weight = measured_contacts(tips, THUMB, slice(0, 10), box, ContactOptions())
    np.testing.assert_allclose(weight, [1.0, 1.0, 0.0, 1.0], atol=1e-3)
    tips[:, 1, 0] = 0.03 + 0.025
    tips[5:, 0, 0] = 0.9
    _, weight = measured_contacts(tips, THUMB, slice(0, 10), box, ContactOptions())
    np.testing.assert_allclose(weight[:2], [1.0, 0.5], atol=1e-3)


def test_points_of_the_world_are_taken_into_the_meshs_frame():
    pose = make_pose([[0.1, 0.2, 0.3]] * 2, rotvec_to_quat([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(in_mesh_frame(pose, np.array([[[0.1, 1.2, 0.3]]] * 2)), [[[1.0, 0, 0]]] * 2, atol=1e-12)
