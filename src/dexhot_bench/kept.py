"""What a benchmark that takes hours has measured: each value is kept in a file at once, and the next run goes on."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dexhot
from dexhot.data.files import write_text
from dexhot.evaluation.summary import NOT_RUN as NOT_RUN
from dexhot.versions import source_hash

Row = dict[str, Any]


@dataclass
class Deadline:
    """After so many minutes nothing more is begun; None: there is no end."""

    minutes: float | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether they have passed."""
        return self.minutes is not None and time.monotonic() - self.began > 60.0 * self.minutes


@dataclass
class Kept:
    """Values by name in a JSON file, which two runs may fill; those that other code has measured do not count."""

    path: Path | None  # None: kept for this run only
    code: str = ""  # `code_key` of what the values depend on, where their names do not say it
    found: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.found = self._read()

    def get(self, name: str) -> Any:
        """A value, None where there is none."""
        return self.found.get(self._key(name))

    def put(self, name: str, value: Any) -> None:
        """Keep a value, beside what another run has kept meanwhile."""
        self.found |= self._read() | {self._key(name): value}
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps(self.found, indent=1) + "\n")

    def measured(self, name: str, measure: Callable[[], Any], late: Deadline) -> Any:
        """A value, measured now where it is missing and there is time. None is a value that could not be measured."""
        if self.get(name) is None and not late.over and (value := measure()) is not None:
            self.put(name, value)
        return self.get(name)

    def _key(self, name: str) -> str:
        return f"{name} [{self.code}]" if self.code else name

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text()) if self.path and self.path.is_file() else {}
        return found


def code_key(packages: Iterable[str], *modules: str, mining: bool = True) -> str:
    """Hash of these packages of dexhot and files, and of what simulation and mining depend on (`source_hash`)."""
    root, digest = Path(dexhot.__file__).parent, hashlib.sha256(source_hash().encode() if mining else b"")
    for path in [*sorted(p for name in packages for p in (root / name).glob("*.py")), *map(Path, modules)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
