"""Terms of datasets: asked once, remembered in the cache."""

import json
import sys
from datetime import date

from rich.prompt import Confirm

from dexhot.data.files import write_text
from dexhot.errors import LicenceError
from dexhot.paths import cache_dir


def require_acceptance(dataset: str, terms: str, accepted: bool | None) -> None:
    """Return when the terms were accepted, now or before. `accepted` None asks on the terminal. Raises LicenceError."""
    path = cache_dir() / "licences.json"
    record = json.loads(path.read_text()) if path.is_file() else {}
    if dataset in record:
        return
    print(terms, file=sys.stderr)
    if accepted is None and not sys.stdin.isatty():
        raise LicenceError(
            f"{dataset}'s terms, stated above, must be accepted and no terminal is there to ask on; "
            f"accept them with --accept-licence {dataset}."
        )
    if accepted is None:
        accepted = Confirm.ask("Do you accept these terms?", default=False)
    if not accepted:
        raise LicenceError(f"{dataset}'s terms were not accepted; nothing was downloaded or written.")
    write_text(path, json.dumps(record | {dataset: f"accepted on {date.today()}"}, indent=1))
