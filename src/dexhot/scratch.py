"""Scratch folders: marked as ours when made; only folders with the mark are ever removed.

The mark identifies the process that made the folder. A killed process's folder is removed by the next process that
makes one in the same place, if no process on this machine has that id and start time.
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
    """A new folder in `parent`, by default the system's temporary folder, for the lifetime of this process."""
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
    """Remove a folder made by `make_scratch`; any other, also a link, is kept. Returns whether it was removed."""
    folder = Path(folder)
    if folder.is_symlink() or not (folder / MARK).is_file():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _abandoned(mark: Path) -> bool:
    """Whether the process in the mark has ended; False if unknown."""
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
