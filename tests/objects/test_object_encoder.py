"""The encoder of objects' features: what it computes, and its file."""

import numpy as np
import pytest

from dexhot.errors import FileFormatError
from dexhot.objects import encoder as module
from dexhot.objects.encoder import OBJECT_FEATURE, ObjectEncoder, load_encoder, object_cloud


@pytest.fixture
def encoder() -> ObjectEncoder:
    rng = np.random.default_rng(0)
    sizes = [(3, 8), (8, 16), (16, OBJECT_FEATURE)]
    layers = [(rng.normal(size=size).astype(np.float32).astype(float), np.zeros(size[1])) for size in sizes]
    return ObjectEncoder(layers[:-1], layers[-1], ["parametric/x"], "none but these", {"seed": 3})


def test_a_feature_does_not_depend_on_the_points_order_but_on_the_shape(encoder, lift_object):
    cloud = object_cloud(lift_object)
    np.testing.assert_allclose(encoder.of_points(cloud[::-1]), encoder.of(lift_object))
    assert encoder.of(lift_object).shape == (OBJECT_FEATURE,)
    assert not np.allclose(encoder.of_points(1.2 * cloud), encoder.of(lift_object))
    some = np.concatenate([cloud, cloud[:50], cloud[:50]])  # seen more often, not larger
    np.testing.assert_allclose(encoder.of_points(some), encoder.of(lift_object))
    both = encoder.of_points(np.stack([cloud, 1.2 * cloud]))
    np.testing.assert_allclose(both[0], encoder.of(lift_object))


def test_a_cloud_is_on_the_mesh(lift_object):
    half = np.ptp(lift_object.vertices, axis=0) / 2
    away = np.abs(np.abs(object_cloud(lift_object)) - half).min(axis=1)
    assert away.max() < 1e-9


def test_a_file_reads_back(encoder, lift_object, tmp_path):
    found = load_encoder(encoder.save(tmp_path / "e.npz"))
    np.testing.assert_allclose(found.of(lift_object), encoder.of(lift_object), rtol=1e-6)
    assert (found.trained_on, found.terms, found.provenance) == (["parametric/x"], "none but these", {"seed": 3})


def test_a_file_of_another_kind_with_the_same_arrays_is_refused(encoder, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "SCHEMA", "dexhot/another")
        path = encoder.save(tmp_path / "e.npz")
    with pytest.raises(FileFormatError, match="not an object encoder"):
        load_encoder(path)


def test_other_files_are_refused(encoder, tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        load_encoder(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(FileFormatError, match="not an object encoder"):
        load_encoder(tmp_path / "other.npz")
    for start in (b"PK", b"PK\x03\x04cut off"):  # the second is BadZipFile, of another base
        (tmp_path / "broken.npz").write_bytes(start)
        with pytest.raises(FileFormatError, match="not an object encoder"):
            load_encoder(tmp_path / "broken.npz")
    narrow = ObjectEncoder(encoder.points, (encoder.last[0][:, :8], encoder.last[1][:8]))
    with pytest.raises(FileFormatError, match="256"):
        load_encoder(narrow.save(tmp_path / "narrow.npz"))
