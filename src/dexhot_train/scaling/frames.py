"""The labels and frames that the networks are shown: of each demonstration once, shared by all subsets."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dexhot.data.files import save
from dexhot.data.types import Demonstration, PolicyCard
from dexhot_train.curriculum.data_engine import Attempt, labelled
from dexhot_train.curriculum.ledger import MADE
from dexhot_train.curriculum.variations import Variation
from dexhot_train.learners.generalist import GeneralistOptions, frames_name, shown_frames
from dexhot_train.mining.executor import Run, succeeded
from dexhot_train.scaling.options import ScalingOptions, SetOfDemonstrations
from dexhot_train.scaling.subsets import AT_ONCE, Drawn


def attempt_files(
    source: SetOfDemonstrations,
    drawn: Drawn,
    subsets: Mapping[str, Sequence[str]],
    folder: Path,
    run: Run,
    report: Callable[[str], None],
) -> dict[str, Path]:
    """File of each attempt of the subsets; those without success are made again, as the data engine keeps none."""
    files, missing, rows = {}, [], source.by_name
    for name in dict.fromkeys(name for names in subsets.values() for name in names):
        row = rows[name]
        if row["verdict"] == MADE:
            files[name] = source.folder / f"{name}.npz"
            continue
        files[name] = folder / "failed" / f"{name}.npz"
        if not files[name].is_file():
            variation = Variation(row["parent"], row["kind"], row["seed"])
            missing.append((Attempt(variation, source.options, source.folder), files[name]))
    if missing:
        report(f"{len(missing)} attempts without success are made again, for their labels")
    for _ in succeeded(run, relabelled, missing):
        pass
    return files


def relabelled(job: tuple[Attempt, Path]) -> None:
    """Save the best that an attempt finds, though it is no demonstration."""
    attempt, path = job
    found, _ = labelled(attempt, time.process_time())
    save(found, path)


def show_all(
    demonstrations: Mapping[str, Demonstration],
    subsets: Mapping[str, Sequence[str]],
    card: PolicyCard,
    o: ScalingOptions,
    folder: Path,
    run: Run,
    report: Callable[[str], None],
) -> None:
    """Leave a file of frames of each demonstration."""
    jobs = {}
    for row, names in subsets.items():
        for name in names:
            path = frames_file(folder, row, demonstrations[name])
            if not path.is_file():
                jobs[path] = demonstrations[name], card, _taught(o, row), path.parent
    report(f"{len(jobs)} demonstrations to show")
    for k, _ in enumerate(succeeded(run, show, list(jobs.values())), 1):
        if k % 50 == 0:
            report(f"{k} of {len(jobs)} are shown")


def show(job: tuple[Demonstration, PolicyCard, GeneralistOptions, Path]) -> None:
    """`shown_frames`, which stay in their file."""
    shown_frames(job)


def _taught(o: ScalingOptions, row: str) -> GeneralistOptions:
    return GeneralistOptions(o.seed, o.worlds, failures=is_at_once(row), fit=o.fit)


def is_at_once(row: str) -> bool:
    """Whether failures are shown too."""
    return row.startswith(AT_ONCE)


def frames_file(folder: Path, row: str, demonstration: Demonstration) -> Path:
    """Where the frames of a demonstration are."""
    return folder / ("shown-at-once" if is_at_once(row) else "shown") / f"{frames_name(demonstration)}.npz"
