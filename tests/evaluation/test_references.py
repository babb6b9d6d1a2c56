"""References described and disturbed: contact maps, noise, unreasonable states."""

from dataclasses import replace
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.evaluation.references import (
    JUMP,
    JUMP_FRAMES,
    JUMP_TURN,
    JUMPS,
    KINDS,
    OBJECT,
    _geom_mesh,
    contact_map,
    difficulty,
    disturbed,
    hand_points,
    reference_quality,
)
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.geometry.sdf import ConvexUnion
from dexhot.rollouts.floating import floating_simulator


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def test_points_are_spread_over_every_link_of_the_hand(simulator):
    geoms, points = hand_points(simulator.scene)
    assert len(geoms) == len(points) == 1000 and set(geoms) <= set(simulator.scene.hand_geoms)
    assert len(set(geoms)) > 0.8 * len(simulator.scene.hand_geoms)
    reach = simulator.scene.contact_model.geom_rbound[geoms]
    assert (np.linalg.norm(points, axis=1) < reach * 1.01).all()


def test_a_shapes_surface_is_the_simulators():
    shapes = {"box": "0.01 0.02 0.03", "sphere": "0.01", "cylinder": "0.01 0.03", "capsule": "0.01 0.03"}
    geoms = "".join(f'<geom type="{kind}" size="{size}"/>' for kind, size in shapes.items())
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geoms}</worldbody></mujoco>")
    halves = [[0.01, 0.02, 0.03], [0.01] * 3, [0.01, 0.01, 0.03], [0.01, 0.01, 0.04]]
    for geom, half in enumerate(halves):
        np.testing.assert_allclose(_geom_mesh(model, geom).bounds, [-np.array(half), half], atol=2e-4)


def test_points_within_5_mm_touch_where_the_links_are(lift_reference, lift_setup, simulator):
    scene, t = simulator.scene, lift_reference.grasp_start + 10
    q, pose = lift_reference.q[t : t + 1], lift_reference.object_pose[t : t + 1]
    found = contact_map(replace(lift_reference, q=q, object_pose=pose), lift_setup, scene)[0]
    geoms, local = hand_points(scene)
    data, world, quat = mujoco.MjData(scene.contact_model), np.empty_like(local), np.empty(4)
    scene.set_joints(data, q[0])
    mujoco.mj_kinematics(scene.contact_model, data)
    for k, geom in enumerate(geoms):
        mujoco.mju_mat2Quat(quat, data.geom_xmat[geom])
        mujoco.mju_rotVecQuat(world[k], local[k], quat)
    near = ConvexUnion(lift_setup.asset.pieces).distance(transform(inverse(pose[0]), world + data.geom_xpos[geoms]))[0]
    np.testing.assert_array_equal(found, near < 0.005)


def test_the_hand_touches_the_object_while_it_is_lifted(lift_reference, lift_setup, simulator):
    contact = contact_map(lift_reference, lift_setup, simulator.scene)
    held = slice(lift_reference.grasp_start + 5, lift_reference.grasp_end - 5)
    assert not contact[0].any() and contact[held].any(axis=1).all()
    found = difficulty(lift_reference, lift_setup, simulator)
    assert found["v_contact"] > 0 and found["s_smooth"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbed_reference_begins_as_the_clip_is_within_limits_and_always_the_same(
    lift_reference, lift_setup, simulator, kind
):
    found = disturbed(lift_reference, lift_setup.hand, kind)
    found.validate()
    for name in ("q", "target", "object_pose"):
        np.testing.assert_array_equal(getattr(found, name)[0], getattr(lift_reference, name)[0])
        assert not np.array_equal(getattr(found, name), getattr(lift_reference, name))
        np.testing.assert_array_equal(
            getattr(found, name), getattr(disturbed(lift_reference, lift_setup.hand, kind), name)
        )
    assert (found.q[:, 6:] >= lift_setup.hand.lower).all() and (found.q[:, 6:] <= lift_setup.hand.upper).all()
    assert reference_quality(found, simulator) > 2 * reference_quality(lift_reference, simulator)


def test_noise_is_in_every_frame_and_jumps_are_short(lift_reference, lift_setup):
    noisy, jumping = (disturbed(lift_reference, lift_setup.hand, kind) for kind in KINDS)
    assert noisy.name == f"{lift_reference.name} (noisy)"
    hand = (noisy.q - lift_reference.q)[1:]
    for rows, deviation in ((hand[:, :3], 0.003), (hand[:, 3:6], 0.03), (hand[:, 6:], 0.03)):
        assert rows.std() == pytest.approx(deviation, rel=0.4)
        assert np.abs(np.diff(rows, axis=0)).mean() < 0.3 * deviation  # as an estimator's, from frame to frame
    off = noisy.object_pose[:, :3] - lift_reference.object_pose[:, :3]
    assert off[1:].std() == pytest.approx(OBJECT, rel=0.3) and (np.abs(off[1:]).max(axis=1) > 0).all()
    off = np.linalg.norm(jumping.object_pose[:, :3] - lift_reference.object_pose[:, :3], axis=1)
    turns = quat_angle(jumping.object_pose[:, 3:], lift_reference.object_pose[:, 3:])
    np.testing.assert_array_equal(np.isclose(turns, JUMP_TURN), np.isclose(off, JUMP))
    assert np.isclose(off, JUMP).sum() == JUMPS * JUMP_FRAMES and np.isclose(off, 0).sum() == len(off) - 18


def test_hand_and_object_jump_each_by_itself(lift_reference, lift_setup):
    found = disturbed(lift_reference, lift_setup.hand, "unreasonable")
    hand, thing = found.q[:, :3] - lift_reference.q[:, :3], (found.object_pose - lift_reference.object_pose)[:, :3]
    jumps = np.unique(np.round(np.concatenate([hand, thing]), 6), axis=0)
    assert len(jumps) == 2 * JUMPS + 1  # and none


def test_the_quality_has_the_references_penetration(lift_reference):
    def quality_of(depth):
        contacts = SimpleNamespace(penetration=np.full(len(lift_reference.q), depth))
        inside = SimpleNamespace(initial_state=lambda q, pose: q, contacts=lambda states: contacts)
        return reference_quality(lift_reference, inside)

    assert quality_of(0.3) == pytest.approx(quality_of(0.0) + 0.1)


def test_a_disturbed_reference_has_no_arm_path(lift_reference, lift_setup):
    placed = replace(lift_reference, arm_q=np.zeros((len(lift_reference.q), 7)))
    assert not len(disturbed(placed, lift_setup.hand, "noisy").arm_q)


def test_a_disturbed_hand_keeps_its_limits(lift_reference, lift_setup):
    q = lift_reference.q.copy()
    q[:, 6:] = lift_setup.hand.upper
    found = disturbed(replace(lift_reference, q=q, target=q), lift_setup.hand, "noisy")
    assert found.q[:, 6:].max(axis=0) == pytest.approx(lift_setup.hand.upper)


def test_an_unknown_kind_is_named(lift_reference, lift_setup):
    with pytest.raises(NotFoundError, match="noisy"):
        disturbed(lift_reference, lift_setup.hand, "loud")
