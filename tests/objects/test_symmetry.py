"""Symmetry detection on shapes whose symmetry is known."""

import numpy as np
import pytest
import trimesh

from dexhot.geometry.rotations import quat_angle, quat_rotate, rotvec_to_quat
from dexhot.objects.symmetry_search import find_symmetry

TURN = rotvec_to_quat([0.4, -0.7, 0.2])
creation = trimesh.creation


def symmetry(mesh):
    """Of the mesh in a pose of no special kind."""
    return find_symmetry(quat_rotate(TURN, mesh.vertices) + [0.3, 0.1, -0.2], mesh.faces)


def mug():
    handle = creation.box((0.035, 0.01, 0.05))
    handle.apply_translation((0.055, 0, 0.02))
    return trimesh.util.concatenate([creation.cylinder(0.04, 0.1), handle])


def knobbed():
    """A knob of three percent of the surface on one side."""
    knob = creation.icosphere(2, 0.01)
    knob.apply_translation((0.05, 0, 0.03))
    return trimesh.util.concatenate([creation.cylinder(0.04, 0.1), knob])


@pytest.mark.parametrize(
    ("mesh", "kind", "rotations"),
    [
        (creation.icosphere(3, 0.04), "sphere", 1),
        (creation.cylinder(0.03, 0.1), "axis", 2),
        (creation.cone(0.03, 0.1, sections=64), "axis", 1),
        (creation.torus(0.05, 0.015), "axis", 2),
        (creation.box((0.04, 0.06, 0.09)), "discrete", 4),
        (creation.box((0.04, 0.04, 0.09)), "discrete", 8),
        (creation.box((0.05, 0.05, 0.05)), "discrete", 24),
        (mug(), "none", 1),
        (knobbed(), "none", 1),
    ],
    ids=["sphere", "cylinder", "cone", "torus", "brick", "square prism", "cube", "mug", "a knob"],
)
def test_kind_and_number_of_rotations(mesh, kind, rotations):
    found = symmetry(mesh)
    assert (found.kind, len(found.rotations)) == (kind, rotations)


def test_axis_and_center_of_a_cylinder():
    found = symmetry(creation.cylinder(0.03, 0.1))
    assert abs(found.axis @ quat_rotate(TURN, np.array([0.0, 0, 1]))) > np.cos(np.radians(0.5))
    assert np.allclose(found.center, [0.3, 0.1, -0.2], atol=5e-4)


def test_found_rotations_map_the_shape_onto_itself():
    box = creation.box((0.04, 0.04, 0.09))
    found = find_symmetry(box.vertices, box.faces)
    for q in found.rotations:
        turned = quat_rotate(q, box.vertices - found.center)
        gaps = np.linalg.norm(turned[:, None] - (box.vertices - found.center), axis=2).min(axis=1)
        assert gaps.max() < 1e-3


def test_identity_comes_first():
    found = symmetry(creation.box((0.05, 0.05, 0.05)))
    assert quat_angle(found.rotations[0], np.array([1.0, 0, 0, 0])) < 1e-9
