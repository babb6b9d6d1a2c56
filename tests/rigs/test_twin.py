"""The twins' time is the embedded world's."""

import time

import numpy as np
import pytest

from dexhot.rigs.embedded import EmbeddedWorld, install, uninstall
from dexhot.rigs.leap_twin import LeapTwin
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import arm_scene


@pytest.fixture
def twin():
    install(EmbeddedWorld(arm_scene(load_hand("leap_right"), None, load_physics())))
    made = LeapTwin()
    made.connect()
    yield made
    uninstall()


def ros_time() -> float:
    raise AssertionError("the loop must not spend time on reading ROS time, which a twin does not use")


def test_a_twin_has_the_time_of_its_world_and_asks_for_no_other(twin):
    twin.world.stamp = 4.0
    assert twin.time(ros_time) == 4.0
    began = time.monotonic() - 1.0
    twin.world.ticked = {4.0 + k / 60: began + k / 60 for k in range(10)}
    latency = twin.latency(4.0 + 6 / 60 + 1e-6, ros_time)
    assert 0.9 <= latency <= time.monotonic() - began - 6 / 60  # of tick 6: neither of the one before nor of the next
    assert twin.latency(3.9, ros_time) == np.inf
