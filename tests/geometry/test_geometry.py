"""Rotations and poses: the batch formulas against SciPy, and the single ones against the batch ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexhot.geometry import poses, rotations, single

RNG = np.random.default_rng(0)
QUATS = RNG.normal(size=(20, 4))
QUATS /= np.linalg.norm(QUATS, axis=1, keepdims=True)
VECTORS = RNG.normal(size=(20, 3))


def scipy(q: np.ndarray) -> Rotation:
    return Rotation.from_quat(rotations.to_xyzw(q))


def same_rotation(a, b) -> None:
    np.testing.assert_allclose(rotations.quat_angle(np.asarray(a), np.asarray(b)), 0.0, atol=1e-9)


def test_batched_products_and_turns_are_scipys():
    a, b = QUATS[:10], QUATS[10:]
    same_rotation(rotations.quat_multiply(a, b), rotations.from_xyzw((scipy(a) * scipy(b)).as_quat()))
    np.testing.assert_allclose(rotations.quat_rotate(QUATS, VECTORS), scipy(QUATS).apply(VECTORS), atol=1e-12)
    np.testing.assert_allclose(rotations.quat_to_matrix(QUATS), scipy(QUATS).as_matrix(), atol=1e-12)


def test_a_product_with_the_conjugate_is_the_identity():
    product = rotations.quat_multiply(QUATS, rotations.quat_conjugate(QUATS))
    np.testing.assert_allclose(product, np.tile([1.0, 0, 0, 0], (20, 1)), atol=1e-12)


def test_order_of_the_quaternions_parts():
    np.testing.assert_array_equal(rotations.to_xyzw([1, 2, 3, 4]), [2, 3, 4, 1])
    np.testing.assert_array_equal(rotations.from_xyzw([2, 3, 4, 1]), [1, 2, 3, 4])


def test_matrices_become_quaternions_of_positive_w():
    back = rotations.matrix_to_quat(rotations.quat_to_matrix(QUATS.reshape(4, 5, 4)))
    assert back.shape == (4, 5, 4) and (back[..., 0] >= 0).all()
    same_rotation(back.reshape(-1, 4), QUATS)


def test_rotation_vectors_there_and_back_in_any_batch_shape():
    vectors = 0.5 * VECTORS.reshape(4, 5, 3)
    quats = rotations.rotvec_to_quat(vectors)
    assert quats.shape == (4, 5, 4)
    np.testing.assert_allclose(rotations.quat_to_rotvec(quats), vectors, atol=1e-12)


def test_xyz_angles_are_rx_ry_rz_and_unwrapped():
    rx, ry, rz = (rotations.rotvec_to_quat(v) for v in np.diag([0.3, -0.4, 0.5]))
    product = rotations.quat_multiply(rotations.quat_multiply(rx, ry), rz)
    same_rotation(rotations.xyz_angles_to_quat([0.3, -0.4, 0.5]), product)
    turning = np.stack([np.linspace(0, 7, 50), np.zeros(50), np.linspace(0, -9, 50)], axis=1)
    back = rotations.quat_to_xyz_angles(rotations.xyz_angles_to_quat(turning))
    np.testing.assert_allclose(back, turning, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, np.pi / 2, np.pi - 1e-6, np.pi])
def test_angle_between_two_rotations(angle):
    a = QUATS[3]
    b = rotations.quat_multiply(a, rotations.rotvec_to_quat([0, angle, 0]))
    assert rotations.quat_angle(a, b) == pytest.approx(angle, abs=1e-12)
    assert rotations.quat_angle(a, -b) == pytest.approx(angle, abs=1e-12)


def test_slerp_is_half_way_in_between_and_the_mean_is_too():
    pair = np.stack([rotations.rotvec_to_quat([0, 0, 0.2]), rotations.rotvec_to_quat([0, 0, 0.8])])
    middle = rotations.rotvec_to_quat([0, 0, 0.5])
    same_rotation(rotations.slerp([0.0, 1.0], pair, [0.5])[0], middle)
    same_rotation(rotations.mean_quat(pair), middle)


def test_single_rotations_are_the_batched_ones():
    for q, p, v in zip(QUATS[:10], QUATS[10:], VECTORS):
        same_rotation(single.multiply(q, p), rotations.quat_multiply(q, p))
        np.testing.assert_allclose(single.matrix(q), rotations.quat_to_matrix(q), atol=1e-12)
        np.testing.assert_allclose(single.rotate(q, v), rotations.quat_rotate(q, v), atol=1e-12)
        same_rotation(single.exp(v), rotations.rotvec_to_quat(v))
        np.testing.assert_allclose(single.normalise(3.0 * q), q, atol=1e-12)
        same_rotation(single.from_xyz_angles(v), rotations.xyz_angles_to_quat(v))
        same_rotation(single.from_matrix(rotations.quat_to_matrix(q)), q)


@pytest.mark.parametrize("axis", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)])
def test_a_half_turns_matrix_has_its_quaternion(axis):
    np.testing.assert_allclose(single.from_matrix(2 * np.outer(axis, axis) - np.eye(3)), [0.0, *axis], atol=1e-12)


def test_single_product_is_exact_and_not_only_up_to_sign():
    for q, p in zip(QUATS[:10], QUATS[10:]):
        np.testing.assert_allclose(single.multiply(q, p), rotations.quat_multiply(q, p), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-10, 1e-6, 9e-5, 1e-3, 0.5, 3.0, np.pi - 1e-9])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_single_log_undoes_exp_the_shorter_way_round(angle, sign):
    v = angle * np.array([2.0, -1.0, 2.0]) / 3.0
    q = np.multiply(sign, single.exp(v))  # q and -q are one rotation
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(single.log(q), v, rtol=1e-9, atol=1e-14)


def test_a_turn_beyond_half_a_round_is_logged_as_the_shorter_one_back():
    v = np.array([0.0, 0.0, 1.5 * np.pi])
    np.testing.assert_allclose(single.log(single.exp(v)), [0, 0, -0.5 * np.pi], atol=1e-12)


@pytest.mark.parametrize("rounds", [0, 1, -2])
def test_xyz_angles_stay_near_where_they_were(rounds):
    angles = np.array([0.4, -0.9, 1.2])
    near = angles + 2 * np.pi * rounds * np.array([1, 0, -1]) + 0.3
    found = single.to_xyz_angles(single.from_xyz_angles(angles), near)
    np.testing.assert_allclose(found, angles + 2 * np.pi * rounds * np.array([1, 0, -1]), atol=1e-9)


@pytest.mark.parametrize("y", [np.pi / 2, -np.pi / 2])
def test_xyz_angles_at_gimbal_lock_are_finite(y):
    q = np.array(single.from_xyz_angles([0.0, y, 0.0])) * (1.0 + 1e-12)
    assert single.to_xyz_angles(q)[1] == pytest.approx(y, abs=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-4, 1.0, 2.5, np.pi - 1e-4])
def test_rotation_error_turns_the_actual_into_the_wanted(angle):
    turn = angle * np.array([2.0, -1.0, 2.0]) / 3.0
    actual = rotations.quat_to_matrix(QUATS[0])
    wanted = rotations.quat_to_matrix(rotations.rotvec_to_quat(turn)) @ actual
    np.testing.assert_allclose(single.rotation_error(wanted, actual), turn, rtol=1e-6, atol=1e-13)


def test_poses_are_homogeneous_matrices():
    a, b = poses.make_pose(VECTORS[:10], QUATS[:10]), poses.make_pose(VECTORS[10:], QUATS[10:])
    A, B = poses.pose_to_matrix(a), poses.pose_to_matrix(b)
    np.testing.assert_array_equal(A[:, 3], np.tile([0, 0, 0, 1.0], (10, 1)))
    np.testing.assert_allclose(poses.pose_to_matrix(poses.compose(a, b)), A @ B, atol=1e-12)
    np.testing.assert_allclose(poses.pose_to_matrix(poses.inverse(a)), np.linalg.inv(A), atol=1e-12)
    points = np.einsum("nij,nj->ni", A[:, :3, :3], VECTORS[5:15]) + A[:, :3, 3]
    np.testing.assert_allclose(poses.transform(a, VECTORS[5:15]), points, atol=1e-12)
    np.testing.assert_allclose(poses.pose_to_matrix(poses.matrix_to_pose(A)), A, atol=1e-12)


def test_one_position_serves_many_rotations_and_one_rotation_many_positions():
    made = poses.make_pose([1.0, 2.0, 3.0], QUATS)
    np.testing.assert_array_equal(made[:, :3], np.tile([1.0, 2.0, 3.0], (20, 1)))
    np.testing.assert_array_equal(made[:, 3:], QUATS)
    np.testing.assert_array_equal(poses.make_pose(VECTORS, QUATS[0])[:, 3:], np.tile(QUATS[0], (20, 1)))


def test_the_lowest_point_is_that_of_the_turned_body():
    rod = np.array([[0.0, 0, 0.1], [0.0, 0, -0.3]])
    upright, lying = poses.IDENTITY.copy(), poses.make_pose([0, 0, 1.0], rotations.rotvec_to_quat([np.pi / 2, 0, 0]))
    np.testing.assert_allclose(poses.lowest(np.stack([upright, lying]), rod), [-0.3, 1.0], atol=1e-12)
