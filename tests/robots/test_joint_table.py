"""The joint table drives the right joint: every joint by its name, the right finger, the right direction."""

import mujoco
import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import load_hand

HANDS = ("leap_right", "leap_left", "allegro_right", "allegro_left")
FLEXION = ("forward", "pip", "dip")
CASES = [(name, joint.name) for name in HANDS for joint in joint_table(name)]


def drive(hand, model, joint: str, angle: float = 0.2):
    """Fingertips (k, 3) in the palm frame before and after turning one joint by `angle` from the nominal pose."""
    data, found = mujoco.MjData(model), []
    for turn in (0.0, angle):
        for name, q in zip(hand.joint_names, hand.nominal):
            data.joint(name).qpos = q + turn * (name == joint)
        mujoco.mj_kinematics(model, data)
        found.append(np.array([data.site(site).xpos for site in hand.tip_sites]))
    return found


@pytest.fixture(scope="module")
def models():
    return {name: (hand := load_hand(name), hand.spec().compile()) for name in HANDS}


@pytest.mark.parametrize("name, joint", CASES)
def test_a_joint_moves_its_own_fingertip_only(models, name, joint):
    hand, model = models[name]
    before, after = drive(hand, model, joint)
    moved = np.linalg.norm(after - before, axis=1) > 1e-3
    assert [site for site, m in zip(hand.tip_sites, moved) if m] == [joint.split("_")[0] + "_tip"]


@pytest.mark.parametrize("name, joint", [case for case in CASES if case[1].split("_")[0] != "thumb"])
def test_positive_closes_a_finger(models, name, joint):
    """Flexion takes the tip toward the palm's side (-z) and back along the fingers (-x) from the half-closed pose."""
    hand, model = models[name]
    before, after = drive(hand, model, joint)
    delta = (after - before)[hand.tip_sites.index(joint.split("_")[0] + "_tip")]
    if joint.endswith(FLEXION):
        assert delta[0] < -1e-3 and abs(delta[1]) < 1e-2
    else:
        assert abs(delta[1]) > 1e-3


@pytest.mark.parametrize(
    "name, joint", [case for case in CASES if case[1].endswith(FLEXION[0]) and "thumb" not in case[1]]
)
def test_forward_bends_toward_the_palm_from_the_open_hand(models, name, joint):
    model = models[name][1]
    data = mujoco.MjData(model)
    site = joint.split("_")[0] + "_tip"
    heights = []
    for angle in (0.0, 0.2):
        data.joint(joint).qpos = angle
        mujoco.mj_kinematics(model, data)
        heights.append(data.site(site).xpos[2])
    assert heights[1] < heights[0] - 0.01


@pytest.mark.parametrize("name", HANDS)
def test_left_and_right_share_names_and_limits(name):
    other = name.replace("left", "right")
    rows = [(j.name, j.lower, j.upper, j.velocity, j.effort) for j in joint_table(name)]
    assert rows == [(j.name, j.lower, j.upper, j.velocity, j.effort) for j in joint_table(other)]


def test_leap_order_is_the_motors():
    table = joint_table("leap_right")
    assert [joint.motor_id for joint in table] == list(range(16))
    assert [joint.name for joint in table[:5]] == [
        "index_side",
        "index_forward",
        "index_pip",
        "index_dip",
        "middle_side",
    ]
    assert [joint.name for joint in table[12:]] == ["thumb_side", "thumb_forward", "thumb_pip", "thumb_dip"]


def test_leap_limits_are_the_vendors():
    """LEAP_Hand_API's clip, which differs from other publications in two thumb rows."""
    table = joint_table("leap_right")
    assert [joint.lower for joint in table[12:]] == [-0.349, -0.47, -1.2, -1.34]
    assert [joint.upper for joint in table[12:]] == [2.094, 2.443, 1.9, 1.88]


def test_a_flat_leap_hand_reads_180_degrees():
    assert [joint.to_motor(0.0) for joint in joint_table("leap_right")] == pytest.approx([np.pi] * 16)


@pytest.mark.parametrize("name", [*HANDS, "fr3"])
def test_motor_angles_come_back(name):
    for joint in joint_table(name):
        assert joint.from_motor(joint.to_motor(0.3)) == pytest.approx(0.3)
        assert joint.sign in (-1, 1) and joint.lower < joint.upper and joint.velocity > 0 and joint.effort > 0


@pytest.mark.parametrize("name", [*HANDS, "fr3"])
def test_motor_ids_are_unique(name):
    ids = [joint.motor_id for joint in joint_table(name)]
    assert len(set(ids)) == len(ids)


def test_fr3_rows():
    assert tuple(joint.name for joint in joint_table("fr3")) == FR3_JOINTS


def test_unknown_robot_lists_the_known_ones():
    with pytest.raises(NotFoundError, match=r"ur5.*fr3.*leap_right"):
        joint_table("ur5")
