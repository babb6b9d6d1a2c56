"""The filter's compiled loops against the matrices that they stand for."""

import subprocess
import sys

import numpy as np

from dexhot.geometry import single
from dexhot.tracking import kernels
from dexhot.tracking.contact_dynamics import carry
from dexhot.tracking.hand_object_filter import SHAKE

K, N, DT = 5, 6 * 5 + 12, 0.3
RNG = np.random.default_rng(2)


def covariance(size: int) -> np.ndarray:
    A = RNG.normal(size=(size, size))
    return A @ A.T


def test_the_covariance_of_keypoints_is_that_of_constant_velocity():
    P, density, n = covariance(N), covariance(3 * K), 3 * K
    F = np.eye(N)
    F[:n, n : 2 * n] = DT * np.eye(n)
    Q = np.zeros((N, N))
    Q[: 2 * n, : 2 * n] = np.kron([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]], density)
    np.testing.assert_allclose(kernels.spread(P, density, DT), F @ P @ F.T + Q, rtol=1e-12, atol=1e-10)


def test_the_covariance_of_a_carried_object_is_that_of_its_motion():
    """Turned far, so that each rotation in F counts; its twist is the contact points', whatever it was before."""
    n, at, dt = 3 * K, 6 * K, DT
    P, density, slip = covariance(N), covariance(n), RNG.uniform(0.1, 1.0, 6)
    before = RNG.normal(size=(K, 3))
    after = before @ single.matrix(single.exp([1.0, -0.8, 0.5])).T + 0.1 * RNG.normal(size=(K, 3))
    c = carry(before, after, RNG.uniform(0.2, 1.0, K), RNG.normal(size=3))
    found = kernels.spread(P, density, dt)
    kernels.carry_object(P, found, density, c.turn, c.by_before, c.by_after, dt, slip, SHAKE)
    F = np.eye(N)
    F[:n, n:at] = dt * np.eye(n)
    F[at : at + 6] = 0.0
    F[at : at + 6, :n], F[at : at + 6, n:at] = c.by_before + c.by_after, dt * c.by_after
    F[at : at + 6, at : at + 6] = np.kron(np.eye(2), c.turn)
    F[at + 6 :], F[at + 6 :, n:at] = 0.0, c.by_after
    G = np.zeros((N, 2 * n))  # of the noise in place and speed
    G[:at], G[at : at + 6, :n], G[at + 6 :, n:] = np.eye(at), c.by_after, c.by_after
    Q = np.kron([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]], density)
    expected = F @ P @ F.T + G @ Q @ G.T
    expected[at:, at:] += np.diag(np.concatenate([slip, SHAKE]))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_likelihoods_and_distances_are_those_of_the_normal_distribution():
    S, residual = covariance(6) + np.eye(6), RNG.normal(size=6)
    square, fit = kernels.likelihood(S, residual)
    np.testing.assert_allclose(square, residual @ np.linalg.solve(S, residual))
    np.testing.assert_allclose(fit, -0.5 * (square + np.linalg.slogdet(S)[1]))
    each = [kernels.likelihood(S[k : k + 3, k : k + 3].copy(), residual[k : k + 3])[0] for k in (0, 3)]
    np.testing.assert_allclose(kernels.distances(S, residual, 3), each)
    right = RNG.normal(size=(6, 4))
    solved = right.copy()
    kernels.forward(S, solved)
    np.testing.assert_allclose(np.linalg.cholesky(S) @ solved, right)


def test_an_object_alone_needs_no_compiled_loops():
    """A control loop without a camera starts without Numba and SciPy."""
    code = (
        "import sys, numpy as np\n"
        "from dexhot.tracking.object_filter import ObjectFilter\n"
        "f = ObjectFilter()\n"
        "for k in range(3): f.update(0.1 * k, np.array([0.0, 0, 0, 1, 0, 0, 0]))\n"
        "assert f.state().stamp == 0.2 and not {'numba', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
