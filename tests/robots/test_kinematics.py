"""Arm, floating wrist and hand: each has one kinematics, and it is MuJoCo's own of the shipped models and scenes."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from box_hand import box_hand
from dexhot.control.shaper import HandShaper
from dexhot.geometry.poses import make_pose, matrix_to_pose
from dexhot.geometry.rotations import quat_angle, rotation_error, rotvec_to_quat
from dexhot.geometry.single import rotation_error as single_rotation_error
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.paths import share_dir
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS
from dexhot.robots.kinematics.arm import ArmChain, ArmKinematics
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.kinematics.points import HandPoints
from dexhot.robots.kinematics.wrist import palm_poses, palm_to_wrist, wrist_angles, wrist_to_palm
from dexhot.robots.mjcf import VISUAL_GROUP
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import arm_scene, floating_scene

HAND = load_hand("leap_right")
BASE = rotvec_to_quat(np.array([0.4, -0.9, 0.3]))
RNG = np.random.default_rng(3)
ARM_Q = FR3_HOME + RNG.uniform(-0.4, 0.4, (6, 7))
HAND_Q = np.concatenate([RNG.uniform(-1.2, 1.2, (6, 6)), RNG.uniform(HAND.lower, HAND.upper, (6, 16))], axis=1)
ROOT = Path(__file__).parents[2] / "src"


def exported_palm(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World pose (7,) and Jacobian (6, 7) of the palm in the shipped MJCF of arm and hand."""
    model = mujoco.MjModel.from_xml_path(str(share_dir() / "urdf" / "fr3_leap_right" / "fr3_leap_right.xml"))
    data, palm = mujoco.MjData(model), model.body("palm").id
    data.qpos[[model.joint(name).qposadr[0] for name in FR3_JOINTS]] = q
    mujoco.mj_forward(model, data)
    jacobian = np.zeros((6, model.nv))
    mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], palm)
    columns = [model.joint(name).dofadr[0] for name in FR3_JOINTS]
    return np.concatenate([data.xpos[palm], data.xquat[palm]]), jacobian[:, columns]


def assert_same(pose: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(pose[..., :3], expected[..., :3], atol=1e-7)  # the file's digits
    assert quat_angle(pose[..., 3:], expected[..., 3:]).max() < 1e-5


@pytest.mark.parametrize("q", ARM_Q)
def test_the_arm_is_the_shipped_model_one_by_one_and_many_at_once(q):
    pose, jacobian = exported_palm(q)
    one, (many, jacobians) = ArmKinematics(HAND), ArmChain(HAND).forward(q[None])
    assert_same(one.palm_pose(q), pose)
    assert_same(matrix_to_pose(many[0]), pose)
    np.testing.assert_allclose(one.palm_jacobian(q), jacobian, atol=1e-6)
    np.testing.assert_allclose(jacobians[0], jacobian, atol=1e-6)


def test_the_arm_scene_has_the_palm_where_the_arm_has_it():
    scene, kinematics = arm_scene(HAND, None, load_physics()), ArmKinematics(HAND)
    data = mujoco.MjData(scene.model)
    scene.set_joints(data, np.concatenate([ARM_Q[0], HAND.nominal]))
    mujoco.mj_kinematics(scene.model, data)
    palm = data.body("palm")
    assert_same(make_pose(palm.xpos, palm.xquat), kinematics.palm_pose(ARM_Q[0]))


def test_the_inverse_kinematics_finds_poses_that_exist():
    chain = ArmChain(HAND)
    q = FR3_HOME + np.random.default_rng(0).uniform(-0.4, 0.4, (100, 7))
    wanted, _ = chain.forward(np.clip(q, chain.lower, chain.upper))
    found, position, rotation = chain.solve(wanted)
    assert (position < 1e-3).mean() > 0.98 and (rotation < 1e-2).mean() > 0.98
    np.testing.assert_allclose(
        np.linalg.norm((chain.forward(found)[0] - wanted)[:, :3, 3], axis=1), position, atol=1e-9
    )
    assert (found >= chain.lower).all() and (found <= chain.upper).all()


def test_near_joints_stay_near_where_the_palm_is_there_already():
    """So the elbow follows its planned motion."""
    chain = ArmChain(HAND)
    palms, _ = chain.forward(ARM_Q)
    found, _, _ = chain.solve(palms, ARM_Q, iterations=3)
    np.testing.assert_allclose(found, ARM_Q, atol=1e-9)


@pytest.mark.parametrize("away", [0.02, 0.5, 4.0], ids=["near", "longer than a step", "at the limits"])
def test_one_palm_is_solved_as_many_are(away):
    """The live loop has the arm's planner's joints, in a quarter of its time."""
    one, chain = ArmKinematics(HAND), ArmChain(HAND)
    palms, _ = chain.forward(ARM_Q)
    starts = np.clip(ARM_Q + np.random.default_rng(1).uniform(-away, away, ARM_Q.shape), chain.lower, chain.upper)
    many, errors, _ = chain.solve(palms, starts, iterations=3)
    for palm, start, q, error in zip(matrix_to_pose(palms), starts, many, errors):
        found, left = one.solve(palm, start, 3)
        np.testing.assert_allclose(found, q, atol=1e-9)
        assert left == pytest.approx(error, abs=1e-9)


@pytest.mark.parametrize("q", HAND_Q)
def test_wrist_joints_give_the_palm_of_the_floating_scene(q):
    scene = floating_scene(HAND, None, BASE, load_physics())
    data = mujoco.MjData(scene.model)
    scene.set_joints(data, q)
    mujoco.mj_kinematics(scene.model, data)
    palm = data.body("palm")
    pose = make_pose(palm.xpos, palm.xquat)
    assert_same(palm_poses(BASE, q), pose)
    assert_same(wrist_to_palm(q[:6], BASE), pose)
    np.testing.assert_allclose(palm_to_wrist(pose, BASE, q), q[:6], atol=1e-9)
    np.testing.assert_allclose(wrist_angles(BASE, pose[None, 3:])[0], q[3:6], atol=1e-9)
    model = HandModel(HAND, base_quat=BASE)
    model.move(q)
    np.testing.assert_allclose(model.points(), data.site_xpos[[scene.model.site(s).id for s in HAND.tip_sites]])
    np.testing.assert_allclose(model.palm_rotation(), palm.xmat.reshape(3, 3))


def test_the_jacobian_of_each_gap_is_mujocos_own():
    """Of a box in the fingers and the table, and of the fingers with each other."""
    model = HandModel(HAND, base_quat=BASE, asset=shape_asset(named_shape("parametric/box-56x70x91")), table=-0.02)
    kinds = set()
    for q in HAND_Q:
        q = np.concatenate([0.02 * q[:3], q[3:]])
        model.move(q)
        model.move(q, make_pose(model.points()[0], [1.0, 0, 0, 0]))
        gaps, contact, J = model.gaps(0.004), model.data.contact, np.empty((2, 3, model.model.nv))
        rows = np.flatnonzero(contact.dist < 0.004)
        for k, row in enumerate(rows):
            for one, body in zip(J, model.model.geom_bodyid[contact.geom[row]]):
                mujoco.mj_jac(model.model, model.data, one, None, contact.pos[row], body)
            expected = (contact.frame[row, :3] @ (J[1] - J[0]))[model.order]
            np.testing.assert_allclose(gaps.jacobian[k], expected, atol=1e-12)
        kinds |= set(gaps.kind.tolist())
    assert kinds == {1, 2, 4}  # hand, object and table


def test_palm_kinematics_unwraps_near_the_reference():
    palm = ArmKinematics(HAND)
    near = np.array([0.0, 0.0, 0.0, 2 * np.pi, 0.0, 2 * np.pi])
    q = palm.hand_vector(FR3_HOME, HAND.nominal, palm.palm_pose(FR3_HOME)[3:], near)
    np.testing.assert_allclose(q[3:6], near[3:6], atol=1e-9)


def test_the_rotation_error_of_many_is_that_of_one():
    wanted, actual = (ArmChain(HAND).forward(q)[0][:, :3, :3] for q in (ARM_Q, ARM_Q[::-1]))
    expected = [single_rotation_error(a, b) for a, b in zip(wanted, actual)]
    np.testing.assert_allclose(rotation_error(wanted, actual), expected, atol=1e-12)


@pytest.mark.parametrize("formula", ["mj_jac", "xyz_angles_to_quat(", "quat_to_xyz_angles(", "WRIST_BODIES ="])
def test_no_formula_of_kinematics_has_a_second_home(formula):
    """Jacobians and the wrist's angles are computed in robots/kinematics, from the functions of geometry."""
    homes = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if formula in path.read_text()}
    allowed = ("dexhot/robots/kinematics/", "dexhot/geometry/rotations.py")
    assert homes and not {home for home in homes if not home.startswith(allowed)}


def test_kinematics_and_the_shaper_have_no_looks():
    """A model that nothing draws: the looks are two thirds of its geoms, and of the time to build it."""
    models = [ArmKinematics(HAND).model, HandShaper(HAND, BASE, load_physics()).scene.model]
    for model in models:
        assert VISUAL_GROUP not in model.geom_group


@pytest.mark.parametrize("name", ["leap_right", "boxes"])
def test_the_points_for_state_estimation_have_the_jacobian_of_their_differences(name, tmp_path):
    """Also of a hand whose joints follow each other."""
    hand = HAND if name == "leap_right" else load_hand(box_hand(tmp_path))
    points, step = HandPoints(hand), 1e-6
    q = np.concatenate([ARM_Q[0], 0.4 * hand.lower + 0.6 * hand.upper])
    found, J = points.linearised(q)
    np.testing.assert_array_equal(found, points(q))
    numeric = [(points(q + step * e) - points(q - step * e)).ravel() / (2 * step) for e in np.eye(len(q))]
    np.testing.assert_allclose(J, np.transpose(numeric), atol=1e-7)
