import numpy as np
import pytest

from dexhot.control.shaper import CommandShaper, HandShaper, measure_lag
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.rigs.embedded import EmbeddedWorld
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.kinematics.wrist import wrist_to_palm, wrist_twist
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
    target[10] += 0.5
    q, _ = shaper.step(target)
    assert 0.0 < q[10] - REST[10] < 0.25
    for _ in range(60):
        q, _ = shaper.step(target)
    assert abs(q[10] - target[10]) < 0.01


def test_the_lag_is_about_kv_over_kp():
    assert 0.03 < measure_lag(HAND, PHYSICS) < 0.06


def test_the_lead_takes_the_lag_away():
    assert abs(measure_lag(HAND, PHYSICS, lead=0.05)) < 0.01


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
    chain = CommandShaper(HAND, np.array([0.0, 1.0, 0.0, 0.0]), PHYSICS, lead=0.05, wrist_lead=0.0)
    chain.reset(start, FR3_HOME)
    target = start.copy()
    for _ in range(60):
        target[2] -= 0.001
        command = chain.step(target)
    wanted = wrist_to_palm(chain.shaper.data.qpos[chain.shaper.scene.q_address][:6], chain.base_quat)
    assert np.linalg.norm(palm.palm_pose(command.arm_q)[:3] - wanted[:3]) < 1e-3
    assert command.ik_error < 1e-3


def test_the_arm_rig_keeps_its_palm_where_the_shaper_has_it():
    """At up to 0.65 m/s and 4 m/s2: half a tick of lag in the velocities would be 3 mm, in the accelerations 1 mm."""
    palm, base = ArmKinematics(HAND), np.array([0.0, 1.0, 0.0, 0.0])
    start = palm.hand_vector(FR3_HOME, HAND.nominal, base, np.zeros(6))
    chain = CommandShaper(HAND, base, PHYSICS, lead=0.05, wrist_lead=0.0)
    chain.reset(start, FR3_HOME)
    world = EmbeddedWorld(arm_scene(HAND, None, PHYSICS))
    world.reset(np.concatenate([FR3_HOME, HAND.nominal]), None)
    error = []
    for k in range(120):
        swing = 0.06 * (1.0 - np.cos(2 * np.pi * k / 60))
        command = chain.step(start + np.r_[[swing] * 3, 0.0, 0.0, 3 * swing, np.zeros(len(HAND.nominal))])
        world.drive_arm(command.arm_q, command.arm_qd, command.arm_torque)
        world.step()
        error.append(np.linalg.norm(palm.palm_pose(world.joints()[0][:7])[:3] - chain.q[:3]))
    assert np.mean(error) < 6e-4 and np.max(error) < 4e-3


def test_the_twist_of_the_palm_is_what_its_pose_does():
    wrist, rates, dt = np.array([0.1, 0.2, 0.3, 0.4, -0.5, 0.6]), np.array([0.3, -0.2, 0.1, 1.0, -2.0, 0.5]), 1e-6
    base = np.array([0.5, 0.5, -0.5, 0.5])
    a, b = (wrist_to_palm(wrist + s * dt * rates, base) for s in (-1.0, 1.0))
    turn = single.log(single.multiply(b[3:], single.conjugate(a[3:]))) / (2 * dt)
    np.testing.assert_allclose(wrist_twist(wrist, rates, quat_to_matrix(base)), np.r_[rates[:3], turn], atol=1e-6)


def test_finger_commands_stay_within_the_joint_limits():
    chain = CommandShaper(HAND, BASE, PHYSICS, lead=0.5, wrist_lead=0.0)
    chain.reset(REST, FR3_HOME)
    target = np.concatenate([REST[:6], HAND.upper])
    for _ in range(10):
        command = chain.step(target)
        assert (command.hand_q <= HAND.upper).all() and (command.hand_q >= HAND.lower).all()
