"""The labels and frames that the networks are shown: of each demonstration once, shared by all subsets."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dexhot.control.policy import OnnxNetwork
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, PolicyCard
from dexhot_train.curriculum.data_engine import Attempt, labelled
from dexhot_train.curriculum.ledger import MADE
from dexhot_train.curriculum.variations import Variation
from dexhot_train.learners.generalist import GeneralistOptions, Question, asked_frames, frames_name, shown_frames
from dexhot_train.learners.lessons import keep_step
from dexhot_train.mining.executor import Run, finish
from dexhot_train.scaling.options import ScalingOptions, SetOfDemonstrations
from dexhot_train.scaling.subsets import ASKED, AT_ONCE, MEANS, how_of

Shown = Mapping[str, Sequence[Demonstration]]  # row -> what its network is shown


def demonstrations_of(
    source: SetOfDemonstrations,
    subsets: Mapping[str, Sequence[str]],
    o: ScalingOptions,
    folder: Path,
    run: Run,
    report: Callable[[str], None],
) -> dict[str, list[Demonstration]]:
    """What each row is shown. Attempts without success are made again, as the data engine keeps none, and those of
    averaged rows with several searches; where these find no demonstration the set's own stays."""
    of_set, kinds = source.by_name, {"failed": source.options, MEANS: replace(source.options, searches=o.searches)}
    wanted: dict[Path, Attempt] = {}
    for name, kind in ((name, _kind(row, of_set[name]["verdict"])) for row, names in subsets.items() for name in names):
        if kind and not (path := folder / kind / f"{name}.npz").is_file():
            variation = Variation(of_set[name]["parent"], of_set[name]["kind"], of_set[name]["seed"])
            wanted[path] = Attempt(variation, kinds[kind], source.folder)
    if wanted:
        report(f"{len(wanted)} attempts are made again, for their labels")
    finish(run, relabelled, [(attempt, path) for path, attempt in wanted.items()], report, "made")

    @cache  # rows share most of them
    def label(kind: str, name: str) -> Demonstration:
        made = load(folder / kind / f"{name}.npz", Demonstration) if kind else None
        if made and (kind != MEANS or made.provenance["verdict"] == MADE):
            return made
        return label("", name) if kind else load(source.folder / f"{name}.npz", Demonstration)

    return {row: [label(_kind(row, of_set[n]["verdict"]), n) for n in names] for row, names in subsets.items()}


def _kind(row: str, verdict: str) -> str:
    """Folder of an attempt that is made again for a row; empty for the set's own."""
    if how_of(row) in (MEANS, ASKED):
        return MEANS
    return "" if verdict == MADE else "failed"


def relabelled(job: tuple[Attempt, Path]) -> None:
    """Save the best that an attempt finds, though it may be no demonstration."""
    attempt, path = job
    found, _ = labelled(attempt, time.process_time())
    save(found, path)


def show_all(
    shown: Shown, card: PolicyCard, o: ScalingOptions, folder: Path, run: Run, report: Callable[[str], None]
) -> None:
    """Leave a file of frames of each demonstration."""
    jobs = {}
    for row, demonstrations in shown.items():
        for d in demonstrations:
            path = frames_file(folder, row, d)
            if not path.is_file():
                taught = GeneralistOptions(o.seed, o.worlds, failures=how_of(row) == AT_ONCE, fit=o.fit)
                jobs[path] = d, card, taught, path.parent
    report(f"{len(jobs)} demonstrations to show")
    finish(run, show, jobs.values(), report, "shown", every=50)


def show(job: tuple[Demonstration, PolicyCard, GeneralistOptions, Path]) -> None:
    """`shown_frames`, which stay in their file."""
    shown_frames(job)


@dataclass(frozen=True)
class Asking:
    """One demonstration, to ask the expert about in the states that a network visits."""

    demonstration: Demonstration
    options: GeneralistOptions
    network: Path
    out: Path


def ask_all(
    row: str,
    demonstrations: Sequence[Demonstration],
    network: Path,
    o: ScalingOptions,
    folder: Path,
    run: Run,
    report: Callable[[str], None],
) -> None:
    """Leave a file of the expert's answers to the states that `network` visits on each demonstration's clip."""
    options, jobs = GeneralistOptions(o.seed, o.asked, fit=o.fit), []
    for d in demonstrations:
        if not (path := answers_file(folder, row, d)).is_file():
            jobs.append(Asking(d, options, network, path))
    report(f"{row}: {len(jobs)} demonstrations to ask about")
    finish(run, ask, jobs, report, "asked about", every=10)


def ask(job: Asking) -> None:
    """Save `asked_frames`."""
    actor = OnnxNetwork(job.network)
    keep_step(job.out, asked_frames(Question(job.demonstration, actor.card, job.options, Path(), actor, 1)))


def frames_files(folder: Path, row: str, demonstration: Demonstration) -> list[Path]:
    """All that a row's network is shown of a demonstration."""
    answers = [answers_file(folder, row, demonstration)] if how_of(row) == ASKED else []
    return [frames_file(folder, row, demonstration), *answers]


def frames_file(folder: Path, row: str, demonstration: Demonstration) -> Path:
    """Where the frames of a demonstration are."""
    kind = {AT_ONCE: "shown-at-once", MEANS: "shown-averaged", ASKED: "shown-averaged"}.get(how_of(row), "shown")
    return folder / kind / f"{frames_name(demonstration)}.npz"


def answers_file(folder: Path, row: str, demonstration: Demonstration) -> Path:
    """Where the answers about a demonstration are: each row's network asks in states of its own."""
    return folder / "asked" / row / f"{frames_name(demonstration)}.npz"
