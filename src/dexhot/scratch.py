"""Folders for a while: marked as ours when they are made, and only those with the mark are ever removed.

The mark names the process that made the folder. What a killed process left behind is removed by the next that makes one
in the same place, once no process of this machine has that number and start time any more.
"""

import json
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

PREFIX, MARK = "dexhot-", ".dexhot-scratch.json"


def make_scratch(parent: str | Path | None = None) -> Path:
    """A new folder in `parent`, by default the system's for temporary files, for as long as this process lives."""
    parent = Path(parent or tempfile.gettempdir())
    for left in parent.glob(f"{PREFIX}*/{MARK}"):
        if _abandoned(left):
            remove_scratch(left.parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    made_by = psutil.Process()
    mark = {"host": platform.node(), "pid": made_by.pid, "started": made_by.create_time()}
    (folder / MARK).write_text(json.dumps(mark))
    return folder


def remove_scratch(folder: str | Path) -> bool:
    """Remove a folder that `make_scratch` made; any other, a link too, stays. Returns whether it was removed."""
    folder = Path(folder)
    if folder.is_symlink() or not (folder / MARK).is_file():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _abandoned(mark: Path) -> bool:
    """Whether the process that the mark names has ended. What cannot be known is not abandoned."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if mark.stat().st_uid != os.getuid() or mark.parent.is_symlink():
            return False
        made_by = json.loads(mark.read_text())
        if made_by["host"] != platform.node():
            return False
        try:
            return bool(abs(psutil.Process(int(made_by["pid"])).create_time() - float(made_by["started"])) > 1.0)
        except psutil.NoSuchProcess:
            return True
    return False
