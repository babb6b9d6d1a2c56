"""run.json of a run's folder: its schema, and the one reader of it (bringup/run_folder.py writes it)."""

import json
from pathlib import Path
from typing import Any

from dexhot.errors import FileFormatError

RUN_FILE = "run.json"
SCHEMA, VERSION = "dexhot/run", 1


def is_run(folder: str | Path) -> bool:
    """Whether a folder is that of a run."""
    return (Path(folder) / RUN_FILE).is_file()


def recorded_namespace(folder: str | Path) -> str | None:
    """The namespace ("/robot1", or "") of the robot that was recorded; None if run.json does not contain it."""
    try:
        namespace = read_run(folder).get("arguments", {}).get("namespace")
    except FileFormatError:
        return None
    return None if namespace is None else f"/{namespace}" if namespace else ""


def read_run(folder: str | Path) -> dict[str, Any]:
    """run.json of a run's folder. Raises FileFormatError."""
    path = Path(folder) / RUN_FILE
    try:
        entries: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise FileFormatError(f"{folder} is not the folder of a run: {e}.") from e
    if entries.get("schema") != SCHEMA or entries.get("version", 0) > VERSION:
        raise FileFormatError(
            f"{path} is {entries.get('schema')!r}; this dexhot reads {SCHEMA!r} up to version {VERSION}."
        )
    return entries
