"""The demonstration-scaling curve (DexTrack, figure 5 and table 6): generalists of nested subsets of one set.

Each is judged on the same clips, of which none of them was shown anything, beside object-relative replay in the same
worlds.

1. What to show is drawn once (subsets.py) and kept: a set that grows meanwhile changes nothing.
2. Attempts of the ledger that are no demonstrations are made again where "at-once" needs their labels.
3. Each demonstration is shown once, in parallel; the frames are shared by all subsets.
4. A network per row is cloned and exported, then judged clip by clip.

Every step leaves a file in the folder, so a run that was stopped goes on.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.policy import OnnxNetwork
from dexhot.data.files import jsonable, load, save, write_text
from dexhot.data.types import Demonstration, PolicyCard, Reference
from dexhot.datasets import split_clips, splits
from dexhot.datasets.retargeted import retargeted_clip
from dexhot.errors import DexhotError, FileFormatError
from dexhot.evaluation.controllers import (
    MOTIONS,
    EvaluationOptions,
    interval,
    judge_motion,
    judge_policy,
    summarise,
)
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.setup import load_setup
from dexhot.versions import versions
from dexhot_train.curriculum.data_engine import Attempt, EngineOptions, labelled
from dexhot_train.curriculum.ledger import LEDGER, MADE, figures, read
from dexhot_train.curriculum.variations import CLIP, Variation
from dexhot_train.export import export_policy
from dexhot_train.learners.folder import CONFIG, claim
from dexhot_train.learners.generalist import GeneralistOptions, card_for, frames_name, shown_frames
from dexhot_train.learners.imitation import FitOptions, clone
from dexhot_train.learners.lessons import kept_step
from dexhot_train.mining.executor import Run
from dexhot_train.scaling.subsets import AT_ONCE, COUNTINGS, LABELS, MIXED, Drawn, draw
from dexhot_train.terms import carried_terms, sources

CURVE, DRAWN = "curve.json", "drawn.json"
HELD_OUT, TEST = "held-out", "test"  # what is judged on
COUNTS = (16, 64, 256, 1024)
REPLAY = "replay"  # the row beside


@dataclass(frozen=True)
class ScalingOptions:
    """What is trained; only `counts`, `countings` and `labels` may change when a run goes on."""

    counts: tuple[int, ...] = COUNTS
    countings: tuple[str, ...] = tuple(COUNTINGS)
    labels: int = 64  # demonstrations of each set of labels; 0: none is trained
    held_out: float = 0.2  # fraction of the clips
    trials: int = 10  # perturbed worlds per clip that is judged on
    worlds: int = 8  # in which a demonstration is shown
    seed: int = 0
    updates: int = 10_000  # of every network: of few demonstrations it would else be a network that is hardly trained
    fit: FitOptions = field(default_factory=lambda: GeneralistOptions().fit)


@dataclass(frozen=True)
class SetOfDemonstrations:
    """A folder of the data engine, read only."""

    folder: Path
    rows: list[dict[str, Any]]
    options: EngineOptions

    @property
    def by_name(self) -> dict[str, dict[str, Any]]:
        """Attempt -> its row."""
        return {row["name"]: row for row in self.rows}


def read_set(folder: Path) -> SetOfDemonstrations:
    """From a folder of `dexhot train demonstrations`. Raises FileFormatError where it is none."""
    if not (folder / CONFIG).is_file():
        raise FileFormatError(f"{folder} is no set of `dexhot train demonstrations`: it has no {CONFIG}.")
    rows = read(folder / LEDGER)
    try:
        made = json.loads((folder / CONFIG).read_text())["settings"]["options"]
        options = EngineOptions(**made | {"kinds": tuple(made["kinds"])})
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(f"{folder} is no set of `dexhot train demonstrations` ({e}).") from e
    return SetOfDemonstrations(folder, rows, options)


def run_scaling(
    source: SetOfDemonstrations,
    options: ScalingOptions,
    folder: Path,
    run: Run,
    split: str = HELD_OUT,
    command: str = "",
    report: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Train and judge what is missing of the curve; what CURVE then has. `split`: TEST judges on GRAB's test clips too.

    Raises DexhotError for a folder of other settings, a set that is too small, or a worker that was killed.
    """
    claim(folder, {"options": asdict(options)}, command, ("options.counts", "options.countings", "options.labels"))
    drawn = _drawn(source, options, folder)
    subsets, absent = subsets_of(drawn, options)
    for name, why in absent.items():
        report(f"{name} is left out: {why}")
    if not subsets:
        raise DexhotError(
            "the set is too small for any of the counts; make more demonstrations, or give other --counts."
        )
    files = _files(source, drawn, subsets, folder, run, report)
    made = {name: load(source.folder / f"{name}.npz", Demonstration) for name in drawn.orders[MIXED]}
    card = card_for(list(made.values()))
    others = {name: load(path, Demonstration) for name, path in files.items() if name not in made}
    known = made | others
    _show(known, subsets, card, options, folder, run, report)
    missing = [name for name in subsets if not network_file(folder, name).with_suffix(".json").is_file()]
    report(f"{len(missing)} networks to clone")
    jobs = [_cloning(n, [known[x] for x in subsets[n]], card, options, folder, command) for n in missing]
    for job, _ in _results(run, cloned, jobs):
        report(f"{job.out.stem} is cloned")
    where = {HELD_OUT: drawn.held_out} | ({TEST: _test_clips()} if split == TEST else {})
    for name, clips in where.items():
        _judge(name, clips, list(subsets), source.options, options, folder, run, report)
    return written(source, drawn, absent, folder, options)


def subsets_of(drawn: Drawn, o: ScalingOptions) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Row -> names of what it is trained on, and row -> why it is left out. All labels have equally many, and the mixed
    row beside them as many."""
    wanted = [(how, count) for how in o.countings for count in sorted(set(o.counts))]
    if o.labels:
        wanted += [(how, o.labels) for how in (MIXED, *LABELS)]
    subsets, absent = {}, {}
    for how, count in dict.fromkeys(wanted):
        try:
            subsets[f"{how}-{count}"] = drawn.subset(how, count)
        except DexhotError as e:
            absent[f"{how}-{count}"] = str(e)
    return subsets, absent


def network_file(folder: Path, row: str) -> Path:
    """The .onnx of a row, its card beside it."""
    return folder / "networks" / f"{row}.onnx"


def _drawn(source: SetOfDemonstrations, o: ScalingOptions, folder: Path) -> Drawn:
    path = folder / DRAWN
    if path.is_file():
        try:
            return Drawn(**json.loads(path.read_text()))
        except (ValueError, TypeError) as e:
            raise FileFormatError(f"{path} is damaged ({e}); choose another folder with --out.") from e
    drawn = draw(source.rows, o.held_out, o.seed)
    write_text(path, json.dumps(asdict(drawn), indent=1) + "\n")
    return drawn


def _results(run: Run, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Any:
    """(job, result) of jobs that must all succeed."""
    for job, result in run(function, list(jobs)) if jobs else ():
        if isinstance(result, Exception):
            raise result
        yield job, result


# Labels and frames


def _files(
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
    for _ in _results(run, relabelled, missing):
        pass
    return files


def relabelled(job: tuple[Attempt, Path]) -> None:
    """Save the best that an attempt finds, though it is no demonstration."""
    attempt, path = job
    found, _ = labelled(attempt, time.process_time())
    save(found, path)


def _show(
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
    for k, _ in enumerate(_results(run, show, list(jobs.values())), 1):
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


# Networks


@dataclass(frozen=True)
class Cloning:
    """One network to clone."""

    frames: list[Path]
    card: PolicyCard  # its provenance has what is known before
    fit: FitOptions
    updates: int
    seed: int
    out: Path


def cloned(job: Cloning) -> None:
    """Clone and export a network; its card says what it was shown, and what that took."""
    began = time.process_time()
    parts = [kept_step(path) for path in job.frames]
    seen = np.concatenate([part[0] for part in parts])
    wanted = np.concatenate([part[1].astype(np.float32) for part in parts])
    batches = max(1, len(seen) // job.fit.batch)
    fit = replace(job.fit, epochs=max(1, round(job.updates / batches)))
    network = clone(job.card, seen, wanted, fit, job.seed)
    seconds = sum(float(part[2]) for part in parts) + time.process_time() - began
    job.card.provenance |= {"frames": len(seen), "updates": fit.epochs * batches, "seconds_training": seconds}
    export_policy(network, job.card, job.out)


def _cloning(
    row: str, shown: Sequence[Demonstration], card: PolicyCard, o: ScalingOptions, folder: Path, command: str
) -> Cloning:
    own = [d.provenance for d in shown]
    facts: dict[str, Any] = {"demonstrations": len(shown), "clips": len({p["parent"] for p in own})}
    facts |= {"variations": sum(p["kind"] != CLIP for p in own)}
    facts |= {"objects": len({d.reference.object_name for d in shown})}
    facts |= {"succeed": float(np.mean([p.get("verdict", MADE) == MADE for p in own]))}
    facts |= {"control_steps": sum(int(p["control_steps"]) + o.worlds * len(d.actions) for p, d in zip(own, shown))}
    facts |= {"seconds_mining": sum(float(p["seconds_cpu"]) for p in own)}
    facts |= {"command": command, "seed": o.seed, "options": asdict(o), "versions": versions()}
    name, names = f"generalist of {len(shown)} demonstrations ({row})", [d.reference.name for d in shown]
    card = replace(
        card, name=name, training_data=names, terms=carried_terms(sources(shown), "policy"), provenance=facts
    )
    frames = [frames_file(folder, row, d) for d in shown]
    return Cloning(frames, card, o.fit, o.updates, o.seed, network_file(folder, row))


# Judging


@dataclass(frozen=True)
class Judging:
    """One network, or replay, to judge on one clip."""

    row: str
    split: str
    clip: str
    made_for: EngineOptions
    trials: int
    folder: Path

    @property
    def out(self) -> Path:
        """File of the verdict."""
        return self.folder / "judged" / self.split / self.row / f"{self.clip.replace('/', '_')}.json"


def _test_clips() -> list[str]:
    return [f"grab/{clip}" for clip in split_clips("test", splits("grab"))]


def _judge(
    split: str,
    clips: Sequence[str],
    rows: Sequence[str],
    made_for: EngineOptions,
    o: ScalingOptions,
    folder: Path,
    run: Run,
    report: Callable[[str], None],
) -> None:
    jobs = [Judging(row, split, clip, made_for, o.trials, folder) for clip in clips for row in (REPLAY, *rows)]
    jobs = [job for job in jobs if not job.out.is_file()]
    report(f"{split}: {len(jobs)} of {len(clips) * (1 + len(rows))} verdicts are missing")
    for k, _ in enumerate(_results(run, judged, jobs), 1):
        if k % 20 == 0:
            report(f"{split}: {k} of {len(jobs)} are judged")


def judged(job: Judging) -> None:
    """Judge one in the same worlds as all others; a clip that cannot be retargeted says why."""
    try:
        reference = _reference(job)
    except DexhotError as e:
        write_text(job.out, json.dumps({"absent": str(e)}) + "\n")
        return
    setup = load_setup(reference)
    simulator = floating_simulator(reference, setup)
    if job.row == REPLAY:
        motion = MOTIONS[REPLAY](reference, setup, EvaluationOptions())
        verdict = judge_motion(reference, motion, simulator, setup, job.trials)
    else:
        network = OnnxNetwork(network_file(job.folder, job.row))
        verdict = judge_policy(reference, network, simulator, setup, job.trials)
    write_text(job.out, json.dumps(verdict, default=jsonable) + "\n")


def _reference(job: Judging) -> Reference:
    """Of a clip, retargeted once."""
    path = job.folder / "references" / f"{job.clip.replace('/', '_')}.npz"
    if path.is_file():
        return load(path, Reference)
    reference, _ = retargeted_clip(job.clip, job.made_for.hand, job.made_for.profile)
    save(reference, path)
    return reference


# The curve


def written(
    source: SetOfDemonstrations, drawn: Drawn, absent: Mapping[str, str], folder: Path, o: ScalingOptions
) -> dict[str, Any]:
    """Write CURVE, with every row that is judged in the folder; what it has. Raises DexhotError where none is."""
    told: dict[str, Any] = {"left_out": dict(absent), "held_out": drawn.held_out, "trials": o.trials}
    told |= {"worlds": o.worlds, "seed": o.seed, "versions": versions()}
    told["set"] = {"name": source.folder.name, "drawn_from": len(drawn.orders[MIXED]), **figures(source.rows)}
    found: list[dict[str, Any]] = []
    for path in sorted((folder / "networks").glob("*.json")):
        how, _, count = path.stem.rpartition("-")
        card = load(path, PolicyCard)
        facts = {n: v for n, v in card.provenance.items() if n not in ("command", "options", "versions")}
        found.append({"row": path.stem, "how": how, "count": int(count), **facts})
    found.sort(key=lambda entry: ([*COUNTINGS, *LABELS].index(entry["how"]), entry["count"]))
    replay: dict[str, Any] = {}
    for split, clips in ((HELD_OUT, drawn.held_out), (TEST, _test_clips())):
        beside = _verdicts(folder, split, REPLAY, clips)
        unseen = {f"grab/{clip}" for clip in splits("grab")["test_unseen_object"]} if split == TEST else set()
        for entry in found:
            own = _verdicts(folder, split, entry["row"], clips)
            if not beside or set(own) != set(beside):
                continue
            means = summarise([{"clip": c, REPLAY: beside[c], "network": own[c]} for c in own], unseen)
            replay[split] = means[REPLAY]
            entry[split] = means["network"] | {"clips": {c: own[c]["perturbed"] for c in own}}
        judged_here = [entry for entry in found if split in entry]
        for entry in judged_here:
            entry[split] |= _beside(entry, judged_here, split)
    told |= {"rows": [entry for entry in found if HELD_OUT in entry], REPLAY: replay}
    if HELD_OUT not in replay:
        raise DexhotError(
            f"none of the clips held out ({', '.join(drawn.held_out)}) can be judged; give another --seed."
        )
    write_text(folder / CURVE, json.dumps(told, default=jsonable, indent=1) + "\n")
    return told


def _verdicts(folder: Path, split: str, row: str, clips: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Clip -> what is judged, without clips that cannot be; {} where a clip is missing."""
    found = {}
    for clip in clips:
        path = Judging(row, split, clip, EngineOptions(), 0, folder).out
        if not path.is_file():
            return {}
        if "absent" not in (verdict := json.loads(path.read_text())):
            found[clip] = verdict
    return found


def _beside(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], split: str) -> dict[str, Any]:
    """What it has over the fewest demonstrations of its counting, or labels over the mixed row of as many, paired by
    clip, with 95 % intervals."""
    if row["how"] in LABELS:
        name, others = "over_mixed", [r for r in rows if r["how"] == MIXED and r["count"] == row["count"]]
    else:
        name, others = "over_fewest", [r for r in rows if r["how"] == row["how"]]
    if not others:
        return {}
    other = min(others, key=lambda r: r["count"])
    margin = np.array([row[split]["clips"][c] - other[split]["clips"][c] for c in row[split]["clips"]])
    return {name: float(margin.mean()), f"{name}_interval": interval(margin)}
