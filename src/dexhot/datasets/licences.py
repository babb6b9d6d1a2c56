"""Licence terms of datasets: asked for once, the answer kept in the cache."""

import json
import sys
from datetime import date
from pathlib import Path

from rich.prompt import Confirm

from dexhot.data.files import write_text
from dexhot.errors import FileFormatError, LicenceError
from dexhot.paths import cache_dir


def accepted_before(dataset: str) -> bool:
    """Whether the terms of `dataset` were accepted before."""
    return dataset in _record()


def require_acceptance(dataset: str, terms: str, accepted: bool | None, flag: str = "") -> None:
    """Return if the terms are accepted, now or before. `accepted` None asks on the terminal. Raises LicenceError, which
    names the option that accepts them (`flag`)."""
    if accepted_before(dataset):
        return
    print(terms, file=sys.stderr)
    if accepted is None and not sys.stdin.isatty():
        raise LicenceError(
            f"the terms of {dataset}, stated above, must be accepted, and there is no terminal to ask on; "
            f"accept them with {flag or f'--accept-licence {dataset}'}."
        )
    if accepted is None:
        accepted = Confirm.ask("Do you accept these terms?", default=False)
    if not accepted:
        raise LicenceError(f"the terms of {dataset} were not accepted; nothing was downloaded or written.")
    write_text(_path(), json.dumps(_record() | {dataset: f"accepted on {date.today()}"}, indent=1))


def _path() -> Path:
    return cache_dir() / "licences.json"


def _record() -> dict[str, str]:
    try:
        return json.loads(_path().read_text()) if _path().is_file() else {}
    except ValueError as e:
        raise FileFormatError(f"{_path()} is damaged ({e}); delete it and accept the terms again.") from e
