import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.geometry import rotations, single
from dexhot.tracking.object_filter import FilterOptions, ObjectFilter

DT = 1 / 60
START = np.array([0.4, 0.1, 0.05, 1.0, 0.0, 0.0, 0.0])


def moving(t: float, v=(0.2, -0.1, 0.3), w=(0.5, -1.0, 2.0)) -> np.ndarray:
    """Constant velocity and angular velocity from START."""
    return np.concatenate([START[:3] + np.multiply(v, t), single.exp(np.multiply(w, t))])


def test_velocities_of_a_steady_motion_are_found():
    f = ObjectFilter()
    for k in range(60):
        assert f.update(k * DT, moving(k * DT))
    np.testing.assert_allclose(f.state().twist, [0.2, -0.1, 0.3, 0.5, -1.0, 2.0], atol=0.02)


def test_noise_is_reduced():
    rng = np.random.default_rng(0)
    f = ObjectFilter(FilterOptions(acceleration=0.1, angular_acceleration=1.0))
    cov = np.diag([0.005**2] * 3 + [0.05**2] * 3)
    raw, filtered = [], []
    for k in range(200):
        pose, truth = moving(k * DT), moving(k * DT)
        pose[:3] += rng.normal(0, 0.005, 3)
        pose[3:] = single.multiply(single.exp(rng.normal(0, 0.05, 3)), pose[3:])
        f.update(k * DT, pose, cov)
        raw.append(np.linalg.norm(pose[:3] - truth[:3]))
        filtered.append(np.linalg.norm(f.state().pose[:3] - truth[:3]))
    assert np.mean(filtered[60:]) < 0.6 * np.mean(raw[60:])


def test_the_covariance_is_consistent():
    """The normalised estimation error squared of 12 dof stays near 12."""
    rng = np.random.default_rng(1)
    f = ObjectFilter(FilterOptions(acceleration=0.5, angular_acceleration=1.0))
    cov = np.diag([0.003**2] * 3 + [0.03**2] * 3)
    nees = []
    for k in range(300):
        pose, truth = moving(k * DT), moving(k * DT)
        pose[:3] += rng.normal(0, 0.003, 3)
        pose[3:] = single.multiply(single.exp(rng.normal(0, 0.03, 3)), pose[3:])
        f.update(k * DT, pose, cov)
        s = f.state()
        dq = single.log(single.multiply(truth[3:], single.conjugate(s.pose[3:])))
        e = np.concatenate([truth[:3] - s.pose[:3], dq, np.subtract([0.2, -0.1, 0.3, 0.5, -1.0, 2.0], s.twist)])
        nees.append(e @ np.linalg.solve(s.covariance, e))
    assert 2.0 < np.mean(nees[100:]) < 18.0


def test_an_outlier_is_refused():
    f = ObjectFilter()
    for k in range(30):
        f.update(k * DT, moving(k * DT))
    bad = moving(30 * DT)
    bad[:3] += 0.2
    assert not f.update(30 * DT, bad)
    assert np.linalg.norm(f.state().pose[:3] - moving(30 * DT)[:3]) < 0.005


def test_the_object_is_lost_without_measurements():
    f = ObjectFilter()
    f.update(0.0, START)
    assert not f.lost(1.5) and f.lost(1.51)


def test_the_object_is_lost_when_sigma_exceeds_the_limit():
    f = ObjectFilter(FilterOptions(gate=-1.0))  # refuses everything
    f.update(0.0, START)
    for k in range(1, 60):
        f.update(k * DT, START)
    assert f.lost(59 * DT)


def test_a_lost_object_is_taken_up_anew():
    f = ObjectFilter()
    f.update(0.0, START)
    far = START + np.array([0.5, 0, 0, 0, 0, 0, 0])
    assert f.update(2.0, far)
    np.testing.assert_allclose(f.state().pose, far)


def test_a_stamp_that_does_not_advance_is_refused():
    f = ObjectFilter()
    f.update(1.0, START)
    assert not f.update(1.0, START) and not f.update(0.9, START)


def test_a_non_finite_pose_is_an_error():
    with pytest.raises(DexhotError, match="not finite"):
        ObjectFilter().update(0.0, np.full(7, np.nan))


def test_a_state_before_the_first_measurement_is_an_error():
    with pytest.raises(DexhotError, match="not seen"):
        ObjectFilter().state()


def test_the_covariance_stays_symmetric_and_positive():
    f = ObjectFilter()
    for k in range(500):
        f.update(k * DT, moving(k * DT))
    P = f.state().covariance
    np.testing.assert_allclose(P, P.T, atol=1e-12)
    assert np.linalg.eigvalsh(P).min() > 0


def test_single_rotations_agree_with_the_batched_ones():
    rng = np.random.default_rng(2)
    for _ in range(20):
        v, a = rng.normal(size=3), rng.uniform(-1.4, 1.4, 3)
        q = rotations.rotvec_to_quat(v)
        np.testing.assert_allclose(single.exp(v), q * np.sign(q[0]) * np.sign(single.exp(v)[0]), atol=1e-12)
        np.testing.assert_allclose(single.log(q), rotations.quat_to_rotvec(q), atol=1e-12)
        np.testing.assert_allclose(single.matrix(q), rotations.quat_to_matrix(q), atol=1e-12)
        np.testing.assert_allclose(single.rotate(q, a), rotations.quat_rotate(q, a), atol=1e-12)
        np.testing.assert_allclose(single.to_xyz_angles(single.from_xyz_angles(a), a), a, atol=1e-9)
        e = np.array(single.from_xyz_angles(a))
        np.testing.assert_allclose(np.abs(e @ rotations.xyz_angles_to_quat(a)), 1.0, atol=1e-12)
