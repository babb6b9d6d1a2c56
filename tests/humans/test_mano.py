"""Reading a user's MANO file: a pickle in MANO's layout with chumpy's objects in it, and hostile ones."""

import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from dexhot.errors import FileFormatError
from dexhot.humans.mano import mano, read_mano
from dexhot.humans.model_files import MANO, mano_file
from dexhot.humans.skin import PARENTS, HandPose

VERTICES = 778


@pytest.fixture(scope="module")
def parts() -> dict:
    """What a MANO file holds, of a hand that nobody has."""
    rng = np.random.default_rng(0)
    tree = np.array([PARENTS % 2**32, range(16)], np.uint32)
    return {
        "v_template": 0.05 * rng.normal(size=(VERTICES, 3)),
        "shapedirs": 0.002 * rng.normal(size=(VERTICES, 3, 10)),
        "posedirs": 1e-3 * rng.normal(size=(VERTICES, 3, 135)),
        "weights": rng.dirichlet(0.1 * np.ones(16), VERTICES),
        "f": rng.integers(0, VERTICES, (1538, 3)).astype(np.uint32),
        "kintree_table": tree,
        "J_regressor": scipy.sparse.csc_matrix(rng.dirichlet(0.05 * np.ones(VERTICES), 16)),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
        "hands_coeffs": rng.normal(size=(100, 45)) * np.linspace(2.0, 0.1, 45),
        "hands_mean": 0.1 * rng.normal(size=45),
    }


def write(parts: dict, path: Path, chumpy: bool = True) -> Path:
    """As MANO's authors did: protocol 2, the shape directions chosen out of a larger chumpy array."""
    kept = dict(parts)
    if chumpy:
        root, ch, reordering = (types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering"))
        ch.Ch = type("Ch", (), {"__module__": "chumpy.ch", "__qualname__": "Ch"})
        reordering.Select = type("Select", (), {"__module__": "chumpy.reordering", "__qualname__": "Select"})
        sys.modules.update({"chumpy": root, "chumpy.ch": ch, "chumpy.reordering": reordering})
        whole, chosen = ch.Ch(), reordering.Select()
        whole.x = np.concatenate([parts["shapedirs"], np.ones((VERTICES, 3, 10))], axis=-1)
        chosen.a, chosen.preferred_shape = whole, (VERTICES, 3, 10)
        chosen.idxs = np.arange(VERTICES * 3 * 20).reshape(VERTICES, 3, 20)[..., :10].ravel()
        kept["shapedirs"] = chosen
    path.write_bytes(pickle.dumps(kept, protocol=2))
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        sys.modules.pop(name, None)
    return path


def test_a_file_in_mano_s_layout_is_read_without_chumpy(parts, tmp_path):
    hand = read_mano(write(parts, tmp_path / "MANO_RIGHT.pkl"), "right")
    assert "chumpy" not in sys.modules
    assert np.array_equal(hand.shape_directions, parts["shapedirs"])
    assert np.allclose(hand.joints, parts["J_regressor"] @ parts["v_template"])
    assert hand.side == "right" and set(hand.tables) == {"mano"}
    posed = hand.shaped().posed(HandPose())
    keypoints = posed.keypoints(hand.table("mano"))
    assert np.allclose(keypoints[0], hand.joints[0]) and np.allclose(keypoints[8], hand.vertices[317])


def test_its_shape_moves_joints_by_the_regressor(parts, tmp_path):
    hand = read_mano(write(parts, tmp_path / "m.pkl"), "right")
    shape = np.random.default_rng(1).normal(size=10)
    person = hand.shaped(shape)
    assert np.allclose(person.joints, parts["J_regressor"] @ (parts["v_template"] + parts["shapedirs"] @ shape))


def test_its_prior_is_that_of_its_scans(parts, tmp_path):
    prior = read_mano(write(parts, tmp_path / "m.pkl"), "right").prior
    pose = parts["hands_mean"] + parts["hands_coeffs"] @ parts["hands_components"]
    variance = parts["hands_coeffs"].std(axis=0) ** 2
    along = np.diag(parts["hands_components"] @ prior.covariance @ parts["hands_components"].T)
    assert np.allclose(prior.mean, parts["hands_mean"]) and np.allclose(along, variance + 1e-4)
    inside = (pose > prior.lower) & (pose < prior.upper)
    assert inside.mean() > 0.99


def test_one_side_s_file_serves_both(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    mano_file("right").parent.mkdir()
    write(parts, mano_file("right"))
    left = mano("left")
    assert left.side == "left" and np.allclose(left.vertices, parts["v_template"] * [-1.0, 1.0, 1.0])


class Call:
    """Calls something when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function, arguments", [(eval, ("open('ran', 'w')",)), (__import__, ("os",))])
def test_a_hostile_pickle_is_refused_before_it_runs(parts, tmp_path, monkeypatch, function, arguments):
    monkeypatch.chdir(tmp_path)
    hostile = parts | {"v_template": Call(function, *arguments)}
    path = write(hostile, tmp_path / "m.pkl", chumpy=False)
    with pytest.raises(FileFormatError, match=r"builtin.*\.(eval|__import__), which no such file needs"):
        read_mano(path, "right")
    assert not (tmp_path / "ran").exists()


def test_what_hides_behind_an_allowed_module_is_refused(parts, tmp_path):
    path = write(parts | {"f": Call(np.fromfile, "/etc/hostname")}, tmp_path / "m.pkl", chumpy=False)
    with pytest.raises(FileFormatError, match="fromfile, which no such file needs"):
        read_mano(path, "right")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"kintree_table": np.zeros((2, 16), np.int64)}, "kinematic tree"),
        ({"weights": np.zeros((VERTICES, 15))}, "weights has shape"),
        ({"f": np.full((3, 3), VERTICES)}, "faces refer to vertices"),
        ({"v_template": np.full((VERTICES, 3), np.nan)}, "not finite"),
        ({"hands_mean": np.zeros(30)}, "45"),
    ],
)
def test_a_file_of_another_layout_is_refused_with_the_reason(parts, tmp_path, change, told):
    with pytest.raises(FileFormatError, match=told):
        read_mano(write(parts | change, tmp_path / "m.pkl", chumpy=False), "right")


def test_damaged_and_foreign_files(parts, tmp_path):
    whole = write(parts, tmp_path / "whole.pkl")
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(whole.read_bytes()[:5000])
    smplx = tmp_path / "list.pkl"
    smplx.write_bytes(pickle.dumps({"v_template": 1}))
    for path, told in ((cut, "was refused"), (smplx, "lacks shapedirs"), (tmp_path / "none.pkl", "does not exist")):
        with pytest.raises(FileFormatError, match=told):
            read_mano(path, "right")


def test_where_the_file_goes_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    with pytest.raises(FileFormatError) as told:
        mano("right")
    assert MANO["right"] in str(told.value) and str(tmp_path / "mano") in str(told.value)
    assert "https://mano.is.tue.mpg.de" in str(told.value)
