"""The LeRobot dataset: what its rows hold, and that lerobot reads it."""

import importlib
import json
import sys

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.lerobot import export_lerobot
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, MissingExtraError
from dexhot.paths import share_dir
from dexhot.perception.adapters.sam2 import torchvision_importable

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def shipped() -> Demonstration:
    return load(share_dir() / "policies" / "lift_box.npz", Demonstration)


@pytest.fixture
def dataset(shipped, tmp_path):
    return export_lerobot([shipped, shipped], tmp_path / "new" / "dataset")


def test_a_row_is_the_state_before_its_action(dataset, shipped):
    table = parquet.read_table(dataset / "data/chunk-000/file-000.parquet")
    state = np.array(table["observation.state"].to_pylist())
    T = len(shipped.actions)
    np.testing.assert_allclose(state[0], shipped.reference.q[0], atol=1e-6)
    np.testing.assert_allclose(state[1:T], shipped.q[:-1], atol=1e-6)
    np.testing.assert_allclose(table["action"].to_pylist()[T:], shipped.actions, atol=1e-6)
    np.testing.assert_allclose(
        table["observation.environment_state"].to_pylist()[T + 1], shipped.object_pose[0], atol=1e-6
    )
    assert table["episode_index"].to_pylist() == [0] * T + [1] * T
    assert table["index"].to_pylist() == list(range(2 * T))
    assert table["timestamp"].to_pylist()[T + 60] == pytest.approx(1.0)
    assert str(table.schema.field("action").type) == "fixed_size_list<element: float>[22]"


def test_info_describes_the_columns_in_their_order(dataset, shipped):
    info = json.loads((dataset / "meta/info.json").read_text())
    columns = parquet.read_schema(dataset / "data/chunk-000/file-000.parquet").names
    assert list(info["features"]) == columns and info["codebase_version"] == "v3.0" and info["fps"] == 60
    assert info["features"]["action"]["names"] == shipped.reference.joint_names
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 2 * len(shipped.actions), 1)
    assert info["robot_type"] == "leap_right" and info["splits"] == {"train": "0:2"}


def test_episodes_name_their_rows_and_tasks_are_pandas_index(dataset, shipped):
    episodes = parquet.read_table(dataset / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    T = len(shipped.actions)
    spans = [(e["dataset_from_index"], e["dataset_to_index"], e["length"]) for e in episodes]
    assert spans == [(0, T, T), (T, 2 * T, T)]
    np.testing.assert_allclose(episodes[0]["stats/action/mean"], shipped.actions.mean(axis=0), atol=1e-5)
    assert episodes[0]["stats/action/count"] == [T]
    tasks = parquet.read_table(dataset / "meta/tasks.parquet")
    index = json.loads(tasks.schema.metadata[b"pandas"])["index_columns"]
    assert tasks[index[0]].to_pylist() == episodes[1]["tasks"] and tasks["task_index"].to_pylist() == [0]
    assert "lift-box" in episodes[0]["tasks"][0]


def test_lerobots_own_reader_loads_it(dataset, shipped):
    """lerobot 0.4.4 asks for an older torch than the one that training has; it reads with that too."""
    pytest.importorskip("lerobot")
    torchvision_importable()  # its reader imports that, for images, of which there are none here
    reader = importlib.import_module("lerobot.datasets.lerobot_dataset")
    read = reader.LeRobotDataset("local/test", root=dataset, delta_timestamps={"action": [0, 1 / 60]})
    assert len(read) == 2 * len(shipped.actions) and read.num_episodes == 2
    np.testing.assert_allclose(read[3]["action"], shipped.actions[3:5], atol=1e-6)


def test_what_cannot_be_one_dataset_is_refused_before_anything_is_written(shipped, tmp_path):
    with pytest.raises(DexhotError, match="of one hand, not of none"):
        export_lerobot([], tmp_path / "dataset")
    other = load(share_dir() / "policies" / "lift_box.npz", Demonstration)
    other.reference.hand = "leap_left"
    with pytest.raises(DexhotError, match="leap_left, leap_right"):
        export_lerobot([shipped, other], tmp_path / "dataset")
    (tmp_path / "mine").mkdir()
    with pytest.raises(DexhotError, match="exists; name a new folder"):
        export_lerobot([shipped], tmp_path / "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_without_pyarrow_the_extra_is_named(shipped, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"dexhot\[lerobot\]"):
        export_lerobot([shipped], tmp_path / "dataset")
    assert not list(tmp_path.iterdir())


def test_the_command_exports(shipped, tmp_path, capsys):
    path = save(shipped, tmp_path / "d")
    assert main(["export", str(path), "--to", "lerobot", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"] == 1
    assert main(["export", str(tmp_path / "out/meta/info.json"), "--to", "lerobot"]) == 1
    assert "is not a dexhot file" in capsys.readouterr().err
