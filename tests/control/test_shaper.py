from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.shaper import LEAD, OWN_LEAD, CommandShaper, HandShaper, measure_lag, shaper_lead
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.poses import pose_to_matrix
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.rigs.embedded import EmbeddedWorld
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.arm import ArmChain, ArmKinematics
from dexhot.robots.kinematics.wrist import palm_poses, wrist_to_palm, wrist_twist
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import arm_scene

HAND, PHYSICS = load_hand("leap_right"), load_physics()
BASE = np.array([1.0, 0.0, 0.0, 0.0])
REST = np.concatenate([[0.0, 0.0, 0.5, 0.0, 0.0, 0.0], HAND.nominal])


@pytest.fixture
def shaper():
    made = HandShaper(HAND, BASE, PHYSICS)
    made.reset(REST)
    return made


def test_a_resting_target_moves_nothing(shaper):
    for _ in range(30):
        q, qd = shaper.step(REST)
    np.testing.assert_allclose(q, REST, atol=1e-3)
    np.testing.assert_allclose(qd, 0.0, atol=1e-3)


def test_a_jump_of_the_target_becomes_a_smooth_motion(shaper):
    target = REST.copy()
    target[7] += 0.5  # index_forward: nothing is in its way
    q, _ = shaper.step(target)
    assert 0.0 < q[7] - REST[7] < 0.25
    for _ in range(60):
        q, _ = shaper.step(target)
    assert abs(q[7] - target[7]) < 0.01


def test_measured_fingers_hold_back_the_simulated_ones(shaper):
    """Fingers that something stops: without feedback the simulated ones reach the target alone."""
    target, ends = REST.copy(), {}
    target[7] += 0.5
    for feedback in (False, True):
        shaper.reset(REST)
        for _ in range(60):
            if feedback:
                drawn = shaper.draw(REST[6:])
            q, _ = shaper.step(target)
        ends[feedback] = q[7] - REST[7]
    assert ends[False] > 0.49 and 0.1 < ends[True] < 0.4
    assert (drawn[:6] == shaper.data.qpos[shaper.scene.q_address][:6]).all() or np.allclose(
        drawn[:6], REST[:6], atol=1e-3
    )


def test_fingers_that_are_where_they_are_simulated_change_no_command():
    commands = {}
    for feedback in (False, True):
        chain = CommandShaper(HAND, np.array([0.0, 1.0, 0.0, 0.0]), FR3_HOME[None], PHYSICS, lead=1.0, wrist_lead=0.0)
        chain.reset(REST, FR3_HOME)
        target, rows = REST.copy(), []
        for k in range(30):
            target[7] += 0.01
            rows.append(chain.step(target, k, chain.q[6:].copy() if feedback else None).hand_q)
        commands[feedback] = np.array(rows)
    np.testing.assert_allclose(commands[True], commands[False], atol=1e-12)


def test_the_lag_is_about_kv_over_kp():
    for physics in (PHYSICS, load_physics("1")):  # half a tick less, because a target is held for one
        assert measure_lag(HAND, physics) == pytest.approx(physics.servo_lag(HAND)[7] - 1 / 120, abs=0.004)


def test_the_lead_takes_the_lag_away():
    assert abs(measure_lag(HAND, PHYSICS, lead=1.0)) < 0.01


def test_a_non_finite_target_names_the_joint(shaper):
    target = REST.copy()
    target[8] = np.nan
    with pytest.raises(DexhotError, match="index_pip"):
        shaper.step(target)


def test_after_a_reset_the_same_targets_give_the_same_commands(shaper):
    def play():
        shaper.reset(REST)
        return [shaper.step(REST + 0.1 * k / 20)[0].copy() for k in range(20)]

    assert all((a == b).all() for a, b in zip(play(), play()))


def test_the_arm_follows_the_shaped_wrist():
    palm = ArmKinematics(HAND)
    start = palm.hand_vector(FR3_HOME, HAND.nominal, np.array([0.0, 1.0, 0.0, 0.0]), np.zeros(6))
    chain = CommandShaper(HAND, np.array([0.0, 1.0, 0.0, 0.0]), FR3_HOME[None], PHYSICS, lead=1.0, wrist_lead=0.0)
    chain.reset(start, FR3_HOME)
    target = start.copy()
    for k in range(60):
        target[2] -= 0.001
        command = chain.step(target, k)
    wanted = wrist_to_palm(chain.shaper.data.qpos[chain.shaper.scene.q_address][:6], chain.base_quat)
    assert np.linalg.norm(palm.palm_pose(command.arm_q)[:3] - wanted[:3]) < 1e-3
    assert command.ik_error < 1e-3


def test_the_elbow_goes_the_planned_way():
    """Two sets of joints have the palm in the same place; the one of the path is commanded, whatever was before."""
    chain, base = ArmChain(HAND), np.array([0.0, 1.0, 0.0, 0.0])
    palm = chain.forward(FR3_HOME[None])[0]
    other, _, _ = chain.solve(palm, FR3_HOME + [0.3, 0.0, -0.3, 0.0, 0.0, 0.0, 0.0], iterations=80)
    start = ArmKinematics(HAND).hand_vector(FR3_HOME, HAND.nominal, base, np.zeros(6))
    assert np.abs(other[0] - FR3_HOME).max() > 0.1
    for joints in (FR3_HOME, other[0]):
        shaper = CommandShaper(HAND, base, np.repeat(joints[None], 90, axis=0), PHYSICS, lead=1.0, wrist_lead=0.0)
        shaper.reset(start, FR3_HOME)
        for k in range(-30, 60):
            command = shaper.step(start, k)
        np.testing.assert_allclose(command.arm_q, joints, atol=3e-3)


def test_before_the_clip_the_arm_goes_from_where_it_is_to_the_first_planned_joints():
    path = FR3_HOME + np.outer([0.3, 0.4, 0.5], np.ones(7))
    shaper = CommandShaper(HAND, BASE, path, PHYSICS, lead=1.0, wrist_lead=0.0)
    shaper.reset(REST, FR3_HOME)
    planned = np.array([shaper.planned(k)[0] - FR3_HOME[0] for k in range(-20, 5)])
    assert planned[0] < 0.3 / 100 and (np.diff(planned[:21]) > 0).all() and np.diff(planned[:21]).max() < 0.03
    np.testing.assert_allclose(planned[20:], [0.3, 0.4, 0.5, 0.5, 0.5])


def test_no_joint_of_the_arm_is_commanded_faster_than_it_can_go():
    chain = CommandShaper(HAND, BASE, FR3_HOME + [[0.0] * 7, [0.5] * 7], PHYSICS, lead=1.0, wrist_lead=0.0)
    chain.reset(REST, FR3_HOME)
    fastest = [chain.step(REST, k).arm_qd for k in (0, 1, 2, 3)]
    assert (np.abs(fastest) <= chain.arm_velocity + 1e-9).all() and np.isclose(fastest[0], chain.arm_velocity).any()


def test_the_arm_rig_keeps_its_palm_where_the_shaper_has_it():
    """At up to 0.4 m/s and 2.7 m/s2: half a tick of lag in the velocities would be 2 mm, in accelerations 0.5 mm."""
    palm, base = ArmKinematics(HAND), np.array([0.0, 1.0, 0.0, 0.0])
    start = palm.hand_vector(FR3_HOME, HAND.nominal, base, np.zeros(6))
    swing = 0.06 * (1.0 - np.cos(2 * np.pi * np.arange(180) / 90))
    targets = start + swing[:, None] * np.r_[np.ones(3), 0.0, 0.0, 3.0, np.zeros(len(HAND.nominal))]
    path, _, _ = ArmChain(HAND).solve(pose_to_matrix(palm_poses(base, targets)), FR3_HOME)
    chain = CommandShaper(HAND, base, path, PHYSICS, lead=1.0, wrist_lead=0.0)
    chain.reset(start, FR3_HOME)
    world = EmbeddedWorld(arm_scene(HAND, None, PHYSICS))
    world.reset(np.concatenate([FR3_HOME, HAND.nominal]), None)
    error = []
    for k, target in enumerate(targets):
        command = chain.step(target, k)
        world.drive_arm(command.arm_q, command.arm_qd, command.arm_torque)
        world.step()
        error.append(np.linalg.norm(palm.palm_pose(world.joints()[0][:7])[:3] - chain.q[:3]))
    assert np.mean(error) < 4e-4 and np.max(error) < 8e-4


def test_the_twist_of_the_palm_is_what_its_pose_does():
    wrist, rates, dt = np.array([0.1, 0.2, 0.3, 0.4, -0.5, 0.6]), np.array([0.3, -0.2, 0.1, 1.0, -2.0, 0.5]), 1e-6
    base = np.array([0.5, 0.5, -0.5, 0.5])
    a, b = (wrist_to_palm(wrist + s * dt * rates, base) for s in (-1.0, 1.0))
    turn = single.log(single.multiply(b[3:], single.conjugate(a[3:]))) / (2 * dt)
    np.testing.assert_allclose(wrist_twist(wrist, rates, quat_to_matrix(base)), np.r_[rates[:3], turn], atol=1e-6)


def test_finger_commands_stay_within_the_joint_limits():
    chain = CommandShaper(HAND, BASE, FR3_HOME[None], PHYSICS, lead=10.0, wrist_lead=0.0)
    chain.reset(REST, FR3_HOME)
    target = np.concatenate([REST[:6], HAND.upper])
    for k in range(10):
        command = chain.step(target, k)
        assert (command.hand_q <= HAND.upper).all() and (command.hand_q >= HAND.lower).all()


def test_a_free_arm_follows_far_from_the_planned_posture_and_its_elbow_drifts_back():
    """Without a plan: three Newton steps from the home posture would not reach this far."""
    kinematics = ArmKinematics(HAND)
    start = kinematics.hand_vector(FR3_HOME, HAND.nominal, BASE, REST)
    shaper = CommandShaper(HAND, BASE, FR3_HOME[None], PHYSICS, 1.0, 0.0, free=True)
    elsewhere = FR3_HOME + [0.3, 0.0, -0.3, 0.0, 0.0, 0.0, 0.0]
    begin = kinematics.hand_vector(elsewhere, HAND.nominal, BASE, start)
    shaper.reset(begin, elsewhere)
    far = begin.copy()
    far[:3] = begin[:3] + [-0.15, 0.3, -0.2]
    for k in range(240):
        command = shaper.step(begin + min((k + 1) / 180, 1.0) * (far - begin), k)
        assert command.ik_error < 1e-3
    shaper.reset(begin, elsewhere)
    away = np.linalg.norm(elsewhere - FR3_HOME)
    for k in range(240):
        command = shaper.step(begin, k)
    assert np.linalg.norm(command.arm_q - FR3_HOME) < 0.95 * away and command.ik_error < 1e-3


def test_the_lead_of_a_training_is_that_of_the_run_and_another_one_is_refused():
    card = PolicyCard("p", "leap_right", ["a"], 60.0, [], "residual", "0" * 64, shaper_lead=0.7)
    assert shaper_lead(None, 0.4, "measured") == 0.4
    assert shaper_lead(replace(card, shaper_lead=None), 0.4, "measured") == 0.4
    assert shaper_lead(card, OWN_LEAD, "none") == 0.7 == shaper_lead(card, 0.7, "none")
    assert shaper_lead(None, OWN_LEAD, "none") == LEAD == shaper_lead(replace(card, shaper_lead=None), OWN_LEAD, "none")
    with pytest.raises(DexhotError, match=r"lead: 0\.7, not 1\)"):
        shaper_lead(card, LEAD, "none")
    with pytest.raises(
        DexhotError, match=r"p was trained .* \(lead: 0\.7, not 0\.4; shaper feedback: none, not measured\)"
    ):
        shaper_lead(card, 0.4, "measured")
