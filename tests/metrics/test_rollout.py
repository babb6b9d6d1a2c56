"""The judge: every number from rollouts made by hand, and the controls that must fail."""

import numpy as np
import pytest

from dexhot.data.types import Rollout
from dexhot.errors import DexhotError
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.rotations import quat_multiply, rotvec_to_quat
from dexhot.metrics.add_s import add_s
from dexhot.metrics.rollout import compute
from dexhot.metrics.success import SUCCESSES, strict_limits
from dexhot.objects.asset import Symmetry
from dexhot.robots.robot_hand import load_hand


@pytest.fixture
def perfect(lift_reference) -> Rollout:
    """A rollout that repeats its reference."""
    reference = lift_reference
    frames = len(reference.q)
    return Rollout(
        name=reference.name,
        reference=reference,
        kind="floating",
        time=reference.time,
        q=reference.q.copy(),
        command=reference.target.copy(),
        object_pose=reference.object_pose.copy(),
        penetration=np.zeros(frames),
        table_contact=np.zeros(frames, bool),
        tip_contact=np.zeros((frames, 4), bool),
    )


@pytest.fixture
def metrics_of(lift_object):
    return lambda rollout: compute(rollout, lift_object, load_hand(rollout.reference.hand))


def test_a_perfect_rollout_has_no_error_and_every_success(perfect, metrics_of):
    m = metrics_of(perfect)
    assert (
        m["T_err_cm"] == pytest.approx(0)
        and m["R_err_rad"] == pytest.approx(0, abs=1e-6)
        and m["E_hand"] == pytest.approx(0)
    )
    assert m["success_10cm_20deg"] and m["success_10cm_40deg"] and m["success_strict"] and m["hold_rate"] == 1.0


def test_position_errors_are_in_centimetres(perfect, metrics_of):
    perfect.object_pose[:, 0] += 0.01
    perfect.object_pose[-1, 0] += 0.01
    m = metrics_of(perfect)
    assert m["T_err_max_cm"] == pytest.approx(2) and m["T_err_final_cm"] == pytest.approx(2)
    assert m["T_err_cm"] == pytest.approx(1, rel=0.02)


def test_rotation_error_is_in_radians_and_its_largest_in_degrees(perfect, metrics_of):
    turn = rotvec_to_quat(np.array([0.0, 0.0, 0.3]))
    perfect.object_pose[:, 3:] = quat_multiply(turn, perfect.object_pose[:, 3:])
    m = metrics_of(perfect)
    assert m["R_err_rad"] == pytest.approx(0.3) and m["R_err_max_deg"] == pytest.approx(np.degrees(0.3))


def test_wrist_and_finger_errors_follow_dextrack(perfect, metrics_of):
    perfect.q[:, 0] += 0.02
    perfect.q[:, 6:] += 0.1
    m = metrics_of(perfect)
    assert (
        m["E_wrist"] == pytest.approx(0.01)
        and m["E_finger"] == pytest.approx(0.1)
        and m["E_hand"] == pytest.approx(0.055)
    )


def test_a_drop_at_the_end_is_no_strict_success_though_the_means_pass(perfect, metrics_of):
    perfect.object_pose[-3:, 2] -= 0.08
    m = metrics_of(perfect)
    assert m["success_10cm_20deg"] and not m["success_strict"]


def test_the_final_error_is_that_of_the_last_frame(perfect, lift_object):
    lift_object.symmetry = Symmetry()
    hand, start = load_hand("leap_right"), perfect.object_pose.copy()
    perfect.object_pose[-2, 0] += 0.04
    m = compute(perfect, lift_object, hand)
    assert m["judged_T_final_cm"] == pytest.approx(0) and m["success_strict"]
    perfect.object_pose = start
    perfect.object_pose[-1, 0] += 0.04
    m = compute(perfect, lift_object, hand)
    assert m["judged_T_final_cm"] == m["T_err_final_cm"] == pytest.approx(4) and not m["success_strict"]


def test_penetration_is_the_95th_percentile(perfect, metrics_of):
    perfect.penetration = np.linspace(0, 0.01, len(perfect.penetration))
    assert metrics_of(perfect)["penetration_mm"] == pytest.approx(9.5)


def test_hold_rate_counts_lifted_frames_off_the_table(perfect, metrics_of):
    lifted = metrics_of(perfect)["reference_lifted_frames"]
    perfect.table_contact[:] = True
    assert lifted > 10 and metrics_of(perfect)["hold_rate"] == 0.0


def test_an_object_that_never_moves_fails(perfect, metrics_of):
    perfect.object_pose[:] = perfect.object_pose[0]
    perfect.table_contact[:] = True
    m = metrics_of(perfect)
    assert not m["success_strict"] and m["hold_rate"] == 0.0 and m["lifted_frames"] == 0


def test_a_short_lift_that_returns_asks_for_more_than_standing_still(lift_reference, lift_object):
    lift_reference.object_pose[:] = lift_reference.object_pose[0]
    lift_reference.object_pose[40:60, 2] += 0.04
    lift_object.symmetry = Symmetry()
    assert strict_limits(lift_reference, lift_object)["judged_T_max_cm"] == pytest.approx(2.0)


def test_a_turn_on_the_spot_asks_for_half_of_it(perfect, metrics_of):
    for pose in (perfect.reference.object_pose, perfect.object_pose):
        pose[:] = pose[0].copy()
    turn = rotvec_to_quat(np.outer(np.linspace(0, 1, len(perfect.q)), [0, 0, np.radians(30)]))
    perfect.reference.object_pose[:, 3:] = quat_multiply(turn, perfect.reference.object_pose[:, 3:])
    m = metrics_of(perfect)
    assert m["strict_limits"]["judged_R_max_deg"] == pytest.approx(15, abs=0.5) and not m["success_strict"]


@pytest.mark.parametrize(("moving", "success"), [(True, True), (False, False)])
def test_where_the_object_is_meant_to_stay_the_hand_decides(perfect, metrics_of, moving, success):
    """A reach: the object stands in any case, so a hand that never moves must fail by itself."""
    for pose in (perfect.reference.object_pose, perfect.object_pose):
        pose[:] = pose[0].copy()
    if not moving:
        perfect.q[:] = perfect.q[0].copy()
    m = metrics_of(perfect)
    assert m["strict_limits"]["E_hand"] < SUCCESSES["success_strict"]["E_hand"] and m["success_strict"] is success


def test_a_symmetric_object_that_never_moves_fails_a_lift_that_add_s_makes_small(perfect, metrics_of):
    """ADD-S of a 7 cm lift is under 5 cm: the nearest surface is nearer than the place it came from."""
    start = perfect.reference.object_pose[0].copy()
    for pose in (perfect.reference.object_pose, perfect.object_pose):
        pose[:] = start
    perfect.reference.object_pose[40:60, 2] += 0.07
    m = metrics_of(perfect)
    assert m["symmetry"] == "discrete" and m["judged_T_max_cm"] < 5 < m["T_err_max_cm"]
    assert not m["success_strict"]


def test_another_object_is_refused(perfect, lift_object):
    lift_object.name = "grab/duck"
    with pytest.raises(DexhotError, match="grab/duck"):
        compute(perfect, lift_object, load_hand("leap_right"))


def test_a_turn_about_the_axis_of_symmetry_is_free():
    symmetry = Symmetry("axis", [0, 0, 1], [[1, 0, 0, 0], [0, 1, 0, 0]])
    about_axis, tilt = rotvec_to_quat(np.array([[0, 0, 2.0], [0.2, 0, 0]]))
    identity = np.array([1.0, 0, 0, 0])
    assert reduced_angle(symmetry, identity, about_axis) == pytest.approx(0, abs=1e-9)
    assert reduced_angle(symmetry, identity, tilt) == pytest.approx(0.2)
    assert reduced_angle(symmetry, identity, rotvec_to_quat(np.array([np.pi - 0.2, 0, 0]))) == pytest.approx(0.2)


def test_discrete_symmetry_takes_the_nearest_of_its_rotations():
    quarter = [[np.cos(k * np.pi / 4), 0, 0, np.sin(k * np.pi / 4)] for k in range(4)]
    turned = rotvec_to_quat(np.array([0, 0, np.pi / 2 + 0.1]))
    assert reduced_angle(Symmetry("discrete", rotations=quarter), np.array([1.0, 0, 0, 0]), turned) == pytest.approx(
        0.1
    )


def test_add_s_of_a_box_ignores_a_half_turn_but_not_a_move(lift_object, lift_reference):
    pose = lift_reference.object_pose[:1]
    turned, moved = pose.copy(), pose.copy()
    turned[:, 3:] = quat_multiply(pose[:, 3:], rotvec_to_quat(np.array([0, 0, np.pi])))
    moved[:, :3] += 0.1
    assert add_s(lift_object, turned, pose)[0] < 0.003
    assert add_s(lift_object, moved, pose)[0] > 0.08


def test_symmetric_objects_are_judged_by_their_symmetry(perfect, metrics_of, lift_object):
    lift_object.symmetry = Symmetry("discrete", rotations=[[1, 0, 0, 0], [0, 0, 0, 1]])
    half_turn = rotvec_to_quat(np.array([0, 0, np.pi]))
    perfect.object_pose[:, 3:] = quat_multiply(perfect.object_pose[:, 3:], half_turn)
    m = metrics_of(perfect)
    assert m["success_strict"] and not m["success_strict_raw"]
    assert m["R_err_rad"] == pytest.approx(np.pi) and m["R_err_sym_rad"] == pytest.approx(0, abs=1e-6)
