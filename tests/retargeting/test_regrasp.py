"""Other grasps of a reference: the object's motion and the first state stay, the hand holds it elsewhere."""

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.grasp import takes_part
from dexhot.retargeting.regrasp import SHIFT, TURN, grasp_centre, moves, regrasp
from dexhot.retargeting.retarget import RetargetOptions
from dexhot.robots.kinematics.hand import HandModel

ASIDE = np.r_[0.0, 0.012, 0.0, np.zeros(3)]  # along the box


def tips_on_object(reference, hand, t):
    model = HandModel(hand, (), reference.base_quat)
    model.move(reference.q[t])
    return transform(inverse(reference.object_pose[t]), model.points())


def held_by(reference):
    return int(takes_part(reference.contact[(reference.grasp_start + reference.grasp_end) // 2]).sum())


def test_the_hand_is_not_moved_moved_towards_the_centre_of_mass_and_drawn(lift_reference, lift_setup):
    hand, asset = lift_setup.hand, lift_setup.asset
    found = moves(lift_reference, hand, asset, 6, 3)
    assert found.shape == (6, 6) and not found[0].any()
    half = (asset.center_of_mass - grasp_centre(lift_reference, hand)) / 2
    assert found[1] == pytest.approx(np.r_[half, 0.0, 0.0, 0.0])
    assert np.abs(found[2:, :3]).max() <= SHIFT and TURN / 2 < np.abs(found[2:, 3:]).max() <= TURN
    assert np.array_equal(found, moves(lift_reference, hand, asset, 6, 3))


def test_the_object_moves_as_before_and_the_hand_holds_it_elsewhere(lift_reference, lift_setup):
    r, hand, asset = lift_reference, lift_setup.hand, lift_setup.asset
    other = regrasp(r, hand, asset, ASIDE)
    assert np.array_equal(other.object_pose, r.object_pose)
    assert (other.grasp_start, other.grasp_end) == (r.grasp_start, r.grasp_end)
    assert np.array_equal(other.q[:2], r.q[:2]) and np.array_equal(other.target[:2], r.target[:2]), "the same start"
    assert not len(other.arm_q) and other.name == f"{r.name}, regrasped"
    assert np.abs(np.diff(other.q, axis=0)).max() < 0.3, "no jump"
    t = (r.grasp_start + r.grasp_end) // 2
    there, here = tips_on_object(other, hand, t), tips_on_object(r, hand, t)
    assert (there - here).mean(0)[1] > 0.005, "along the move"
    gap = ConvexUnion(asset.pieces).distance(there)[0] - hand.tip_radius
    assert np.abs(gap[takes_part(other.contact[t])]).max() < 0.003, "on the surface"
    assert np.abs(other.target - other.q)[t, 6:].max() > 0.01, "and squeezing"


def test_a_finger_that_was_away_from_the_object_takes_part(lift_reference, lift_setup):
    r, hand, asset = lift_reference, lift_setup.hand, lift_setup.asset
    assert held_by(r) == 3, "the ring finger is 7 mm off the box"
    assert held_by(regrasp(r, hand, asset, np.zeros(6), RetargetOptions())) == 3
    assert held_by(regrasp(r, hand, asset, np.zeros(6))) == 4


def test_a_move_out_of_reach_is_refused(lift_reference, lift_setup):
    with pytest.raises(DexhotError, match="reach"):
        regrasp(lift_reference, lift_setup.hand, lift_setup.asset, np.r_[0.0, 0.0, 0.4, np.zeros(3)])
