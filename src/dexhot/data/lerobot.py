"""Demonstrations as a LeRobot dataset, format v3.0, which lerobot's own reader loads from the folder.

An episode per demonstration, at its 60 Hz: `action` are its position targets, `observation.state` the hand vector
before each, `observation.environment_state` the object's pose there (x y z qw qx qy qz). No images. The parquet files
need pyarrow (the extra `lerobot`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.disk import check_folder
from dexhot.data.files import replacing, write_text
from dexhot.data.types import RATE, Demonstration
from dexhot.errors import DexhotError, MissingExtraError

VERSION = "v3.0"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
POSE = ["x", "y", "z", "qw", "qx", "qy", "qz"]
QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)


def export_lerobot(demonstrations: list[Demonstration], folder: Path) -> Path:
    """Write the dataset into a new folder; returns it. A folder that exists is not touched.

    Raises DexhotError for no demonstration, ones of several hands, or a folder that exists.
    """
    hands = sorted({d.reference.hand for d in demonstrations})
    if len(hands) != 1:
        raise DexhotError(f"a LeRobot dataset needs demonstrations of one hand, not of {', '.join(hands) or 'none'}.")
    if folder.exists():
        raise DexhotError(f"{folder} exists; name a new folder with --out.")
    _pyarrow()
    check_folder(folder.parent, "--out")
    features = _features(demonstrations[0])
    tasks = list(dict.fromkeys(task_of(d) for d in demonstrations))
    episodes, start = [], 0
    for k, demonstration in enumerate(demonstrations):
        episodes.append(_frames(demonstration, k, start, tasks.index(task_of(demonstration))))
        start += len(demonstration.actions)
    whole = {name: np.concatenate([e[name] for e in episodes]) for name in episodes[0]}
    _write_table(folder / DATA.format(chunk_index=0, file_index=0), whole, features)
    _write_episodes(folder / EPISODES, demonstrations, episodes)
    _write_tasks(folder / "meta/tasks.parquet", tasks)
    write_text(folder / "meta/stats.json", json.dumps({n: _stats(v) for n, v in whole.items()}, indent=4) + "\n")
    info = {
        "codebase_version": VERSION,
        "robot_type": hands[0],
        "total_episodes": len(episodes),
        "total_frames": start,
        "total_tasks": len(tasks),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": round(RATE),
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": DATA,
        "video_path": None,
        "features": features,
    }
    write_text(folder / "meta/info.json", json.dumps(info, indent=4) + "\n")  # last: without it there is no dataset
    return folder


def task_of(demonstration: Demonstration) -> str:
    """The episode's task in words."""
    clip = demonstration.reference.name.rpartition("/")[2].replace("_", " ")
    return f"{clip}: track the person's motion of {demonstration.reference.object_name}"


def _features(demonstration: Demonstration) -> dict[str, dict[str, Any]]:
    joints = list(demonstration.reference.joint_names)
    found: dict[str, dict[str, Any]] = {
        "observation.state": {"dtype": "float32", "shape": [len(joints)], "names": joints},
        "observation.environment_state": {"dtype": "float32", "shape": [7], "names": POSE},
        "action": {"dtype": "float32", "shape": [len(joints)], "names": joints},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    return found | {
        name: {"dtype": "int64", "shape": [1], "names": None}
        for name in ("frame_index", "episode_index", "index", "task_index")
    }


def _frames(demonstration: Demonstration, episode: int, start: int, task: int) -> dict[str, np.ndarray]:
    """Columns of one episode. Row t of a demonstration is what its action t led to; the state before is row t - 1."""
    d, r = demonstration, demonstration.reference
    T = len(d.actions)
    return {
        "observation.state": np.concatenate([r.q[:1], d.q[:-1]]).astype(np.float32),
        "observation.environment_state": np.concatenate([r.object_pose[:1], d.object_pose[:-1]]).astype(np.float32),
        "action": d.actions.astype(np.float32),
        "timestamp": (np.arange(T) / RATE).astype(np.float32),
        "frame_index": np.arange(T),
        "episode_index": np.full(T, episode),
        "index": np.arange(start, start + T),
        "task_index": np.full(T, task),
    }


def _stats(values: np.ndarray) -> dict[str, list[float]]:
    """The statistics that lerobot keeps of a feature (T,) or (T, n)."""
    values = values.reshape(len(values), -1).astype(float)
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    found |= {f"q{round(100 * q):02d}": np.quantile(values, q, axis=0) for q in QUANTILES}
    return {name: [float(x) for x in v] for name, v in found.items()} | {"count": [len(values)]}


def _write_episodes(path: Path, demonstrations: list[Demonstration], episodes: list[dict[str, np.ndarray]]) -> None:
    pa = _pyarrow()
    rows = []
    for k, (demonstration, columns) in enumerate(zip(demonstrations, episodes)):
        row: dict[str, Any] = {
            "episode_index": k,
            "tasks": [task_of(demonstration)],
            "length": len(columns["index"]),
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": int(columns["index"][0]),
            "dataset_to_index": int(columns["index"][-1]) + 1,
        }
        for name, values in columns.items():
            row |= {f"stats/{name}/{stat}": numbers for stat, numbers in _stats(values).items()}
        rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
    _write_parquet(path, pa.Table.from_pylist(rows))


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """The task of each index. Its reader takes the words from pandas' index, so they are marked as that."""
    pa = _pyarrow()
    index = "__index_level_0__"
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), index: pa.array(tasks, pa.string())})
    kinds = ((None, index, "unicode", "object"), ("task_index", "task_index", "int64", "int64"))
    columns = [
        {"name": name, "field_name": field, "pandas_type": kind, "numpy_type": held, "metadata": None}
        for name, field, kind, held in kinds
    ]
    pandas = {"index_columns": [index], "column_indexes": [], "columns": columns, "pandas_version": "2.2.0"}
    _write_parquet(path, table.replace_schema_metadata({"pandas": json.dumps(pandas)}))


def _write_table(path: Path, columns: dict[str, np.ndarray], features: dict[str, dict[str, Any]]) -> None:
    pa = _pyarrow()
    arrays = {}
    for name, feature in features.items():
        flat = pa.array(columns[name].ravel(), getattr(pa, feature["dtype"])())
        size = feature["shape"][0]
        arrays[name] = pa.FixedSizeListArray.from_arrays(flat, size) if size > 1 else flat
    _write_parquet(path, pa.table(arrays))


def _write_parquet(path: Path, table: Any) -> None:
    import pyarrow.parquet as parquet

    with replacing(path) as temporary:
        parquet.write_table(table, temporary)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as e:
        raise MissingExtraError("a LeRobot dataset", "lerobot") from e
    return pyarrow
