"""The open body's rest pose, and reading a user's SMPL file."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from dexhot.errors import FileFormatError
from dexhot.humans.body import JOINTS, NAMES, PARENTS, open_body, smpl

VERTICES = 60


@pytest.fixture
def parts() -> dict:
    """What an SMPL file holds, of a body that nobody has."""
    rng = np.random.default_rng(0)
    return {
        "v_template": rng.normal(size=(VERTICES, 3)),
        "shapedirs": 0.01 * rng.normal(size=(VERTICES, 3, 300)),
        "posedirs": 1e-3 * rng.normal(size=(VERTICES, 3, 207)),
        "weights": rng.dirichlet(0.1 * np.ones(JOINTS), VERTICES),
        "f": rng.integers(0, VERTICES, (100, 3)).astype(np.uint32),
        "kintree_table": np.array([PARENTS % 2**32, range(JOINTS)], np.uint32),
        "J_regressor": scipy.sparse.csc_matrix(rng.dirichlet(0.05 * np.ones(VERTICES), JOINTS)),
    }


def test_the_open_body_stands_in_a_t_pose_with_smpls_axes():
    """x to the body's left, y up, z ahead; arms out to the sides, legs down."""
    at = dict(zip(NAMES, open_body().joints))
    for side, x in (("left", 1.0), ("right", -1.0)):
        arm, leg = at[f"{side}_wrist"] - at[f"{side}_shoulder"], at[f"{side}_ankle"] - at[f"{side}_hip"]
        assert x * arm[0] / np.linalg.norm(arm) > np.cos(np.radians(10))
        assert -leg[1] / np.linalg.norm(leg) > np.cos(np.radians(15))
        assert at[f"{side}_foot"][2] > at[f"{side}_ankle"][2]
    assert at["head"][1] > at["neck"][1] > at["pelvis"][1]


def test_a_file_in_smpls_layout_is_read(parts, tmp_path):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(parts, protocol=2))
    body = smpl(path)
    assert np.allclose(body.joints, parts["J_regressor"] @ parts["v_template"])
    assert np.array_equal(body.shape_directions, parts["shapedirs"][..., :10])
    person = body.shaped(np.ones(10))
    assert np.allclose(person.rest[JOINTS:], parts["v_template"] + parts["shapedirs"][..., :10].sum(axis=-1))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("f", np.array([[0, 1, VERTICES]], np.uint32), "vertices that do not exist"),
        ("v_template", np.full((VERTICES, 3), np.nan), "not finite"),
        ("kintree_table", np.zeros((2, JOINTS), np.uint32), "kinematic tree"),
        ("weights", np.ones((VERTICES, 3)), "weights has shape"),
    ],
)
def test_another_file_is_refused(parts, tmp_path, name, value, told):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(parts | {name: value}, protocol=2))
    with pytest.raises(FileFormatError, match=told):
        smpl(path)


def test_without_a_file_it_says_where_to_get_it(tmp_path):
    with pytest.raises(FileFormatError, match=r"smpl\.is\.tue\.mpg\.de"):
        smpl(tmp_path / "none.pkl")
