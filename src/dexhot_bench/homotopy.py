"""`dexhot bench homotopy`: the generator's paths on unseen tasks, DexTrack's table 9.

(a) tasks of GRAB's train split that the generator did not see, (b) of GRAB's test split, (c) of TACO's first test
split, (d) those of (c), by a generator of both datasets. 50 tasks each, or all there are, drawn evenly with one seed. A
path is effective where its result has a lower error than the same optimiser's without it, at an equal number of control
steps. Nothing is trained here, so test clips may be solved. A run that was stopped goes on in its folder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import load, save
from dexhot.data.types import Reference
from dexhot.datasets import split_clips, splits
from dexhot.datasets.retargeted import retargeted_clip
from dexhot.errors import DexhotError, NotFoundError
from dexhot.paths import cache_dir
from dexhot.progress import progress, track
from dexhot_bench.dextrack_paper import TABLE_9, Printed, table_9
from dexhot_train.curriculum.homotopy import HomotopyOptions
from dexhot_train.curriculum.ledger import LEDGER
from dexhot_train.curriculum.ledger import read as read_ledger
from dexhot_train.curriculum.path_search import path_figures, search_paths, stem
from dexhot_train.curriculum.tasks import EASIER

TASKS, SEED = 50, 9  # of each test, as in the paper; of the draw
GRAB = ("grab_full", "grab")  # the first with clips
SPLITS = {"a": (GRAB, "train"), "b": (GRAB, "test"), "c": (("taco",), "S0"), "d": (("taco",), "S0")}
BUDGET = 120_000


def task_list(test: str, seen: Sequence[str] = (), count: int = TASKS) -> list[str]:
    """Names of the tasks of a test, at most `count`; of (a), without the clips `seen`. [] where its dataset is not
    imported. Raises NotFoundError for another test."""
    if test not in SPLITS:
        raise NotFoundError("test of table 9", test, SPLITS)
    datasets, split = SPLITS[test]
    for dataset in datasets:
        try:
            clips = [f"{dataset}/{clip}" for clip in split_clips(split, splits(dataset))]
        except DexhotError:
            continue
        left = [clip for clip in clips if test != "a" or clip not in seen]
        drawn = np.random.default_rng([SEED, *split.encode()]).permutation(len(left))[:count]
        return [left[k] for k in sorted(drawn)]
    return []


def seen_by(folders: Sequence[Path]) -> set[str]:
    """The clips in folders of `dexhot train homotopy` or flywheel, from which a generator was trained."""
    found = set()
    for folder in folders:
        for path in folder.rglob("*.reference.npz"):
            found.add(load(path, Reference).name)
    return found


def run(
    quick: bool = False,
    generator: Path | None = None,
    both: Path | None = None,
    seen: Sequence[Path] = (),
    table: str | None = None,
    paths: Path | None = None,
    clips: int = TASKS,
    budget: int = BUDGET,
    hand: str = "leap_right",
    profile: str | None = None,
    workers: int = 0,
) -> dict[str, Any]:
    """generator: trained on GRAB's paths (a to c); both: on GRAB's and TACO's (d); without one its tests are not run.
    seen: folders of the searches that the generator was trained on. table: one test alone. paths: folder of the
    searches. clips: at most so many tasks. quick: 2 tasks of each, with a tenth of the budget.
    """
    count, budget = (min(clips, 2), budget // 10) if quick else (clips, budget)
    folder = paths or cache_dir() / "table9"
    known, found, tests = seen_by(seen), {}, (table,) if table else tuple(SPLITS)
    for test in tests:
        tasks, file = task_list(test, sorted(known), count), both if test == "d" else generator
        if file is not None and tasks:
            _search(tasks, file, folder / test, budget, hand, profile, workers)
        found[test] = ratio(folder / test) | {"asked": len(tasks), "why": _why(tasks, file)}
    return {
        "metrics": {f"effectiveness_ratio_{test}": row["effectiveness_ratio"] for test, row in found.items()},
        "folder": str(folder),
        "budget": budget,
        "tests": found,
        "lists": {test: task_list(test, sorted(known), count) for test in tests},
        "printed": printed(found),
    }


def _why(clips: list[str], file: Path | None) -> str:
    if not clips:
        return "its dataset is not imported"
    return "" if file else "no generator was given"


def _search(
    clips: list[str], generator: Path, folder: Path, budget: int, hand: str, profile: str | None, workers: int
) -> None:
    """Solve the tasks along the generator's paths, and without; each from its reference's file."""
    files = []
    for clip in track(clips, f"retargeting, {folder.name}", len(clips)):
        path = folder / "references" / f"{stem(clip)}.reference.npz"
        if not path.is_file():
            try:
                save(retargeted_clip(clip, hand, profile)[0], path)
            except DexhotError:
                continue  # counted as asked for, not as tried
        files.append(str(path))
    options = HomotopyOptions(budget, how=EASIER, stop=False)
    command = f"dexhot bench homotopy --budget {budget}"
    with progress(f"test {folder.name}", counted=True) as job:
        search_paths(files, "generated", options, folder / "paths", command, workers, "process", job.says(), generator)


def ratio(folder: Path) -> dict[str, Any]:
    """The ratio of effective paths in a test's folder, and of how many tasks; None before any."""
    figures = path_figures(read_ledger(folder / "paths" / LEDGER))
    return {
        "effectiveness_ratio": figures["effectiveness_ratio"],
        "effectiveness_ratio_of_failed": figures["effectiveness_ratio_of_failed"],
        "clips": figures["clips"],
    }


def printed(found: dict[str, Any]) -> dict[str, Printed]:
    """Table 9 with the paper's figures in brackets."""
    return {
        "Table 9: effective paths of the generator": table_9({test: found[test] for test in TABLE_9 if test in found})
    }
