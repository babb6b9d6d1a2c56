"""Structured plans: what each of their numbers does to the targets, and when."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.control.sampling import base_actions
from dexhot.control.time_warp import warp_reference
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_rotate, quat_to_rotvec
from dexhot.planning.structured import StructuredPlans, plan_sigma
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.simulation.physics import load_physics

PHYSICS = load_physics()


@pytest.fixture
def space(lift_reference):
    return StructuredPlans(lift_reference, PHYSICS)


def plan(space, **numbers):
    out = np.zeros(space.size)
    for name, value in numbers.items():
        out[{"x": 0, "turn_z": 5, "early": 6, "late": 6 + space.fingers}[name]] = value
    return out


def test_a_plan_has_six_numbers_and_two_for_each_finger_joint():
    assert len(plan_sigma(16)) == 38 and len(plan_sigma(12)) == 30


def test_a_plan_of_zeros_is_the_bare_reference(space, lift_reference):
    plans = np.zeros((2, space.size))
    plans[1, 0] = 1e-3
    targets = space.targets(plans)
    np.testing.assert_array_equal(targets[0], base_actions(lift_reference, PHYSICS))  # rounding moves single clips
    assert not np.array_equal(targets[1], targets[0])


def test_another_number_of_joints_has_plans_too(lift_reference):
    r = lift_reference
    fewer = replace(r, q=r.q[:, :18], target=r.target[:, :18], joint_names=r.joint_names[:18])
    physics = SimpleNamespace(servo_lag=lambda hand: PHYSICS.servo_lag(r.hand)[:18])
    space = StructuredPlans(fewer, physics)
    assert space.size == 30 and space.targets(np.ones((2, 30)) * 0.01).shape == (2, len(r.q), 18)


def test_the_shift_is_in_the_palms_frame_at_the_grasp(space, lift_reference):
    r, g = lift_reference, lift_reference.grasp_start
    moved = space.targets(plan(space, x=0.01))[0, g - 1, :3] - space.base[g - 1, :3]
    palm = palm_poses(r.base_quat, r.q[g])
    np.testing.assert_allclose(moved, quat_rotate(palm[3:], np.array([0.01, 0.0, 0.0])), atol=1e-4)


def test_the_shift_is_carried_with_the_object(space, lift_reference):
    """Where the object is turned later, so is the shift."""
    r = lift_reference
    turned = r.object_pose.copy()
    half = (r.grasp_start + r.grasp_end) // 2
    turned[half:, 3:] = quat_multiply(np.array([np.cos(0.5), 0, 0, np.sin(0.5)]), r.object_pose[half:, 3:])
    with_turn = StructuredPlans(replace(r, object_pose=turned), PHYSICS)
    one, other = (s.targets(plan(s, x=0.01))[0, half + 5, :3] - s.base[half + 5, :3] for s in (space, with_turn))
    np.testing.assert_allclose(other, quat_rotate(np.array([np.cos(0.5), 0, 0, np.sin(0.5)]), one), atol=1e-9)


def test_the_palm_turns_about_the_objects_centre(space, lift_reference):
    r, g = lift_reference, lift_reference.grasp_start
    targets = space.targets(plan(space, turn_z=0.1))[0, g - 1]
    about = r.object_pose[g, :3]
    before, after = (np.linalg.norm(x[:3] - about) for x in (space.base[g - 1], targets))
    assert after == pytest.approx(before, abs=1e-9)
    a, b = (palm_poses(r.base_quat, x) for x in (space.base[g - 1], targets))
    assert np.linalg.norm(quat_to_rotvec(quat_multiply(b[3:], quat_conjugate(a[3:])))) == pytest.approx(0.1, abs=1e-6)


def test_nothing_changes_long_before_the_grasp_and_fingers_last(space, lift_reference):
    g = lift_reference.grasp_start
    changed = np.abs(space.targets(plan(space, x=0.01, early=0.1, late=0.1))[0] - space.base) > 1e-9
    first = changed.argmax(axis=0)
    assert g - 46 <= first[:3].min() <= g - 40  # the palm: -44, and action t leads to frame t + 1
    assert g - 19 <= first[6] <= g - 17


def test_late_offsets_come_in_until_the_middle_of_the_motion(space, lift_reference):
    g, middle = lift_reference.grasp_start, (lift_reference.grasp_start + lift_reference.grasp_end) // 2
    late = space.targets(plan(space, late=0.1))[0, :, 6] - space.base[:, 6]
    assert np.abs(late[: g + 9]).max() < 1e-9 and late[middle + 12] == pytest.approx(0.1)
    early = space.targets(plan(space, early=0.1))[0, :, 6] - space.base[:, 6]
    assert early[g] == pytest.approx(0.1)


def test_fingers_let_go_when_the_motion_ends(space, lift_reference):
    r = replace(lift_reference, grasp_end=lift_reference.grasp_end - 20)
    space = StructuredPlans(r, PHYSICS)
    offset = space.targets(plan(space, early=0.1))[0, :, 6] - space.base[:, 6]
    assert offset[r.grasp_end - 2] == pytest.approx(0.1) and abs(offset[r.grasp_end + 10]) < 1e-9


def test_ramps_keep_the_persons_time_in_a_slower_reference(lift_reference):
    T = len(lift_reference.q)
    slow = warp_reference(lift_reference, np.linspace(0, T - 1, 2 * T - 1))
    fast, slowed = (StructuredPlans(r, PHYSICS).finger_weight for r in (lift_reference, slow))
    np.testing.assert_allclose(slowed[1::2][: len(fast) - 1], fast[: len(slowed[1::2])][: len(fast) - 1], atol=0.08)


def test_the_price_is_per_sigma_squared(space):
    assert space.size_cost(space.sigma[None] * 2, 0.01)[0] == pytest.approx(0.01 * 4 * space.size)
