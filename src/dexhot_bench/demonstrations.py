"""`dexhot bench demonstrations`: what the data engine makes in a core-hour, and its yield, on GRAB's train clips."""

import hashlib
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dexhot.datasets import split_clips, splits
from dexhot.paths import cache_dir
from dexhot.progress import progress
from dexhot.versions import source_hash
from dexhot_train import curriculum
from dexhot_train.curriculum.data_engine import EngineOptions, make_set
from dexhot_train.curriculum.ledger import by_kind

EVERY = 3  # every third train clip
QUICK = ["grab/duck_lift", "grab/mug_lift"]  # of these; two variations of each


def run(quick: bool = False, workers: int = 1) -> dict[str, Any]:
    """The ledger's figures, parents counted in, and those of each kind. A full run that was stopped goes on, unless the
    code has changed since: its folder is in the cache."""
    clips, options = [f"grab/{clip}" for clip in split_clips("train", splits("grab"))][::EVERY], EngineOptions()
    if quick:
        clips, options = QUICK, EngineOptions(per_clip=2)
    with ExitStack() as stack, progress("demonstrations", counted=True) as job:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if quick else folder_of()
        rows = make_set(clips, options, folder, workers=workers, progress=lambda n, of, line: job(n, of)).rows
    figures = by_kind(rows)
    metrics = dict(figures["all"])
    metrics |= {f"{kind}_yield": figures[kind]["yield"] for kind in figures if kind != "all"}
    metrics |= {f"{kind}_seconds_each": (f["seconds_cpu"] or 0) / (f["attempts"] or 1) for kind, f in figures.items()}
    return {"metrics": metrics, "subset": clips, "rows": rows}


def folder_of() -> Path:
    """Folder of the full run's set, of the code as it is."""
    digest = hashlib.sha256(source_hash().encode())
    for path in sorted(Path(curriculum.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return cache_dir() / "demonstrations" / digest.hexdigest()[:16]
