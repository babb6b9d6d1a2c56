"""`dexhot bench demonstrations`: what the data engine makes in a core-hour, and its yield, on GRAB's train clips."""

import tempfile
from pathlib import Path
from typing import Any

from dexhot.datasets import splits
from dexhot.progress import progress
from dexhot_train.curriculum.data_engine import EngineOptions, make_set
from dexhot_train.curriculum.ledger import by_kind
from dexhot_train.curriculum.variations import KINDS

EVERY, QUICK_CLIPS = 3, 3  # every third train clip; so many of them


def run(quick: bool = False, workers: int = 1) -> dict[str, Any]:
    """The ledger's figures, parents counted in, and those of each kind. quick: 3 clips, a stretched and a warped one
    of each."""
    clips = [f"grab/{clip}" for clip in splits("grab")["train"]][::EVERY]
    options = EngineOptions(per_clip=len(KINDS))
    if quick:
        clips, options = clips[:: len(clips) // QUICK_CLIPS][:QUICK_CLIPS], EngineOptions(per_clip=2)
    with tempfile.TemporaryDirectory() as folder, progress("demonstrations", counted=True) as job:
        rows = make_set(clips, options, Path(folder), workers=workers, progress=lambda n, of, line: job(n, of)).rows
    figures = by_kind(rows)
    metrics = dict(figures["all"])
    metrics |= {f"{kind}_yield": figures[kind]["yield"] for kind in figures if kind != "all"}
    metrics |= {f"{kind}_seconds_each": (f["seconds_cpu"] or 0) / (f["attempts"] or 1) for kind, f in figures.items()}
    return {"metrics": metrics, "subset": clips, "rows": rows}
