"""The embedded rig's camera: realsense2_camera's four topics, and pixels that lie where the camera info says."""

import time
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO
from dexhot.rigs.embedded import EmbeddedWorld
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.rig.rig_camera import HEIGHT, NAME, WIDTH, RigCamera
from dexhot.simulation.physics import load_physics
from dexhot.simulation.renderer import NoRendererError, new_renderer
from dexhot.simulation.scene import arm_scene


class Heard:
    """A node whose messages are kept, by topic."""

    def __init__(self) -> None:
        self.messages: dict[str, list] = {}
        self.warnings: dict[str, str] = {}
        self.p = SimpleNamespace(frame_prefix="")

    def advertise(self, msg_type, topic, qos):
        kept = self.messages.setdefault(topic, [])
        return SimpleNamespace(publish=kept.append, get_subscription_count=lambda: 1)

    def one_of_each(self) -> dict:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not all(self.messages.values()):
            time.sleep(0.02)
        return {topic: kept[0] for topic, kept in self.messages.items()}


@pytest.fixture
def world(lift_object, lift_reference) -> EmbeddedWorld:
    """The rig at home, the box on the table in the middle of what the camera sees."""
    hand = load_hand("leap_right")
    world = EmbeddedWorld(arm_scene(hand, lift_object, load_physics()))
    pose = lift_reference.object_pose[0].copy()
    pose[:2] = 0.55, 0.25
    world.reset(np.r_[FR3_HOME, hand.open], pose)
    return world


@pytest.fixture
def taken(world):
    """The first message of each topic."""
    try:
        new_renderer(world.scene.model, 64, 48).close()
    except NoRendererError as e:
        pytest.skip(str(e))
    node = Heard()
    camera = RigCamera(node, world, 30.0)
    camera.tick(12.5)
    found = node.one_of_each()
    camera.close()
    return found


def test_the_four_topics_carry_the_ticks_stamp(taken):
    assert set(taken) == {COLOR, COLOR_INFO, DEPTH, DEPTH_INFO}
    for message in taken.values():
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 500_000_000)
        assert (message.width, message.height) == (WIDTH, HEIGHT)


def test_the_object_is_in_the_pixel_and_at_the_depth_that_the_camera_info_gives(world, taken):
    mujoco.mj_forward(world.scene.model, world.data)
    camera, middle = world.data.camera(NAME), world.data.body("object").xpos
    right, up, back = camera.xmat.reshape(3, 3).T @ (middle - camera.xpos)
    fx, _, cx, _, fy, cy, *_ = taken[COLOR_INFO].k
    u, v = round(cx + fx * right / -back), round(cy - fy * up / -back)
    depth = np.frombuffer(taken[DEPTH].data.tobytes(), "<u2").reshape(HEIGHT, WIDTH)
    half = np.linalg.norm(np.ptp(world.scene.object.vertices, axis=0)) / 2
    assert -back - half < depth[v, u] / 1000 < -back
    red, _, blue = np.frombuffer(taken[COLOR].data.tobytes(), np.uint8).reshape(HEIGHT, WIDTH, 3)[v, u].astype(int)
    assert red > blue + 40  # the object is orange
    assert cx == (WIDTH - 1) / 2 and cy == (HEIGHT - 1) / 2  # of pixel centres at whole numbers
