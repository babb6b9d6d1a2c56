"""Parametric shapes: what their names, sizes, symmetries and masses are."""

import numpy as np
import pytest
import yaml

from dexhot.errors import NotFoundError
from dexhot.geometry.meshes import volume
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat
from dexhot.metrics.add_s import add_s
from dexhot.objects.shapes import FOOT, SHAPES, Shape, named_shape, random_shape, shape_asset
from dexhot.paths import physics_file

BOX = Shape("box", (0.055, 0.070, 0.100))
CYLINDER = Shape("cylinder", (0.060, 0.100))
SPHERE = Shape("sphere", (0.070,))
COMPOSITE = Shape("composite", (0.050, 0.065, 0.080))
EVERY = pytest.mark.parametrize("shape", [BOX, CYLINDER, SPHERE, COMPOSITE], ids=lambda s: s.kind)


@EVERY
def test_a_name_is_read_back(shape):
    assert named_shape(shape.name) == shape
    assert BOX.name == "parametric/box-55x70x100"


@pytest.mark.parametrize("name", ["box-55x70", "box-0x70x100", "box-55x70x1.5", "cone-5x5", "sphere-70x70", "box"])
def test_an_invalid_name_is_refused(name):
    with pytest.raises(NotFoundError, match="parametric/sphere-MM"):
        named_shape(f"parametric/{name}")


@EVERY
def test_the_origin_is_the_middle_of_the_bounding_box_and_it_stands_on_its_base(shape):
    asset = shape_asset(shape)
    low, high = asset.vertices.min(0), asset.vertices.max(0)
    np.testing.assert_allclose(low, -high, atol=1e-6)
    assert high[2] - low[2] == pytest.approx(shape.height, rel=0.01)
    assert asset.resting_poses[0][2] == pytest.approx(-low[2], rel=0.01)
    np.testing.assert_array_equal(asset.resting_poses[0][3:], [1, 0, 0, 0])


def test_a_composite_stands_on_its_foot():
    foot, column = COMPOSITE.bodies()
    assert COMPOSITE.height == pytest.approx(0.080 + FOOT[2])
    np.testing.assert_allclose(np.ptp(foot.vertices, axis=0), FOOT)
    np.testing.assert_allclose(np.ptp(column.vertices, axis=0), COMPOSITE.size)
    assert foot.vertices[:, 2].max() == pytest.approx(column.vertices[:, 2].min())
    assert foot.vertices[:, 2].min() == pytest.approx(-COMPOSITE.height / 2)


@EVERY
def test_faces_of_all_bodies_name_their_own_vertices(shape):
    asset = shape_asset(shape)
    whole = sum(volume(v, f) for v, f in asset.pieces)
    assert volume(asset.vertices, asset.faces) == pytest.approx(whole) and whole > 0
    physics = yaml.safe_load(physics_file().read_text())
    mass = np.clip(physics["object_density"] * whole, *physics["object_mass_range"])
    assert asset.mass == pytest.approx(mass, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "kind", "flips"),
    [
        (BOX, "discrete", {(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)}),
        (CYLINDER, "axis", {(0, 0, 0), (1, 0, 0)}),
        (SPHERE, "sphere", {(0, 0, 0)}),
        (COMPOSITE, "discrete", {(0, 0, 0), (0, 0, 1)}),
    ],
)
def test_the_turns_that_leave_a_shape_as_it_is(shape, kind, flips):
    asset = shape_asset(shape)
    found = {tuple(np.round(np.abs(q[1:])).astype(int)) for q in asset.symmetry.rotations}
    assert (asset.symmetry.kind, found) == (kind, flips)
    assert asset.symmetry.axis == [0.0, 0.0, 1.0]
    for q in asset.symmetry.rotations:
        turned, still = make_pose(np.zeros(3), q), make_pose(np.zeros(3), [1.0, 0, 0, 0])
        assert add_s(asset, turned[None], still[None])[0] < 0.003


@pytest.mark.parametrize(("size", "turns"), [((0.05, 0.07, 0.1), 4), ((0.06, 0.03, 0.03), 8), ((0.04, 0.04, 0.04), 24)])
def test_a_box_with_equal_sides_has_quarter_turns(size, turns):
    box = shape_asset(Shape("box", size))
    assert len(box.symmetry.rotations) == turns and box.symmetry.rotations[0] == [1.0, 0.0, 0.0, 0.0]
    for q in box.symmetry.rotations:
        assert np.abs(box.vertices @ quat_to_matrix(q).T).max(axis=0) == pytest.approx(np.array(size) / 2)


def test_a_composite_is_not_turned_over():
    turned = make_pose(np.zeros(3), rotvec_to_quat([np.pi, 0.0, 0.0]))
    still = make_pose(np.zeros(3), [1.0, 0, 0, 0])
    assert add_s(shape_asset(COMPOSITE), turned[None], still[None])[0] > 0.004


def test_half_widths_are_those_of_the_surface():
    assert BOX.half_width(0.01, 0.03) == pytest.approx(0.0275) == Shape("composite", BOX.size).half_width(0.0, 0.0)
    assert CYLINDER.half_width(0.018, 0.04) == pytest.approx(0.024)
    assert SPHERE.half_width(0.02, 0.01) == pytest.approx(np.sqrt(0.035**2 - 0.02**2 - 0.01**2))


@pytest.mark.parametrize("kind", SHAPES)
def test_a_random_shape_is_of_whole_millimetres_and_of_a_size_to_be_grasped(kind):
    for seed in range(20):
        shape = random_shape(kind, np.random.default_rng(seed))
        assert named_shape(shape.name) == shape
        assert 0.045 <= shape.size[0] <= 0.076 and shape.size[-1] <= 0.110
