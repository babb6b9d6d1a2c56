"""Grasps, their forces, and when the fingertips touch."""

import numpy as np
import pytest

from dexhot.geometry.poses import make_pose
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.contact_plan import ContactOptions, measured_contacts, motion_interval, plan_contacts
from dexhot.retargeting.grasp import GraspSpace, balanced_forces, choose_grasps

RADIUS, THUMB = 0.0115, 3
SIDES = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T


@pytest.fixture(scope="module")
def box():
    """60 x 100 x 80 mm about the origin."""
    return ConvexUnion([(SIDES * [0.03, 0.05, 0.04], None)])


@pytest.fixture(scope="module")
def grasp(box):
    """Measured tips 5 to 9 mm off, some inside."""
    tips = np.array([[0.037, 0.028, 0.004], [0.046, 0.0, -0.003], [0.036, -0.03, 0.0], [-0.034, 0.01, 0.005]])
    return choose_grasps(GraspSpace(box, RADIUS, THUMB, lambda x: x[:, 2] > -0.02), tips, np.ones(4))[0]


def lifted(frames=90, start=40):
    height = np.clip(np.arange(frames) - start, 0, None) * 0.002
    return make_pose(np.stack([0 * height, 0 * height, height], -1), [1.0, 0, 0, 0])


def test_contacts_lie_one_radius_off_the_surface(grasp, box):
    np.testing.assert_allclose(box.distance(grasp.centre)[0], RADIUS, atol=3e-4)


def test_thumb_opposes_the_fingers(grasp):
    assert (grasp.normal[:THUMB] @ grasp.normal[THUMB] < -0.95).all()


def test_fingertips_do_not_crowd(grasp):
    gaps = np.linalg.norm(grasp.centre[:THUMB, None] - grasp.centre[None, :THUMB], axis=-1)[np.triu_indices(3, 1)]
    assert gaps.min() > 0.02


def test_contacts_respect_where_tips_may_be(box):
    tips = np.array([[0.04, 0.02, -0.03], [0.04, 0, -0.03], [0.04, -0.02, -0.03], [-0.04, 0, -0.03]])
    best = choose_grasps(GraspSpace(box, RADIUS, THUMB, lambda x: x[:, 2] > -0.01), tips, np.ones(4))[0]
    assert best.centre[:, 2].min() > -0.01


def test_forces_cancel_and_stay_in_their_cones(grasp):
    friction = 0.3
    force, imbalance = balanced_forces(grasp.centre, grasp.normal, grasp.weight, THUMB, friction)
    press = -(force * grasp.normal).sum(1)
    tangential = np.linalg.norm(force + press[:, None] * grasp.normal, axis=1)
    assert imbalance < 0.1 and press[THUMB] == pytest.approx(1.0)
    assert (tangential <= friction * press + 1e-9).all()


def test_two_fingers_on_one_side_cannot_balance():
    centre, normal = np.array([[0.04, 0.02, 0], [0.04, -0.02, 0]]), np.array([[1.0, 0, 0], [1.0, 0, 0]])
    assert balanced_forces(centre, normal, np.ones(2), 1, 0.5)[1] > 0.5


def test_motion_interval_of_an_object_put_back():
    pose = lifted(90, 20)
    pose[50:, 2] = np.clip(pose[50, 2] - 0.004 * np.arange(40), 0, None)
    start, end = motion_interval(pose)
    assert 20 < start < 25 and 60 < end < 66


def test_motion_interval_lasts_to_the_end_when_the_object_stays_up():
    assert motion_interval(lifted())[1] == 89


def test_measured_contact_ignores_single_noisy_frames(box):
    tips = np.tile([[0.042, 0, 0], [0.042, 0.02, 0], [0.2, 0, 0], [-0.042, 0, 0]], (50, 1, 1)).astype(float)
    tips[10] += 0.5
    where, weight = measured_contacts(tips, THUMB, slice(0, 50), box, ContactOptions())
    np.testing.assert_allclose(where[0], [0.042, 0, 0])
    assert weight[0] == 1.0 and weight[2] == 0.0


def planned(grasp, box):
    pose = lifted()
    tips = np.tile(grasp.centre + 0.004 * grasp.normal, (len(pose), 1, 1))
    options = ContactOptions()
    return plan_contacts(tips, grasp, motion_interval(pose), pose, box, RADIUS, -0.04, options), pose, options


def test_tips_keep_open_before_the_grasp_and_close_early(grasp, box):
    plan, pose, options = planned(grasp, box)
    gap = box.distance(plan.tips - pose[:, None, :3])[0] - RADIUS
    assert gap[: plan.closed - 14].min() > 0.8 * options.opening
    np.testing.assert_allclose(gap[plan.closed + 4 : plan.grasp_end], 0.0, atol=5e-4)


def test_contacts_stay_fixed_to_the_moving_object(grasp, box):
    plan, pose, _ = planned(grasp, box)
    beside = (plan.tips - pose[:, None, :3])[plan.closed + 5 :]
    assert np.ptp(beside, axis=0).max() < 1e-4


def test_squeeze_starts_after_closing_and_before_lifting(grasp, box):
    plan, _, options = planned(grasp, box)
    thumb = np.linalg.norm(plan.force[:, THUMB], axis=1)
    assert thumb[: plan.closed].max() == 0.0
    assert thumb[plan.grasp_start] == pytest.approx(options.force, rel=0.2)
