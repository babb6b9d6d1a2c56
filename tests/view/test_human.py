"""The human demonstration as it is drawn beside the robot."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.datasets.source_clip import human_motion
from dexhot.simulation.setup import load_setup
from dexhot.view.human import FINGER_RGB, HumanPainter, colour_of
from dexhot.view.render import Painter
from report_samples import box_asset, human_clip, lift_rollout


@pytest.fixture
def painters(cache):
    box_asset()
    rollout = lift_rollout()
    rollout = replace(rollout, reference=replace(rollout.reference, name="user/box_lift"))
    human = human_motion(rollout.reference, human_clip())
    setup = load_setup(rollout.reference)
    with Painter(rollout, setup, 160, 140, margin=0.03, beside=human.keypoints["right"]) as robot:
        person = HumanPainter(human, robot)
        yield robot, person, human
        person.close()


def test_hand_and_object_move(painters):
    _, person, _ = painters
    first, last = person.frame(0), person.frame(59)
    assert first.shape == (140, 160, 3)
    assert (np.abs(first.astype(int) - last).max(axis=2) > 40).mean() > 0.01


def test_the_hand_is_drawn(painters):
    _, person, human = painters
    with_hand = person.frame(30).astype(int)
    human.keypoints["right"] += (0.0, 0.0, 9.0)
    without = person.frame(30).astype(int)
    assert (np.abs(with_hand - without).max(axis=2) > 40).sum() > 100


def test_both_are_seen_by_one_camera(painters):
    robot, person, _ = painters
    robot.frame(0)
    person.frame(59)
    lookat = robot.camera.lookat.copy()
    robot.frame(59)
    np.testing.assert_array_equal(robot.camera.lookat, lookat)


def test_every_keypoint_is_in_the_picture(painters):
    robot, _, human = painters
    camera = robot.camera
    a, e = np.radians([camera.azimuth, camera.elevation])
    forward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([np.sin(a), -np.cos(a), 0])
    for t in range(60):
        robot.aim(t)
        offset = human.keypoints["right"][t] - (camera.lookat - camera.distance * forward)
        depth, slope = offset @ forward, np.tan(np.radians(45) / 2)
        assert (np.abs(offset @ right) <= depth * slope * 160 / 140 + 1e-9).all()
        assert (np.abs(offset @ np.cross(right, forward)) <= depth * slope + 1e-9).all()


def test_a_tip_has_the_colour_of_its_finger():
    assert [colour_of(tip) for tip in (4, 8, 12, 16, 20)] == list(FINGER_RGB)
