"""Several grasps in one clip: when each begins, and how the fingers pass from one to the next."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.datasets.parametric import generate
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import quat_angle, quat_conjugate, quat_multiply, rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.contact_plan import ContactOptions, in_mesh_frame, plan_contacts
from dexhot.retargeting.grasp import Grasp, GraspSpace, balanced_forces
from dexhot.retargeting.grasp_sequence import (
    FREE,
    HOLDS,
    SPARE,
    PlannedGrasp,
    SequenceOptions,
    Stretch,
    carries,
    continued,
    joined,
    stretches,
)
from dexhot.retargeting.retarget import RetargetOptions, carried_palm, retarget
from dexhot.retargeting.summary import tip_positions
from dexhot.robots.robot_hand import load_hand

RADIUS, THUMB, T = 0.0115, 3, 240
OPTIONS, CONTACTS = SequenceOptions(), ContactOptions()
SIDES = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
BOX = ConvexUnion([(SIDES * [0.03, 0.06, 0.04], None)])
SPACE = GraspSpace(BOX, RADIUS, THUMB, lambda x: np.ones(len(x), bool))


# When the object is carried

FRAME = np.arange(T)
TWICE = 0.1 * (np.sin(np.pi * (FRAME - 40) / 60).clip(0) * (FRAME < 100) + np.sin(np.pi * (FRAME - 160) / 60).clip(0))
TWICE[FRAME > 220] = 0.0
AWAY = np.where((FRAME > 110) & (FRAME < 150), 0.08, 0.0)  # of the fingertips from the object


def carried(height=TWICE, nearest=AWAY, slide=0.0):
    pose = make_pose(np.stack([slide * FRAME, 0 * FRAME, height], axis=1), [1.0, 0, 0, 0])
    return carries(pose, height, nearest, 0.004, OPTIONS)


def test_an_object_that_is_let_go_and_moves_again_is_carried_twice():
    (first, then), (second, last) = carried()
    assert first == pytest.approx(41, abs=2) and then == pytest.approx(99, abs=2)
    assert second == pytest.approx(161, abs=2) and last == pytest.approx(219, abs=2)


def test_an_object_that_the_fingers_stay_on_is_carried_once():
    """A stapler, a stamp."""
    assert len(carried(nearest=np.where(AWAY > 0, 0.03, 0.0))) == 1


def test_an_object_that_pauses_in_the_air_is_carried_once():
    assert len(carried(height=TWICE + 0.011)) == 1


def test_a_short_pause_is_no_rest():
    short = TWICE.copy()
    short[100:160] = 0.0025 * (np.arange(60) // 10 % 2) * 2  # moves by 5 mm every sixth of a second
    assert len(carried(height=short)) == 1


def test_an_object_that_hardly_moves_again_is_carried_once():
    nudged = np.where(FRAME > 130, 0.09 * TWICE, TWICE)
    assert len(carried(height=nudged)) == 1


# When the grasp changes within a carry


def test_a_grasp_lasts_while_the_palm_is_within_25_degrees_of_its_mean():
    turn = np.radians(np.clip(FRAME - 50, 0, 100))  # a degree per frame, 100 in all
    quat = rotvec_to_quat(np.stack([0 * turn, 0 * turn, turn], axis=1))
    found = stretches(quat, (40, 200), OPTIONS)
    assert [s.first for s in found] == [40, *(s.last + 1 for s in found[:-1])] and found[-1].last == 200
    assert 2 <= len(found) <= 3 and all(s.last + 1 - s.first >= OPTIONS.shortest for s in found)
    assert len(stretches(quat, (40, 70), OPTIONS)) == 1


def test_no_grasp_is_shorter_than_half_a_second():
    fast = np.radians(np.clip(6.0 * (FRAME - 50), 0, 100))
    quat = rotvec_to_quat(np.stack([0 * fast, 0 * fast, fast], axis=1))
    assert all(s.last + 1 - s.first >= OPTIONS.shortest for s in stretches(quat, (40, 100), OPTIONS))


def test_the_palm_turns_about_the_object_as_measured_only_where_it_is_asked_to():
    turn = np.radians(np.clip(FRAME - 80, 0, 40))
    palm = rotvec_to_quat(np.stack([0 * turn, 0 * turn, turn], axis=1))
    still = make_pose(np.zeros((T, 3)), [1.0, 0, 0, 0])
    rigid, turning = (carried_palm(palm, still, 60, 180, CONTACTS, flag) for flag in (False, True))
    assert quat_angle(rigid[70], rigid[170]) < 1e-9
    assert np.degrees(quat_angle(turning[65], turning[170])) == pytest.approx(40, abs=1)
    assert np.degrees(quat_angle(turning[100], palm[100])) < 1.0


# From one grasp to the next


def grasp(shift: float, fingers=(0, 1, 2), thumb_shift=0.0) -> Grasp:
    """Three fingers on the side x > 0 against the thumb; moved by `shift` (m) along y."""
    y = np.array([0.025, 0.0, -0.025]) + shift
    side = 0.03 + RADIUS
    centre = np.array([[side, y[0], 0.0], [side, y[1], 0.0], [side, y[2], 0.0], [-side, thumb_shift, 0.0]])
    normal = np.array([[1.0, 0, 0]] * 3 + [[-1.0, 0, 0]])
    weight = np.array([float(i in fingers) for i in range(3)] + [1.0])
    return Grasp(centre, normal, weight, balanced_forces(centre, normal, weight, THUMB, 0.1)[0], 0.0)


CARRY = (60, 200)
POSE = make_pose(np.stack([0 * FRAME, 0 * FRAME, 0.001 * np.clip(FRAME - 60, 0, 140)], axis=1), [1.0, 0, 0, 0])


def planned(grasps, cuts, spans=None) -> list[PlannedGrasp]:
    measured = np.tile(grasps[0].centre, (T, 1, 1))
    bounds, out = [CARRY[0], *cuts, CARRY[1] + 1], []
    for i, each in enumerate(grasps):
        carry = spans[i] if spans else CARRY
        first, last = spans[i] if spans else (bounds[i], bounds[i + 1] - 1)
        plan = plan_contacts(measured, each, carry, POSE, BOX, RADIUS, -1.0, CONTACTS)
        out.append(PlannedGrasp(Stretch(first, last, carry), each, plan))
    return out


def test_one_grasp_keeps_its_plan():
    (only,) = planned([grasp(0.0)], [])
    plan, roles = joined([only], POSE, SPACE, RADIUS, CONTACTS.force, OPTIONS)
    assert plan is only.plan
    assert (roles[only.plan.closed : CARRY[1] + 1] == HOLDS).all()
    assert (roles[: only.plan.closed] == FREE).all() and (roles[CARRY[1] + 1 :] == FREE).all()


def test_fingers_change_their_contacts_one_at_a_time_off_the_surface_while_the_others_press():
    first, second = grasp(0.0), grasp(0.02)
    plan, roles = joined(planned([first, second], [130]), POSE, SPACE, RADIUS, CONTACTS.force, OPTIONS)
    local = in_mesh_frame(POSE, plan.tips)
    np.testing.assert_allclose(local[100, :3], first.centre[:3], atol=5e-4)
    np.testing.assert_allclose(local[160, :3], second.centre[:3], atol=5e-4)
    np.testing.assert_allclose(local[100:160, THUMB], np.tile(first.centre[THUMB], (60, 1)), atol=5e-4)  # it stays
    moving = roles[100:160] == FREE
    assert moving.any(0).tolist() == [True, True, True, False] and moving.sum(1).max() == 1
    away = BOX.distance(local[100:160])[0] - RADIUS
    assert away[:, :3].max(0) == pytest.approx(OPTIONS.lift, abs=2e-3) and away.min() > -1e-4
    middle = 100 + int(np.flatnonzero(moving[:, 0]).mean())
    assert np.linalg.norm(plan.force[middle, 0]) < 0.5 < 2.0 < np.linalg.norm(plan.force[middle, 1])
    assert np.linalg.norm(plan.force[middle].sum(0)) < 1.0  # N: they still cancel
    assert np.abs(np.diff(plan.force[100:160], axis=0)).max() < 3.0  # N per frame
    assert not plan.touching[middle, 0] and plan.touching[middle, [1, 2, 3]].all() and plan.contact[middle, 0] == 0.0


def test_the_thumb_slides_last_without_letting_go():
    first, second = grasp(0.0), grasp(0.02, thumb_shift=0.02)
    plan, roles = joined(planned([first, second], [130]), POSE, SPACE, RADIUS, CONTACTS.force, OPTIONS)
    local = in_mesh_frame(POSE, plan.tips)
    slides = np.flatnonzero(np.abs(np.diff(local[100:170, THUMB, 1])) > 1e-4) + 100
    assert slides.min() > np.flatnonzero((roles[100:170] == FREE).any(1)).max() + 100 - 1
    assert plan.touching[100:170, THUMB].all() and (roles[100:170, THUMB] == HOLDS).all()
    assert np.linalg.norm(plan.force[100:170, THUMB], axis=1).min() > 6.0


def test_of_two_fingers_none_leaves_the_object():
    """The thumb alone holds nothing."""
    plan, roles = joined(
        planned([grasp(0.0, (1,)), grasp(0.02, (1,))], [130]), POSE, SPACE, RADIUS, CONTACTS.force, OPTIONS
    )
    assert (roles[100:170, 1] == HOLDS).all() and plan.touching[100:170, 1].all()
    assert (roles[100:170, 0] == SPARE).all()


def test_between_two_carries_the_hand_passes_from_one_path_to_the_next():
    spans = [(40, 90), (160, 200)]
    both = planned([grasp(0.0), grasp(0.02)], [], spans)
    plan, roles = joined(both, POSE, SPACE, RADIUS, CONTACTS.force, OPTIONS)
    assert (roles[95:140] == FREE).all() and (roles[50:90] == HOLDS).all() and (roles[165:200] == HOLDS).all()
    np.testing.assert_allclose(plan.tips[:110], both[0].plan.tips[:110], atol=1e-6)
    np.testing.assert_allclose(plan.tips[140:], both[1].plan.tips[140:], atol=1e-6)
    assert np.abs(np.diff(plan.tips[110:140], axis=0)).max() < 0.003
    assert np.abs(plan.force[110:130]).max() < 1e-6
    assert (plan.grasp_start, plan.grasp_end) == (40, 200)


def test_a_contact_that_hardly_moves_stays_and_the_forces_are_balanced_for_it():
    before, after = grasp(0.0), grasp(0.006, thumb_shift=0.02)
    kept = continued(after, before, THUMB, 0.1, OPTIONS)
    np.testing.assert_array_equal(kept.centre[:3], before.centre[:3])
    np.testing.assert_array_equal(kept.centre[THUMB], after.centre[THUMB])
    np.testing.assert_allclose(kept.force, balanced_forces(kept.centre, kept.normal, kept.weight, THUMB, 0.1)[0])
    assert continued(grasp(0.03, thumb_shift=0.02), before, THUMB, 0.1, OPTIONS).centre[0, 1] != before.centre[0, 1]


# Whole clips


def test_an_object_that_is_put_down_and_picked_up_again_is_grasped_twice():
    clip, asset = generate("regrasp", "box", 0)
    reference = retarget(clip, load_hand("leap_right"), asset)
    pressed = np.abs(reference.target - reference.q)[:, 6:].max(1) > 0.02
    edges = np.flatnonzero(np.diff(pressed.astype(int)))
    assert len(edges) == 4  # on, off, on, off
    local = in_mesh_frame(reference.object_pose, tip_positions(reference, load_hand("leap_right")))
    gap = ConvexUnion(asset.pieces).distance(local)[0].min(1)
    open_, closed = slice(edges[1] + 30, edges[2] - 30), (edges[0] + 20, edges[2] + 20)
    assert gap[open_].min() > 0.015 and max(gap[t] for t in closed) < 0.013
    assert reference.grasp_end > edges[2] > reference.grasp_start


def test_in_hand_the_fingers_turn_the_object_and_the_palm_stays_as_the_persons_does():
    clip, asset = generate("inhand", "box", 0)
    hand = load_hand("leap_right")

    def turned(options: RetargetOptions) -> float:
        made = retarget(clip, hand, asset, options)
        palm = quat_multiply(made.base_quat, rotvec_to_quat(made.q[:, 3:6]))
        relative = quat_multiply(quat_conjugate(made.object_pose[:, 3:]), palm)
        held = relative[made.grasp_start : made.grasp_end + 1]
        return float(np.degrees(quat_angle(held, held[0]).max()))

    assert turned(RetargetOptions()) < 3.0
    assert turned(replace(RetargetOptions(), in_hand=True)) > 12.0
