"""Signed distance volumes and watertight repair against closed forms. Spheres and rings of known size."""

import numpy as np
import pytest
import trimesh

from dexhot.errors import MeshError

pytest.importorskip("warp")
from dexhot.geometry.sdf_volume import SdfVolume, sdf_volume, watertight

SPHERE = trimesh.creation.icosphere(subdivisions=4, radius=0.04)
RING = trimesh.creation.torus(0.03, 0.01, major_sections=64, minor_sections=32)


@pytest.fixture(scope="module")
def ball():
    return sdf_volume(SPHERE.vertices, SPHERE.faces, spacing=0.002)


def test_distance_is_that_of_the_sphere_on_both_sides(ball):
    points = np.random.default_rng(0).uniform(-0.045, 0.045, (2000, 3))
    radius = np.linalg.norm(points, axis=1)
    distance, gradient = ball.distance(points)
    away = radius > 0.005  # at the centre the distance has a kink
    np.testing.assert_allclose(distance[away], radius[away] - 0.04, atol=2e-4)
    assert np.median((gradient * points).sum(1) / radius) == pytest.approx(1, abs=0.01)


def test_gradient_is_that_of_the_interpolation_inside_and_outside_of_the_grid():
    rng = np.random.default_rng(1)
    volume = SdfVolume(rng.normal(size=(5, 6, 7)).astype(np.float32), np.array([1.0, 2.0, 3.0]), 0.5)
    points = volume.origin + rng.uniform(-1, 4, (500, 3))
    _, gradient = volume.distance(points)
    steps = 1e-7 * np.eye(3)
    quotient = np.stack([volume.distance(points + s)[0] - volume.distance(points - s)[0] for s in steps], 1) / 2e-7
    np.testing.assert_allclose(gradient, quotient, atol=1e-5)


def test_nodes_hold_their_values_and_shapes_are_kept():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    volume = SdfVolume(values, np.zeros(3), 0.1)
    nodes = 0.1 * np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), -1)
    distance, gradient = volume.distance(nodes)
    np.testing.assert_allclose(distance, values, atol=1e-5)
    assert gradient.shape == (2, 3, 4, 3)


def test_outside_of_the_grid_the_distance_is_bounded_from_above(ball):
    points = np.array([[0.1, 0.0, 0.0], [0.1, 0.1, 0.1]])
    distance, gradient = ball.distance(points)
    true = np.linalg.norm(points, axis=1) - 0.04
    assert distance[0] == pytest.approx(true[0], abs=1e-4) and true[1] <= distance[1] < 1.1 * true[1]
    np.testing.assert_allclose(gradient[0], [1, 0, 0], atol=0.05)


def test_the_hole_of_a_ring_is_outside():
    distance, _ = sdf_volume(RING.vertices, RING.faces).distance([[0, 0, 0], [0.03, 0, 0]])
    np.testing.assert_allclose(distance, [0.02, -0.01], atol=5e-4)


def test_the_sign_does_not_mind_a_hole_in_the_mesh():
    high = SPHERE.triangles_center[:, 2] > 0.037
    distance, _ = sdf_volume(SPHERE.vertices, SPHERE.faces[~high], 0.004).distance([[0, 0, 0], [0, 0, 0.05]])
    assert high.sum() > 50 and distance[0] < -0.035 and distance[1] > 0.005


def test_an_open_mesh_is_closed_and_a_closed_one_is_left_alone():
    high = SPHERE.triangles_center[:, 2] > 0.037
    vertices, faces = watertight(SPHERE.vertices, SPHERE.faces[~high], 0.002)
    closed = trimesh.Trimesh(vertices, faces, process=False)
    assert closed.is_watertight and closed.volume == pytest.approx(SPHERE.volume, rel=0.02)
    below = vertices[vertices[:, 2] < 0.03]
    np.testing.assert_allclose(np.linalg.norm(below, axis=1), 0.04, atol=2e-4)
    assert watertight(SPHERE.vertices, SPHERE.faces)[1].tolist() == SPHERE.faces.tolist()


def test_what_has_no_inside_is_refused():
    sheet = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]])
    with pytest.raises(MeshError, match="it is a sheet"):
        watertight(sheet, [[0, 1, 2], [0, 2, 3]])
    with pytest.raises(MeshError, match="faces point inward"):
        watertight(SPHERE.vertices, SPHERE.faces[9:, ::-1])
    with pytest.raises(MeshError, match="too large; use a larger spacing"):
        sdf_volume(SPHERE.vertices, SPHERE.faces, 1e-5)
    with pytest.raises(MeshError, match="no faces"):
        sdf_volume(SPHERE.vertices, np.zeros((0, 3), int))


def test_warp_starts_without_a_warning_of_a_missing_gpu():
    """In a process of its own: Warp starts once, and its library writes past sys.stderr."""
    import subprocess
    import sys

    code = "from dexhot.geometry.warp_start import start_warp; start_warp(); import warp; warp.zeros(1, device='cpu')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "CUDA driver" not in found.stderr and found.stdout == ""
