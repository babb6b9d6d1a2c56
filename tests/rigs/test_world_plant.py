"""The fingers of a MuJoCo scene behind the servo bus."""

import time

import mujoco
import numpy as np
import pytest

from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.hardware.dynamixel.plant import Drive
from dexhot.hardware.leap.hand import LeapHand
from dexhot.hardware.leap.setup import HandSettings
from dexhot.rigs.world_plant import WorldPlant
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import floating_scene, reset


@pytest.fixture(params=["leap_right", "leap_left"])
def world(request):
    """(scene, data, plant) of a floating hand, fingers a little bent."""
    hand = load_hand(request.param)
    scene = floating_scene(hand, None, np.array([1.0, 0, 0, 0]), load_physics())
    data = mujoco.MjData(scene.model)
    q = np.concatenate([[0, 0, 0.4, 0, 0, 0], np.full(16, 0.2)])
    reset(scene, data, q, np.array([0, 0, 0, 1.0, 0, 0, 0]))
    return scene, data, WorldPlant(scene.model, data, joint_table(request.param))


def drive(target: np.ndarray, stiffness: float, limit: float) -> Drive:
    ones = np.ones(16)
    return Drive(target, stiffness * ones, 0.1 * ones, limit * ones, 0.93 * ones, 0.11 * ones)


def test_angles_are_the_motors(world):
    scene, _, plant = world
    table = joint_table(scene.hand.name)
    assert plant.angle == pytest.approx([j.to_motor(0.2) for j in table])


def test_servos_without_torque_do_not_pull(world):
    scene, data, plant = world
    plant.advance(0.0, drive(np.zeros(16), 0.0, 0.0))
    plant.exchange()
    mujoco.mj_step(scene.model, data, 50)
    plant.exchange()
    assert plant.torque == pytest.approx(0.0)
    assert plant.angle == pytest.approx(plant.sign * 0.2 + plant.zero, abs=0.05)


def test_torque_is_what_the_servo_may_give(world):
    scene, data, plant = world
    plant.advance(0.0, drive(plant.angle + 1.0, 3.0, 0.1))
    plant.exchange()
    mujoco.mj_step(scene.model, data)
    plant.exchange()
    assert np.abs(plant.torque).max() == pytest.approx(0.1)


def test_the_driver_moves_the_scenes_fingers(world):
    pytest.importorskip("dynamixel_sdk")
    scene, data, plant = world
    settings = HandSettings(slack=0.06, patience=1.0, watchdog=2.0, ramp=0.1)
    target = np.full(16, 0.3)
    with ServoBus(plant) as bus, LeapHand(scene.hand.name, bus.path, settings=settings, offsets=np.zeros(16)) as hand:
        hand.hold()
        end = time.monotonic() + 60
        while np.abs(hand.read().q - target).max() > 0.03:
            hand.write(target, np.zeros(16), np.zeros(16))
            mujoco.mj_step(scene.model, data, scene.physics.substeps)
            plant.exchange()
            assert time.monotonic() < end, hand.read().q
    assert data.qpos[plant.q_address] == pytest.approx(target, abs=0.04)
