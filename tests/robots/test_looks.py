"""What is seen of a robot: it has rounded edges, keeps its physics, and stays plain primitives in a URDF."""

import mujoco
import numpy as np
import pytest
import trimesh

from dexhot.geometry.poses import make_pose
from dexhot.robots.arm import arm_hand_spec
from dexhot.robots.looks import link_meshes, plain_shapes, shape_mesh
from dexhot.robots.model import Primitive
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.bodies import add_object, new_spec
from dexhot.simulation.physics import load_physics
from report_samples import box_asset

HERE = make_pose((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
L = Primitive(
    "hull", (), HERE, round=0.01, points=np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.04, 0], [0, 0, 0.02]], float)
)


def test_a_boxs_edges_are_rounded_within_its_size():
    mesh = trimesh.Trimesh(*shape_mesh(Primitive("box", (0.04, 0.03, 0.02), HERE, round=0.005)))
    assert mesh.is_watertight and mesh.extents == pytest.approx((0.04, 0.03, 0.02))
    assert 0.9 * 0.04 * 0.03 * 0.02 < mesh.volume < 0.99 * 0.04 * 0.03 * 0.02


def test_faces_point_outward():
    shape = Primitive("cylinder", (0.02, 0.05), HERE, round=0.004)
    assert trimesh.Trimesh(*shape_mesh(shape)).volume == pytest.approx(np.pi * 0.02**2 * 0.05, rel=0.06)


def test_a_link_is_one_mesh_per_colour():
    red, blue = (1, 0, 0, 1), (0, 0, 1, 1)
    shapes = [Primitive("box", (0.1, 0.1, 0.1), HERE, color) for color in (red, blue, red)]
    assert [color for color, _, _ in link_meshes(shapes)] == [red, blue]


def test_a_hull_becomes_boxes_that_keep_its_extent():
    boxes = plain_shapes(L)
    assert all(box.kind == "box" for box in boxes)
    low = np.min([box.pose[:3] - np.array(box.size) / 2 for box in boxes], axis=0)
    high = np.max([box.pose[:3] + np.array(box.size) / 2 for box in boxes], axis=0)
    assert (low[0], high[0]) == pytest.approx((-0.01, 0.11))
    assert boxes[0].size[1] > boxes[-1].size[1]  # it narrows, as the hull does


@pytest.mark.parametrize("name", ["leap_right", "leap_left", "six_motor_right"])
def test_the_detailed_robot_moves_as_the_plain_one_to_the_last_bit(name):
    hand = load_hand(name)
    states = []
    for detailed in (False, True):
        model = arm_hand_spec(hand, detailed).compile()
        data = mujoco.MjData(model)
        data.qvel[:] = np.linspace(-1, 1, model.nv)
        for _ in range(50):
            mujoco.mj_step(model, data)
        collides = (model.geom_contype | model.geom_conaffinity) > 0
        states.append((data.qpos, data.qvel, model.body_mass, model.body_inertia, model.geom_size[collides]))
    assert all(np.array_equal(plain, detailed) for plain, detailed in zip(*states))


def test_nothing_of_the_hand_has_the_objects_colour(cache):
    spec = new_spec(load_physics())
    add_object(spec, box_asset(), load_physics())
    orange = np.array(spec.geom("object_visual").rgba[:3])
    shapes = [shape for link in load_hand("leap_right").model.links.values() for shape in link.visual]
    assert all(np.linalg.norm(orange - shape.color[:3]) > 0.3 for shape in shapes)
