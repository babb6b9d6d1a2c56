"""The stand-in for an object's mesh: another shape in its box, of another size."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny_clip import ASSET

from dexhot.geometry.meshes import mass_properties
from dexhot.geometry.rotations import quat_rotate
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot_bench import fit_rows
from dexhot_bench import stand_in as other_shapes
from dexhot_bench.fit_clips import Clip
from dexhot_bench.stand_in import SCALE, primitives, stand_in


@pytest.mark.parametrize(
    "name, kind",
    [
        ("box-50x70x100", "cylinder"),  # not the box that it is
        ("cylinder-60x100", "box"),
        ("sphere-70", "cylinder"),
        ("composite-50x70x80", "cylinder"),
    ],
)
def test_it_is_another_shape_in_the_same_box(name, kind):
    """About its middle, stretched alike along all axes."""
    own = shape_asset(named_shape(f"parametric/{name}"))
    other = stand_in(own, 3)
    ratio = np.ptp(other.vertices, axis=0) / np.ptp(own.vertices, axis=0)
    assert np.ptp(ratio) < 0.01 and np.abs(middle(other) - middle(own)).max() < 1e-3
    assert other.provenance["kind"] == kind and other.name != own.name and len(other.pieces) == 1


def middle(asset):
    """(3,) of its box."""
    return 0.5 * (asset.vertices.min(axis=0) + asset.vertices.max(axis=0))


def test_its_size_is_wrong_by_15_to_30_percent(monkeypatch):
    """Larger and smaller, by the seed alone."""
    monkeypatch.setattr(other_shapes, "nearest_other", lambda *_: primitives()[0])
    sizes = [np.ptp(stand_in(ASSET, seed).vertices, axis=0)[0] / np.ptp(ASSET.vertices[:, 0]) for seed in range(40)]
    off = np.abs(np.array(sizes) - 1.0)
    assert 0.5 * SCALE <= off.min() < 0.6 * SCALE and 0.9 * SCALE < off.max() <= SCALE
    assert min(sizes) < 1.0 < max(sizes) and len(set(sizes)) == 40
    assert np.array_equal(stand_in(ASSET, 3).vertices, stand_in(ASSET, 3).vertices)


def test_every_primitive_is_closed_turned_outward_and_as_it_says():
    """The volume of its mesh is that of what is inside it; a cylinder lies along each axis."""
    grid = np.random.default_rng(0).uniform(-1, 1, (20000, 3))
    for one in primitives():
        volume, _, _ = mass_properties([(one.vertices, one.faces)])
        assert volume == pytest.approx(8 * one.inside(grid).mean(), rel=0.05)
        assert np.allclose(np.abs(one.vertices).max(axis=0), 1.0, atol=0.01)
    along = [int(np.isclose(np.abs(one.vertices), 1.0).mean(axis=0).argmax()) for one in primitives()[1:4]]
    assert sorted(along) == [0, 1, 2] and len(primitives()) == 5


def test_half_turns_leave_it_unchanged():
    other = stand_in(ASSET, 0)
    assert len(other.symmetry.rotations) == 4
    assert other.symmetry.center == pytest.approx(middle(other))
    order = np.lexsort(np.round(other.vertices, 6).T)
    for quat in other.symmetry.rotations:
        turned = middle(other) + quat_rotate(np.array(quat), other.vertices - middle(other))
        assert np.allclose(turned[np.lexsort(np.round(turned, 6).T)], other.vertices[order], atol=1e-6)


def test_the_row_has_it_and_each_clip_its_own_size():
    [row] = [row for row in fit_rows.rows_of(False) if row.name == "homan, stand-in mesh"]
    assert row.recipe.solver["stand_in"]
    clips = [Clip(name, None, None, None) for name in ("duck_lift-2", "mug_lift-6x", "mug_lift-6")]
    sizes = [row.sight.asset(clip, ASSET).provenance["scale"] for clip in clips]
    assert len(set(sizes)) == 3 and replace(row.sight, stand_in=False).asset(clips[0], ASSET) is ASSET
