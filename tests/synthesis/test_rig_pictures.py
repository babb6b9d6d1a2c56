"""The simulated camera of the rig: where it stands, and pixels that lie where its intrinsics say."""

import numpy as np
import pytest

from dexhot.geometry.meshes import surface_samples
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.simulation.physics import load_physics
from dexhot.simulation.renderer import NoRendererError
from dexhot.simulation.scene import arm_scene
from dexhot.simulation.setup import load_setup

pytest.importorskip("warp")
from dexhot.perception.robot_mask import RobotMask
from dexhot.synthesis.rig_pictures import RigPictures, _visible, rig_camera, rig_view
from dexhot.synthesis.view import look_at

CAMERA = rig_camera(320, 240)


@pytest.fixture(scope="module")
def placed(shipped):
    """Reference with the arm's path, its object, its hand, and the camera's place."""
    reference = shipped.reference
    setup = load_setup(reference)
    return reference, setup.asset, setup.hand, rig_view(reference, setup.hand, setup.asset)


def joints(reference, frame: int) -> np.ndarray:
    return np.concatenate([reference.arm_q[frame], reference.q[frame, 6:]])


def pictures(placed, noise: str, seed: int = 0) -> RigPictures:
    reference, asset, hand, view = placed
    scene = arm_scene(hand, asset, load_physics(), reference.table_height)
    try:
        return RigPictures(scene, CAMERA, view, noise, seed)
    except NoRendererError as e:
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def drawn(placed):
    """Colour, depth (m) and robot of the first frame, without noise, and of the middle."""
    made, found = pictures(placed, "none"), []
    for frame in (0, len(placed[0].q) // 2):
        color, depth = made.draw(joints(placed[0], frame), placed[0].object_pose[frame])
        found.append((color.copy(), depth * 1e-3))
    made.close()
    return found


def test_the_object_is_in_view_on_its_whole_path(placed):
    reference, asset, _, view = placed
    for pose in reference.object_pose[:: len(reference.q) // 8]:
        x = transform(inverse(view), transform(pose, asset.vertices))
        pixels = CAMERA.project(x)
        assert (x[:, 2] > 0.3).all() and (pixels > 0).all() and (pixels < [319, 239]).all()


def test_the_camera_stands_where_the_robot_hides_less_of_the_object_than_from_elsewhere(placed, drawn):
    """From the far side of the hand it would see nothing of the object when it is held."""
    reference, asset, hand, view = placed
    samples, normals = surface_samples(asset.vertices, asset.faces, 200)[:2]
    robot, frame = RobotMask(hand, CAMERA, view), len(reference.q) // 2
    shape = robot.points(joints(reference, frame))[None]

    def seen(camera: np.ndarray) -> float:
        pose = reference.object_pose[frame]
        surface, outward = transform(pose, samples)[None], (normals @ quat_to_matrix(pose[3:]).T)[None]
        return float(_visible(CAMERA, camera, robot.depth(shape, inverse(camera)), surface, outward)[0][0])

    centre = reference.object_pose[frame, :3]
    around = [
        seen(look_at(centre + 0.6 * np.array([np.cos(a) * 0.8, np.sin(a) * 0.8, 0.6]), centre))
        for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ]
    assert seen(view) > np.median(around)


def test_the_camera_does_not_stand_where_the_robot_comes_near_it(placed, monkeypatch):
    reference, asset, hand, view = placed
    depth = RobotMask.depth

    def near(robot, points, camera_T_world):
        drawn = depth(robot, points, camera_T_world)
        if np.allclose(camera_T_world, inverse(view)):
            drawn[-1, :3, :3] = 0.1  # of a link that comes along
        return drawn

    monkeypatch.setattr(RobotMask, "depth", near)
    assert not np.allclose(rig_view(reference, hand, asset), view)


def test_a_link_near_the_camera_hides_no_more_of_the_others_surroundings(placed, monkeypatch):
    """6 mm are 40 pixels of a link 5 cm away, and 3 of a hand at 0.6 m."""
    reference, _, hand, view = placed
    drawn = np.zeros((240, 320), np.float32)
    drawn[:, 200:], drawn[100:120, 40:60] = 0.05, 0.6
    monkeypatch.setattr(RobotMask, "depth", lambda *_: drawn[None])
    found = RobotMask(hand, CAMERA, view)(joints(reference, 0), np.zeros(drawn.shape, np.float32))
    rows, columns = np.nonzero(found[:, :120])
    assert 100 - rows.min() == 40 - columns.min() == columns.max() - 59 == 3
    assert 20 < 200 - np.flatnonzero(found[0]).min() < 50


def test_the_object_is_at_the_pixel_and_the_depth_that_the_intrinsics_give(placed, drawn):
    reference, asset, _, view = placed
    color, depth = drawn[0]
    x = transform(inverse(view), transform(reference.object_pose[0], asset.vertices))
    u, v = np.round(CAMERA.project(x.mean(axis=0))).astype(int)
    assert x[:, 2].min() - 0.002 < depth[v, u] < x[:, 2].max()
    red, _, blue = color[v, u].astype(int)
    assert red > blue + 40  # the object is orange


def test_the_robots_mask_is_where_the_robot_is_drawn(placed, drawn):
    """Depth of the mask's geometry against the renderer's, which draws the same primitives."""
    reference, _, hand, view = placed
    robot = RobotMask(hand, CAMERA, view)
    depth = drawn[1][1]
    mine = robot.depth(robot.points(joints(reference, len(reference.q) // 2))[None], robot.camera_T_world)[0]
    seen = (mine > 0) & (np.abs(mine - depth) < 0.004)
    assert (mine > 0).sum() > 1000
    assert seen.sum() > 0.85 * (mine > 0).sum()  # the rest is behind the object, or at a border


def test_noise_has_holes_and_is_repeated_by_its_seed(placed, drawn):
    reference = placed[0]
    depths = []
    for seed in (1, 1, 2):
        made = pictures(placed, "middle", seed)
        depths.append(made.draw(joints(reference, 0), reference.object_pose[0])[1])
        made.close()
    assert np.array_equal(depths[0], depths[1]) and not np.array_equal(depths[0], depths[2])
    ideal = drawn[0][1]
    known = (depths[0] > 0) & (ideal < 1.5)
    assert 0.01 < (depths[0][ideal < 1.5] == 0).mean() < 0.3
    error = np.abs(depths[0][known] * 1e-3 - ideal[known])
    assert 0.0005 < np.median(error) < 0.005
