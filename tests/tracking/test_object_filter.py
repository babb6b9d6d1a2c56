import timeit
from itertools import pairwise

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.geometry import rotations, single
from dexhot.geometry.equivalents import nearest_equivalent, reduced_angle
from dexhot.objects.asset import Symmetry
from dexhot.objects.shapes import named_shape, shape_symmetry
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
    with pytest.raises(DexhotError, match="not received"):
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


BOX = shape_symmetry(named_shape("parametric/box-56x70x91"))
TURNS = [list(single.exp((0.0, 0.0, k * np.pi / 2))) for k in range(4)]
SYMMETRIES = {
    "box": BOX,
    "cylinder": shape_symmetry(named_shape("parametric/cylinder-50x90")),
    "off its origin": Symmetry("discrete", rotations=TURNS, center=[0.02, -0.03, 0.01]),
    "bottle": Symmetry("axis", axis=[0.6, 0.0, 0.8], center=[0.02, 0.0, 0.05]),
}


def looks_the_same(symmetry: Symmetry, pose: np.ndarray, rng) -> np.ndarray:
    """Another pose of the object that looks the same."""
    turn = symmetry.rotations[rng.integers(len(symmetry.rotations))]
    if symmetry.kind == "axis":
        turn = single.multiply(single.exp(rng.uniform(-np.pi, np.pi) * np.array(symmetry.axis)), turn)
    center = np.array(symmetry.center)
    q = single.multiply(pose[3:], turn)
    return np.concatenate([pose[:3] + single.rotate(pose[3:], center) - single.rotate(q, center), q])


@pytest.mark.parametrize("name", SYMMETRIES)
def test_an_estimator_that_flips_between_poses_that_look_the_same_is_followed(name):
    """The object moves and turns all the while."""
    symmetry, rng = SYMMETRIES[name], np.random.default_rng(3)
    f, accepted, states = ObjectFilter(symmetry=symmetry), 0, []
    for k in range(240):
        truth = moving(k / 30, v=(0.05, 0.0, 0.02), w=(0.0, 0.3, 0.0))
        pose = looks_the_same(symmetry, truth, rng) if k else truth
        pose[:3] += rng.normal(0, 0.001, 3)
        accepted += f.update(k / 30, pose)
        states.append(f.state())
        assert np.degrees(reduced_angle(symmetry, states[-1].pose[3:], truth[3:])) < 2.0
        centers = [p[:3] + single.rotate(p[3:], symmetry.center) for p in (states[-1].pose, truth)]
        assert np.linalg.norm(centers[0] - centers[1]) < 0.005
        assert np.linalg.norm(states[-1].twist[3:]) < 1.0
    assert accepted == 240
    steps = [rotations.quat_angle(a.pose[3:], b.pose[3:]) for a, b in pairwise(states)]
    assert np.degrees(max(steps)) < 5.0  # one branch, for all behind
    assert f.flipped > 60


def test_a_box_that_lies_still_does_not_spin_when_its_estimator_flips():
    rng, f, accepted, spins = np.random.default_rng(0), ObjectFilter(symmetry=BOX), 0, []
    for k in range(240):
        pose = np.array([0, 0, 0.2, *((1.0, 0, 0, 0) if k < 60 else (0, 0, 0, 1.0))])
        pose[:3] += rng.normal(0, 0.001, 3)
        accepted += f.update(k / 30, pose)
        spins.append(np.linalg.norm(f.state().twist[3:]))
        assert reduced_angle(BOX, f.state().pose[3:], np.array([1.0, 0, 0, 0])) < np.radians(2.0)
    assert accepted == 240 and max(spins) < 1.0


def test_without_symmetry_half_a_turn_is_an_outlier():
    f = ObjectFilter()
    for k in range(30):
        f.update(k * DT, START)
    assert not f.update(30 * DT, np.concatenate([START[:3], [0, 0, 0, 1.0]]))
    assert "jumped by 0 cm and 180 deg" in f.missing(30 * DT)


def test_an_object_that_comes_back_after_it_was_lost_is_on_the_branch_it_was_on():
    f = ObjectFilter(symmetry=BOX)
    f.update(0.0, START)
    assert f.update(3.0, np.concatenate([START[:3], [0, 0, 0, 1.0]]))
    assert rotations.quat_angle(f.state().pose[3:], START[3:]) < 1e-6


def test_an_object_that_jumped_is_distinguished_from_one_that_is_not_seen():
    f = ObjectFilter()
    assert f.missing(0.0) == "it has not been seen yet"
    for k in range(30):
        f.update(k * DT, START)
    assert f.missing(29 * DT) == ""
    assert f.ahead(29 * DT + 0.4).missing(29 * DT + 0.4) == "it has not been seen for 0.4 s"
    far = START + np.array([0.2, 0, 0, 0, 0, 0, 0])
    for k in range(30, 36):
        assert not f.update(k * DT, far)
        assert f.missing(k * DT) == "it jumped by 20 cm: its measurements are rejected"
    assert f.missing(35 * DT + 0.4) == "it has not been seen for 0.5 s"  # nor at the new place
    assert f.update(36 * DT, START) and f.missing(36 * DT) == ""


def test_the_symmetry_costs_microseconds():
    cube = Symmetry("discrete", rotations=[list(single.exp(v)) for v in np.random.default_rng(0).normal(size=(24, 3))])
    cube.rotations[0] = [1.0, 0.0, 0.0, 0.0]
    pose, near = np.array([0.1, 0.2, 0.3, *single.exp((0.3, 0.2, 0.1))]), single.exp((0.3, 0.2, 0.15))
    times = timeit.repeat(lambda: nearest_equivalent(cube, pose, near), number=200, repeat=10)
    assert min(times) / 200 < 100e-6
