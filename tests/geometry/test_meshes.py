"""Meshes that are mended, and the solids that they bound."""

import numpy as np
import pytest
import trimesh

from dexhot.errors import MeshError
from dexhot.geometry.meshes import check_arrays, mass_properties, repair, surface_samples, volume

BOX = trimesh.creation.box((0.04, 0.06, 0.09))
V, F = np.array(BOX.vertices), np.array(BOX.faces)


def test_faces_that_are_doubled_or_have_no_area_are_dropped_and_loose_vertices_too():
    vertices = np.vstack([V, V[:1], [[0.5, 0.5, 0.5]]])  # a corner twice, and one that no face uses
    faces = np.vstack([F, F[3:4], [[0, 1, 1]], [[8, *F[0][1:]]] if F[0][0] == 0 else F[:1]])
    mended_v, mended_f = repair(vertices, faces)
    assert len(mended_v) == 8 and len(mended_f) == 12
    assert volume(mended_v, mended_f) == pytest.approx(0.04 * 0.06 * 0.09)


@pytest.mark.parametrize("turned", [slice(0, 6), slice(0, 12), slice(3, 4)])
def test_faces_are_turned_outward(turned):
    faces = F.copy()
    faces[turned] = faces[turned, ::-1]
    mended_v, mended_f = repair(V, faces)
    assert volume(mended_v, mended_f) == pytest.approx(0.04 * 0.06 * 0.09)


def test_volume_has_the_sign_of_its_faces():
    assert volume(V, F) == pytest.approx(2.16e-4) == -volume(V, F[:, ::-1])
    assert volume(V + [1.0, -2.0, 3.0], F) == pytest.approx(2.16e-4)


def test_mass_properties_of_two_boxes_are_those_of_the_one_that_they_make():
    half = trimesh.creation.box((0.02, 0.06, 0.09)).vertices
    pieces = [(half + [0.11, 0.2, 0.3], F), (half + [0.09, 0.2, 0.3], F)]
    total, centre, inertia = mass_properties(pieces)
    assert total == pytest.approx(2.16e-4)
    np.testing.assert_allclose(centre, [0.1, 0.2, 0.3], atol=1e-12)
    squares = np.array([0.04, 0.06, 0.09]) ** 2
    np.testing.assert_allclose(inertia, np.diag(squares.sum() - squares) / 12, atol=1e-12)


def test_pieces_of_unequal_size_weigh_by_their_volume():
    small, large = trimesh.creation.box((0.01, 0.01, 0.01)).vertices, trimesh.creation.box((0.03, 0.01, 0.01)).vertices
    total, centre, inertia = mass_properties([(small, F), (large + [0.0, 0.08, 0.0], F)])
    assert total == pytest.approx(4e-6)
    np.testing.assert_allclose(centre, [0.0, 0.06, 0.0], atol=1e-12)
    own = (0.25 * np.diag([2, 2, 2]) + 0.75 * np.diag([2, 10, 10])) * 1e-4 / 12
    apart = np.diag([1.0, 0.0, 1.0]) * (0.25 * 0.06**2 + 0.75 * 0.02**2)
    np.testing.assert_allclose(inertia, own + apart, atol=1e-12)


def test_surface_samples_are_spread_by_area_with_the_faces_normals():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1.0]])
    faces = np.array([[0, 2, 1], [0, 0, 1], [0, 1, 3]])  # areas 3, 0 and 1.5
    points, normals, face = surface_samples(vertices, faces, 3000)
    assert np.bincount(face, minlength=3).tolist() == pytest.approx([2000, 0, 1000], abs=1)
    assert (normals[face == 0] == [0, 0, -1]).all() and (normals[face == 2] == [0, -1, 0]).all()
    assert (points[face == 0, 2] == 0).all() and (points[face == 0, 0] / 3 + points[face == 0, 1] / 2 <= 1).all()
    np.testing.assert_allclose(points[face == 0].mean(0), [1, 2 / 3, 0], atol=0.05)


def test_one_triangle_is_refused_as_that():
    corners = np.array([[0.0, 0, 0], [0.05, 0, 0], [0, 0.05, 0.02]])
    with pytest.raises(MeshError, match="3 vertices, and a solid has at least 4: export the whole surface"):
        check_arrays("tri", corners, np.array([[0, 1, 2]]))
