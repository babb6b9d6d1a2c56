"""The programs of examples/ run as they are, and do what they say; docs/add_a_dataset.md quotes the third."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dexhot.datasets.library import load_clip
from dexhot.objects import load_object
from walk import walk

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_arrays_and_mesh_become_a_demonstration(cache, tmp_path):
    made = example("own_clip").main(tmp_path)
    assert made.scores["success_strict"] and made.reference.object_name == "user/example_box"
    assert {p.name for p in tmp_path.iterdir()} >= {"box.stl", "clip.npz", "reference.npz", "demonstration.npz"}


def test_an_own_hand_is_drafted_and_used(cache, tmp_path):
    reference = example("own_hand").main(tmp_path)
    assert reference.hand == str(tmp_path / "hand.yaml") and len(reference.joint_names) == 6 + 16


@pytest.fixture
def source(tmp_path, lift) -> Path:
    """The parametric lift as the example's dataset has it: y up, mm, xyzw."""
    trajectory, box = lift
    module, folder = example("own_dataset"), tmp_path / "source"
    folder.mkdir()
    trimesh.Trimesh(1000 * box.vertices, box.faces).export(folder / "box.stl")
    from dexhot.geometry.poses import compose, inverse

    pose = compose(inverse(module.WORLD_T_SOURCE), trajectory.object_pose)
    pose = np.concatenate([1000 * pose[:, :3], pose[:, [4, 5, 6, 3]]], axis=1)
    keypoints = 1000 * trajectory.hands["right"].keypoints @ module.TO_WORLD
    clip = {"fps": 60, "mesh": "box.stl", "keypoints_mm": keypoints.tolist(), "object_pose": pose.tolist()}
    (folder / "lift.json").write_text(json.dumps(clip))
    return folder


def test_an_own_dataset_is_imported_listed_and_retargeted(cache, tmp_path, source, lift):
    assert example("own_dataset").main(source) == ["mine/lift"]
    clip, trajectory = load_clip("mine/lift"), lift[0]
    np.testing.assert_allclose(clip.hands["right"].keypoints, trajectory.hands["right"].keypoints, atol=1e-6)
    np.testing.assert_allclose(np.abs(clip.object_pose), np.abs(trajectory.object_pose), atol=1e-6)
    assert np.ptp(load_object("mine/box").vertices, axis=0) == pytest.approx(np.ptp(lift[1].vertices, axis=0), abs=1e-6)
    assert len(walk((ROOT / "docs" / "add_a_dataset.md").read_text(), tmp_path)) == 2


def test_the_page_quotes_the_importer():
    page, program = (ROOT / "docs" / "add_a_dataset.md").read_text(), (ROOT / "examples" / "own_dataset.py").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert blocks and all(block in program for block in blocks)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert len(EXAMPLES) == 3 and len(path.read_text().splitlines()) <= 62
