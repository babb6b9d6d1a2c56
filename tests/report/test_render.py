"""Pictures: the ghost, the framing, the sheet."""

import mujoco
import numpy as np
import pytest

from dexhot.robots.arm import arm_hand_spec
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import load_setup
from dexhot.view.render import (
    GHOST_GROUP,
    GHOST_RGB,
    Painter,
    below,
    carried,
    contact_sheet,
    frame_motion,
    ghost_scene,
    is_ghost,
    motion,
    outline,
    pose_scene,
    sheet_frames,
)
from report_samples import box_asset, lift_reference, lift_rollout


@pytest.fixture
def setup(cache):
    box_asset()
    return load_setup(lift_reference())


def test_ghost_stands_where_the_reference_is(setup):
    rollout = lift_rollout()
    scene = ghost_scene(rollout.reference, setup, arm=False)
    data = mujoco.MjData(scene.model)
    pose_scene(scene, data, rollout, 30)
    assert data.body("ghost/object").xpos == pytest.approx(rollout.reference.object_pose[30, :3])
    assert data.body("object").xpos == pytest.approx(rollout.object_pose[30, :3])


def test_ghost_touches_nothing(setup):
    model = ghost_scene(lift_rollout().reference, setup, arm=False).model
    ghost = is_ghost(model)
    assert ghost.any() and not (model.geom_contype | model.geom_conaffinity)[ghost].any()


def test_the_arm_scene_carries_the_arm_and_the_ghost_hand(setup):
    model = ghost_scene(lift_rollout().reference, setup, arm=True).model
    names = {model.body(b).name for b in range(model.nbody)}
    assert {"fr3_link7", "palm", "ghost/palm", "ghost/object"} <= names
    assert (model.geom_group[is_ghost(model)] == GHOST_GROUP).any()


def test_the_camera_goes_along_only_where_the_object_is_carried_far(cache):
    rollout = lift_rollout()
    assert not carried(rollout).any()
    rollout.reference.object_pose[:, 1] = np.linspace(0, 0.8, len(rollout.q))
    np.testing.assert_allclose(carried(rollout)[:, 1], rollout.reference.object_pose[:, 1])
    assert not carried(rollout)[:, 2].any()  # not up: a lift shows


def test_an_object_thrown_away_does_not_widen_the_picture(cache):
    rollout = lift_rollout()
    rollout.object_pose[-1, 0] += 5.0
    assert np.abs(motion(rollout)[:, 0]).max() < 0.5


@pytest.mark.parametrize("azimuth", [0, 70, 200])
def test_every_point_of_the_motion_is_in_view(azimuth):
    points = motion(lift_rollout())
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation = azimuth, -20
    frame_motion(camera, points, aspect=4 / 3, margin=0.0)
    a, e = np.radians([camera.azimuth, camera.elevation])
    forward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([np.sin(a), -np.cos(a), 0])
    offset = points - (camera.lookat - camera.distance * forward)
    depth, slope = offset @ forward, np.tan(np.radians(45) / 2)
    assert (np.abs(offset @ right) <= depth * slope * 4 / 3 + 1e-9).all()
    assert (np.abs(offset @ np.cross(right, forward)) <= depth * slope + 1e-9).all()


def test_outline_draws_edges_and_leaves_the_rest():
    picture, thing = np.full((20, 20, 3), 200, np.uint8), np.zeros((20, 20), int)
    thing[5:15, 5:15] = 1
    drawn = outline(picture, thing, np.zeros_like(thing, bool)).astype(int)
    assert np.abs(drawn[5, 10] - GHOST_RGB).max() < 60
    assert (drawn[10, 10] == 200).all() and (drawn[0, 0] == 200).all()


def test_sheet_frames_are_spread_and_end_with_the_last():
    assert sheet_frames(lift_rollout(), 4) == [15, 30, 44, 59]


def test_painted_frames_show_the_motion(setup, tmp_path):
    with Painter(lift_rollout(), setup, 160, 120) as painter:
        first, last = painter.frame(0), painter.frame(59)
        assert first.shape == (120, 160, 3)
        assert (np.abs(first.astype(int) - last).max(axis=2) > 40).mean() > 0.01
        sheet = contact_sheet(painter, [0, 30, 59], tmp_path / "sheet.png", columns=2)
    from PIL import Image

    assert Image.open(sheet).size == (2 * 168 - 8, 2 * 128 - 8)


def test_the_object_is_in_the_picture(setup):
    with Painter(lift_rollout(), setup, 160, 120) as painter:
        painter.frame(30)
        bodies = painter._bodies(painter.solid)
        assert (bodies == painter.scene.model.body("object").id).sum() > 50


def test_a_demonstration_placed_before_the_arm_lies_well_on_the_table(setup):
    scene = ghost_scene(lift_rollout().reference, setup, arm=False)
    reach = 0.8  # m, as far as retargeting places a demonstration from the origin
    assert (scene.model.geom_size[scene.table_geom][:2] > reach + 0.2).all()


def test_the_bodies_below_the_palm_are_the_hand_without_the_arm():
    model = arm_hand_spec(load_hand("leap_right")).compile()
    names = {model.body(body).name for body in below(model, "palm")}
    assert "palm" in names and len(names) > 16
    assert not any("fr3" in name for name in names)
