"""A mutant is put into a copy of the checkout and its tests run there; the checkout itself is never written to.

Tests run in a process that is forked with the heavy libraries loaded, and limited in processor time and memory.
"""

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

HEAVY = ("pytest", "numpy", "scipy.spatial.transform", "scipy.optimize", "mujoco", "trimesh")
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not ros and not data", "--timeout", "0")
MEMORY = 8 << 30  # bytes


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """A temporary copy of what git tracks or would."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    )
    with TemporaryDirectory(prefix="dexhot-mutants-") as folder:
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, Path(folder) / name)
        yield Path(folder)


class Trial:
    """A run of tests in a copy, in a process group of its own."""

    def __init__(self, pid: int, seconds: float):
        self.pid, self.ends = pid, time.monotonic() + seconds
        self.status: int | None = None  # pytest's exit status, or -1 when a limit ended it
        self.cpu = 0.0  # s of processor time, once it has ended

    def poll(self) -> bool:
        """Whether it has ended; one that is late is ended."""
        if self.status is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
                self.cpu = used.ru_utime + used.ru_stime
            elif time.monotonic() > self.ends:
                self.end()
        return self.status is not None

    def wait(self) -> int:
        """Its status, once it has ended."""
        while not self.poll():
            self.rest()
        assert self.status is not None
        return self.status

    @staticmethod
    def rest() -> None:
        """A moment between two polls: wait4 has no time limit of its own."""
        time.sleep(0.02)

    def end(self) -> None:
        """Kill it and what it has started."""
        if self.status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def start(copy: Path, tests: tuple[str, ...], log: Path, cpu: float, bytecode: bool = False) -> Trial:
    """Run tests in a copy. cpu: s of processor time it may use; where it only waits it may last ten times as long.

    bytecode: whether any is written: never of a mutant, lest the next one find it.
    """
    for name in HEAVY:
        importlib.import_module(name)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Trial(pid, 10.0 * cpu)
    status = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu), int(cpu) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(out, stream)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy / "src")
        sys.path.insert(0, str(copy / "src"))
        if not bytecode:
            sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        status = int(importlib.import_module("pytest").main([*PYTEST, *tests]))
        sys.stdout.flush()
    finally:
        os._exit(status)


def write(path: Path, text: str) -> None:
    """Put text into a copied module; bytecode of what stood there is forgotten."""
    path.write_text(text)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
