"""Rows of a benchmark that takes hours: each is kept in a file when it is measured, and the next run goes on."""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dexhot
from dexhot.data.files import write_text
from dexhot.versions import source_hash

Row = dict[str, Any]


@dataclass
class KeptRows:
    """Rows by name in a JSON file; those that other code has measured do not count."""

    path: Path
    key: str
    found: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, key: str) -> "KeptRows":
        """Those of a file, if there is one."""
        rows = json.loads(path.read_text()) if path.is_file() else {}
        return cls(path, key, rows)

    def get(self, name: str) -> Row | None:
        """A row, without its key."""
        row = self.found.get(name, {})
        return {k: v for k, v in row.items() if k != "key"} if row.get("key") == self.key else None

    def put(self, name: str, row: Row) -> None:
        """Keep a row."""
        self.found[name] = row | {"key": self.key}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.found, indent=1) + "\n")


@dataclass
class Deadline:
    """After so many minutes nothing more is begun."""

    minutes: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether they have passed."""
        return self.minutes is not None and time.monotonic() - self.began > 60.0 * self.minutes


def code_key(packages: Iterable[str], *modules: str, mining: bool = True) -> str:
    """Hash of these packages of dexhot and files, and of what simulation and mining depend on (`source_hash`)."""
    root, digest = Path(dexhot.__file__).parent, hashlib.sha256(source_hash().encode() if mining else b"")
    for path in [*sorted(p for name in packages for p in (root / name).glob("*.py")), *map(Path, modules)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
