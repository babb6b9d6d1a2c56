"""The distance volume kept beside an object."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.geometry.sdf_volume import SdfVolume
from dexhot.objects import volume
from dexhot.objects.library import objects_dir, save_object
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.objects.volume import keep_volume, object_volume
from dexhot.perception.object_pose import asset_model


@pytest.fixture
def asset(cache):
    made = replace(shape_asset(named_shape("parametric/box-50x70x100")), name="user/box")
    save_object(made)
    return made


def no_warp(*_):
    raise ImportError("warp")


def test_a_kept_volume_is_read_without_building_it(asset, monkeypatch):
    kept = keep_volume(asset)
    monkeypatch.setattr(volume, "sdf_volume", no_warp)
    found = object_volume(asset)
    assert np.array_equal(found.values, kept.values) and found.spacing == kept.spacing
    middle = 0.5 * (asset.vertices.min(axis=0) + asset.vertices.max(axis=0))
    assert found.distance(middle)[0] == pytest.approx(-0.025, abs=0.002)


@pytest.mark.parametrize("spoil", ["other mesh", "damaged"])
def test_a_volume_of_another_mesh_or_a_damaged_one_is_not_used(asset, monkeypatch, spoil):
    keep_volume(asset)
    if spoil == "other mesh":
        asset = replace(asset, vertices=asset.vertices * 1.1)
    else:
        (objects_dir() / "user" / "box" / "sdf.npz").write_bytes(b"PK\x03\x04 no zip")
    new = SdfVolume(np.zeros((2, 2, 2), np.float32), np.zeros(3), 1.0)
    monkeypatch.setattr(volume, "sdf_volume", lambda *_: new)
    assert object_volume(asset) is new


def test_without_warp_nothing_is_kept(asset, monkeypatch):
    monkeypatch.setattr(volume, "sdf_volume", no_warp)
    assert keep_volume(asset) is None and not (objects_dir() / "user" / "box" / "sdf.npz").exists()


def test_a_volume_that_was_built_for_an_object_of_the_cache_is_kept(asset, monkeypatch):
    built = object_volume(asset)
    monkeypatch.setattr(volume, "sdf_volume", no_warp)
    assert np.array_equal(asset_model(asset).volume.values, built.values)


def test_no_folder_is_made_for_an_object_that_is_not_in_the_cache(asset):
    object_volume(replace(asset, name="user/other"))
    assert not (objects_dir() / "user" / "other").exists()
