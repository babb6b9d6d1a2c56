"""Finger servos in MuJoCo and on the simulated bus: the same law, the torque-speed line, the hold of a grip."""

import mujoco
import numpy as np
import pytest

from dexhot.hardware.dynamixel.plant import Drive
from dexhot.hardware.dynamixel.registers import FULL, MODES
from dexhot.hardware.dynamixel.servo import SimulatedServo
from dexhot.rigs.wire_world import wire_scene
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import arm_scene, floating_scene, perturbed, reset

HAND = load_hand("leap_right")
PHYSICS = load_physics()
JOINT = HAND.joint_names.index("index_pip")


@pytest.fixture(scope="module")
def scene():
    return floating_scene(HAND, None, [1.0, 0, 0, 0], PHYSICS)


def torque(scene, target: float, speed: float, model=None) -> float:
    """N m of the servo of index_pip at 0.5 rad, moving at `speed` towards 0.5 + `target`."""
    model, q, qd = model or scene.model, np.r_[0, 0, 0.5, 0, 0, 0, HAND.nominal], np.zeros(22)
    q[6 + JOINT], qd[6 + JOINT] = 0.5, speed
    data = mujoco.MjData(model)
    scene.set_joints(data, q, qd)
    data.ctrl[:] = q
    data.ctrl[6 + JOINT] = 0.5 + target
    mujoco.mj_forward(model, data)
    return float(data.actuator("index_pip").force[0])


def test_below_its_limits_it_is_a_spring_and_a_damper(scene):
    fingers = PHYSICS.finger(HAND)
    assert torque(scene, 0.05, 0.2) == pytest.approx(0.05 * fingers.kp[JOINT] - 0.2 * fingers.kv[JOINT])


@pytest.mark.parametrize("speed", [0.0, 3.0, 5.0, 6.0, 7.0, 8.0, 8.482])
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_the_torque_falls_on_the_line_to_zero_at_the_no_load_speed(scene, speed, way):
    motor = PHYSICS.finger(HAND).motor
    line = motor.stall_torque * (1.0 - speed / motor.no_load_speed)
    found = torque(scene, way * 1.3 if way > 0 else -0.9, way * speed)
    bound = min(0.2842, line)
    wanted = PHYSICS.finger(HAND).kp[JOINT] * (1.3 if way > 0 else 0.9) - PHYSICS.finger(HAND).kv[JOINT] * speed
    assert way * found == pytest.approx(min(bound, wanted), abs=1e-3)


def test_a_free_finger_is_no_faster_than_its_motor(scene):
    data = mujoco.MjData(scene.model)
    q = np.r_[0, 0, 0.5, 0, 0, 0, HAND.open]
    reset(scene, data, q)
    data.ctrl[6 + JOINT] = HAND.upper[JOINT]
    fastest = 0.0
    for _ in range(240):
        mujoco.mj_step(scene.model, data)
        fastest = max(fastest, float(data.qvel[scene.v_address[6 + JOINT]]))
    assert 4.0 < fastest < 8.9


def test_the_simulated_bus_has_the_same_law(scene):
    """One servo with the registers of the driver's defaults, and MuJoCo's actuator, at many states."""
    servo = SimulatedServo(JOINT, FULL, 4_000_000)
    servo.put("operating_mode", MODES["current_based_position"])
    servo.put("position_p_gain", 600)
    servo.put("position_d_gain", 200)
    servo.put("goal_current", 550)
    servo.put("torque_enable", 1)
    drive = Drive(*np.array([servo.drive()]).T)
    for target, speed in [(0.05, 0.2), (1.3, 0.0), (1.3, 7.0), (-0.9, -8.0), (0.0, 1.0), (0.5, -4.0)]:
        drive.target[:] = 0.5 + target
        assert drive.torque(np.array([0.5]), np.array([speed]))[0] == pytest.approx(
            torque(scene, target, speed), abs=2e-3
        )


def test_a_profile_by_numbers_has_no_line():
    old = floating_scene(HAND, None, [1.0, 0, 0, 0], load_physics(profile="dextrack"))
    assert torque(old, 1.3, 8.0) == pytest.approx(0.95)


@pytest.mark.parametrize("profile", ["leap", "dextrack"])
def test_a_weaker_gain_is_a_softer_servo(profile, lift):
    scene = floating_scene(HAND, lift[1], [1.0, 0, 0, 0], load_physics(profile=profile))
    soft = torque(scene, 0.02, 0.1, perturbed(scene, gain=0.85))
    assert soft == pytest.approx(0.85 * torque(scene, 0.02, 0.1))


def test_a_servo_grips_at_its_current_limit_for_a_minute():
    """Neither overload nor heat switches it off; the supervisor is asked in tests/safety."""
    servo = SimulatedServo(0, FULL, 4_000_000)
    servo.put("operating_mode", MODES["current_based_position"])
    servo.put("goal_current", 550)
    servo.put("torque_enable", 1)
    servo.put("shutdown", 0b110100)
    for _ in range(6000):
        servo.sense(0.0, 0.0, 0.55 * FULL.motor.torque_constant)
        servo.due(0.01)
        servo.housekeeping(silence=0.0)
    assert servo.on and servo.error == 0 and servo.temperature < 60.0


WORN_SCENES = {
    "floating": lambda asset: floating_scene(HAND, None, [1.0, 0, 0, 0], PHYSICS),
    "embedded": lambda asset: arm_scene(HAND, None, PHYSICS),
    "wire": lambda asset: wire_scene(HAND, asset, PHYSICS),
}


@pytest.mark.parametrize("kind", WORN_SCENES)
def test_every_scene_has_the_profile_s_friction_and_backlash(kind, lift, worn_servos):
    model = WORN_SCENES[kind](lift[1]).model
    for name in HAND.joint_names:
        assert model.joint(name).frictionloss == pytest.approx([0.02])
        assert model.joint(f"{name}/play").range == pytest.approx([-0.01, 0.01])


@pytest.mark.parametrize("kind", WORN_SCENES)
def test_new_servos_have_no_play(kind, lift):
    model = WORN_SCENES[kind](lift[1]).model
    names = [model.joint(j).name for j in range(model.njnt)]
    assert not [name for name in names if name.endswith("/play")] and model.dof_frictionloss.max() == 0.0


def test_backlash_lets_a_loaded_finger_give_way_unseen_by_its_encoder(worn_servos):
    """Pushed at its tip from either side, the finger is 0.01 rad off the horn that the encoder measures."""
    scene = WORN_SCENES["floating"](None)
    data, q = mujoco.MjData(scene.model), np.r_[0, 0, 0.5, 0, 0, 0, HAND.nominal]
    reset(scene, data, q)
    horn, finger = (data.joint(name) for name in ("index_pip", "index_pip/play"))
    for torque in (0.05, -0.05):
        horn.qfrc_applied[:] = finger.qfrc_applied[:] = torque
        mujoco.mj_step(scene.model, data, 120)
        servo = float(data.actuator("index_pip").force[0])
        assert finger.qpos[0] == pytest.approx(np.sign(torque) * 0.01, abs=3e-4)
        assert abs(servo + torque) <= 0.0205 and abs(finger.qvel[0]) < 0.02  # friction may carry a part of the load
