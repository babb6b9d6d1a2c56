"""The folder of a training: config.json (settings, command, versions), checkpoint.npz, curve.jsonl (a row of figures
per iteration, without times: a resumed training writes the same), seconds.jsonl (each run's), tensorboard/."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dexhot.data.disk import check_folder, hold_folder
from dexhot.data.files import jsonable, write_text
from dexhot.data.json_lines import add_line, read_lines
from dexhot.errors import DexhotError, FileFormatError
from dexhot.versions import versions

CONFIG, CHECKPOINT, CURVE, POLICY = "config.json", "checkpoint.npz", "curve.jsonl", "policy.onnx"
SECONDS = "seconds.jsonl"  # a row per run of the training


def claim(
    folder: Path,
    settings: dict[str, Any],
    command: str,
    free: tuple[str, ...] = (),
    older: dict[str, Any] | None = None,
) -> None:
    """Make the folder and write its configuration, or check that it is the same but for the settings `free`; `older`:
    values of those that folders of earlier versions do not have. Until this
    process ends, no other one can claim it. Raises DexhotError naming the differences, or for a folder that is in use
    or has files but no configuration: somebody else's; FileFormatError for a damaged configuration."""
    check_folder(folder)
    path = folder / CONFIG
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if not path.exists() and (others := [file.name for file in files if not file.name.startswith(".")]):
        raise DexhotError(f"{folder} has {others[0]}, but of no training ({CONFIG}): choose another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    hold_folder(folder, "--out")
    settings = json.loads(json.dumps(settings, default=jsonable))
    if path.is_file():
        try:
            theirs = json.loads(path.read_text())["settings"]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise FileFormatError(f"{path} is damaged; choose another folder with --out.") from e
        there = (older or {}) | dict(_flat(theirs))
        differ = [name for name, value in _flat(settings) if there.get(name, ...) != value and name not in free]
        if differ:
            raise DexhotError(
                f"{folder} has a training with other settings ({', '.join(differ[:5])}): choose another folder with "
                "--out, or give the settings that it began with."
            )
    write_text(path, json.dumps({"settings": settings, "command": command, "versions": versions()}, indent=1) + "\n")


def recorded(rows: Iterable[dict[str, float]], folder: Path, done: int) -> Iterator[dict[str, float]]:
    """Pass the rows on, each written to the curve and to TensorBoard. `done`: iterations of the checkpoint; rows of the
    curve behind it are dropped, they come again."""
    kept = kept_rows(folder, done)
    write_text(folder / CURVE, "".join(json.dumps(row) + "\n" for row in kept))
    with ExitStack() as stack:
        board = _tensorboard(folder, kept[-1]["steps"] if kept else 0)
        if board is not None:
            stack.callback(board.close)
        curve = stack.enter_context(open(folder / CURVE, "a"))
        for row in rows:
            curve.write(json.dumps(row) + "\n")
            curve.flush()
            if board is not None:
                for name, value in row.items():
                    board.add_scalar(name, value, row["steps"])
            yield row


def kept_rows(folder: Path, done: int) -> list[dict[str, float]]:
    """The curve up to iteration `done`. Raises FileFormatError for a damaged one."""
    return [row for row in read_rows(folder / CURVE) if row["iteration"] <= done]


def read_rows(path: Path) -> list[dict[str, float]]:
    """Those of a curve, or of SECONDS; none without the file. Raises FileFormatError naming a damaged line."""
    return read_lines(path, dict, "remove the line")


def took(folder: Path, seconds: float, steps: int) -> None:
    """Note a run of the training, finished or not."""
    add_line(folder / SECONDS, {"seconds": round(seconds, 2), "steps": steps})


def seconds_of(folder: Path) -> float:
    """Wall seconds of all runs of a training; 0 where none were noted. Raises FileFormatError for a damaged file."""
    return sum(row["seconds"] for row in read_rows(folder / SECONDS))


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [pair for key, x in value.items() for pair in _flat(x, f"{name}.{key}" if name else key)]


def _tensorboard(folder: Path, steps: float) -> Any:
    """A writer that goes on after `steps`, or None where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=int(steps) + 1 if steps else None)
