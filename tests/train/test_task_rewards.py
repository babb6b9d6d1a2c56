"""Every reward and termination term, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.geometry.rotations import quat_rotate, rotvec_to_quat
from dexhot_train.task import rewards
from dexhot_train.task.rewards import ASSISTED, DEXTRACK, OMNIGRASP, RewardTerm, Transition, total
from dexhot_train.task.termination import TERMINATIONS, TerminationTerm, ended, object_lost


@pytest.fixture
def perfect() -> Transition:
    """One world exactly at its reference."""
    quat = rotvec_to_quat(np.array([[0.1, 0.2, -0.4]]))
    pose = np.concatenate([[[0.1, 0.0, 0.2]], quat], axis=1)
    grasp = np.array([[[0.03, 0.0, 0.0], [-0.03, 0.0, 0.0], [0.0, 0.03, 0.0], [0.0, 0.0, 0.05]]])
    tips = pose[:, None, :3] + quat_rotate(quat[:, None], grasp)
    q = np.linspace(-0.5, 0.5, 22)[None]
    contact = np.array([[1.0, 1.0, 0.0, 0.5]])
    return Transition(
        q, pose, pose, tips, np.ones((1, 4), bool), q, pose, pose, grasp, contact, np.zeros(1), np.zeros(1)
    )


def one(function, t, **parameters) -> float:
    (value,) = function(t, **parameters)
    return float(value)


def test_the_object_terms_fall_with_their_errors(perfect):
    assert one(rewards.object_position, perfect) == pytest.approx(0.9)
    assert one(rewards.object_rotation, perfect) == pytest.approx(np.pi)
    off = replace(perfect, position_error=np.array([0.1]), angle_error=np.array([0.5]))
    assert one(rewards.object_position, off) == pytest.approx(0.8)
    assert one(rewards.object_rotation, off) == pytest.approx(np.pi - 0.5)


@pytest.mark.parametrize(
    ("function", "joints"),
    [(rewards.wrist_position, slice(0, 3)), (rewards.wrist_rotation, slice(3, 6)), (rewards.fingers, slice(6, 22))],
)
def test_a_hand_term_is_the_l1_norm_of_its_own_joints(function, joints, perfect):
    assert one(function, perfect) == 0.0
    q = perfect.q.copy()
    q[:, joints] += 0.1 * (-1.0) ** np.arange(joints.stop - joints.start)
    assert one(function, replace(perfect, q=q)) == pytest.approx(-0.1 * (joints.stop - joints.start))
    others = perfect.q + 1.0
    others[:, joints] -= 1.0
    assert one(function, replace(perfect, q=others)) == pytest.approx(0.0, abs=1e-12)


def test_affinity_is_about_the_planned_contacts_alone(perfect):
    assert one(rewards.affinity, perfect) == pytest.approx(1.0)
    tips = perfect.tips.copy()
    tips[:, 2] += 1.0  # planned without contact
    assert one(rewards.affinity, replace(perfect, tips=tips)) == pytest.approx(1.0)
    tips[:, 0] += 1.0  # one of 2.5 planned contacts
    assert one(rewards.affinity, replace(perfect, tips=tips)) == pytest.approx(1.5 / 2.5, abs=1e-6)
    assert one(rewards.affinity, replace(perfect, wanted_contact=np.zeros((1, 4)))) == 0.0


def test_affinity_moves_with_the_object(perfect):
    """A hand that carries the object away keeps its affinity: the object's own terms see that."""
    shift = np.array([0.3, 0.0, 0.1])
    pose = perfect.object_pose.copy()
    pose[:, :3] += shift
    assert one(rewards.affinity, replace(perfect, object_pose=pose, tips=perfect.tips + shift)) == pytest.approx(1.0)


@pytest.mark.parametrize(("distance", "angle", "paid"), [(0.049, 4.9, 1.0), (0.051, 0.0, 0.0), (0.0, 5.1, 0.0)])
def test_the_bonus_asks_for_both(distance, angle, paid, perfect):
    off = replace(perfect, position_error=np.array([distance]), angle_error=np.radians([angle]))
    assert one(rewards.bonus, off) == paid


def test_the_hand_pose_reward_sums_distances(perfect):
    assert one(rewards.hand_pose, perfect) == pytest.approx(0.0, abs=1e-12)
    away = replace(perfect, tips=perfect.tips + np.array([0.0, 0.0, 0.02]))
    assert one(rewards.hand_pose, away) == pytest.approx(-4 * 0.02)


def test_the_weights_are_those_of_table_3(perfect):
    weights = {name: term.weight for name, term in DEXTRACK.items()}
    table = {"object_position": 1.0, "object_rotation": 0.33, "wrist_position": 0.3, "wrist_rotation": 0.05}
    assert weights == table | {"fingers": 0.05, "affinity": 0.2, "bonus": 1.0}
    assert ASSISTED["hand_pose"].weight == 0.01
    reward, parts = total(DEXTRACK, perfect)
    assert reward[0] == pytest.approx(0.9 + 0.33 * np.pi + 0.2 + 1.0)
    assert reward[0] == pytest.approx(sum(part[0] for part in parts.values()))


def test_a_terms_parameters_reach_it(perfect):
    terms = {"object_position": RewardTerm(rewards.object_position, 2.0, {"offset": 5.0})}
    assert total(terms, perfect)[0][0] == 10.0


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("object_lost", {"position_error": np.array([0.11])}),
        ("object_turned", {"angle_error": np.radians([91.0])}),
        ("palm_away", {"palm_pose": np.array([[0.1, 0.0, 0.36, 1.0, 0.0, 0.0, 0.0]])}),
    ],
)
def test_each_cause_ends_a_world_alone(cause, changes, perfect):
    assert not any(which[0] for which in ended(TERMINATIONS, perfect).values())
    found = ended(TERMINATIONS, replace(perfect, **changes))
    assert [name for name, which in found.items() if which[0]] == [cause]


def test_a_terminations_limit_is_its_parameter(perfect):
    strict = {"object_lost": TerminationTerm(object_lost, {"distance": 0.01})}
    assert ended(strict, replace(perfect, position_error=np.array([0.02])))["object_lost"][0]


@pytest.fixture
def lifting(perfect) -> Transition:
    """The perfect world with what OmniGrasp's terms need: the grasp has begun, the object moves as it should."""
    twist = np.array([[0.0, 0.0, 0.2, 0.0, 0.0, 0.0]])
    before = perfect.palm_pose, perfect.tips
    return replace(perfect, **dict(zip(("object_twist", "wanted_twist"), (twist, twist))), pregrasp_palm=before[0],
                   pregrasp_tips=before[1], grasping=np.array([True]))  # fmt: skip


def test_omnigrasp_rewards_the_pregrasp_pose_before_and_the_object_after(lifting):
    before = replace(lifting, grasping=np.array([False]))
    assert one(rewards.pregrasp, lifting) == 0.0 and one(rewards.carried, before) == 0.0
    assert one(rewards.pregrasp, before) == pytest.approx(1.0)
    assert one(rewards.carried, lifting) == pytest.approx(0.5 + 0.3 + 0.05 + 0.05 + 0.1)
    assert total(OMNIGRASP, lifting)[0] == pytest.approx([1.0])


def test_the_pregrasp_term_falls_with_palm_tips_and_angle(lifting):
    before = replace(lifting, grasping=np.array([False]))
    off = replace(before, tips=before.tips + [0.1, 0.0, 0.0])
    mean_square = 4 * 0.01 / (3 * 5)  # four tips of five points
    assert one(rewards.pregrasp, off) == pytest.approx(0.9 * np.exp(-100 * mean_square) + 0.1)
    palm = before.palm_pose.copy()
    palm[:, 3:] = rotvec_to_quat(np.array([[0.1, 0.2, -0.4 + 0.3]]))
    turned = 2 * np.arccos(abs((palm[0, 3:] * before.palm_pose[0, 3:]).sum()))
    found = one(rewards.pregrasp, replace(before, palm_pose=palm))
    assert found == pytest.approx(0.9 + 0.1 * np.exp(-10 * turned**2), abs=1e-3)
    same = np.concatenate([before.palm_pose[:, :3], -before.palm_pose[:, 3:]], axis=1)  # the same rotation
    assert one(rewards.pregrasp, replace(before, palm_pose=same)) == pytest.approx(1.0)


def test_an_object_is_carried_where_a_fingertip_touches_it_and_it_moves(lifting):
    untouched = replace(lifting, tip_contact=np.zeros((1, 4), bool))
    assert one(rewards.carried, untouched) == 0.0
    still = replace(lifting, object_twist=np.zeros((1, 6)))
    assert one(rewards.carried, still) == 0.0
    assert one(rewards.carried, replace(still, wanted_twist=np.zeros((1, 6)))) == pytest.approx(1.0)
    away = replace(lifting, position_error=np.array([0.1]))
    assert one(rewards.carried, away) == pytest.approx(0.5 * np.exp(-100 * 0.01 / 3) + 0.5)
    assert one(rewards.carried, replace(lifting, angle_error=np.array([0.3]))) == pytest.approx(
        0.7 + 0.3 * np.exp(-0.9)
    )
    for off in ([1.0, 2.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 2.0, 0.0]):
        other = replace(lifting, object_twist=lifting.wanted_twist + [off])
        assert one(rewards.carried, other) == pytest.approx(0.95 + 0.05 * np.exp(-0.1 * 5 / 3))


def test_an_object_moves_from_1_cm_per_s_on_and_not_where_it_spins(lifting):
    slow = replace(lifting, object_twist=np.array([[0.0, 0.0, 0.05, 0.0, 0.0, 0.0]]))
    assert one(rewards.carried, slow) > 0.9
    assert one(rewards.carried, replace(lifting, object_twist=np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]))) == 0.0
