"""`dexhot bench dextrack`: DexTrack's tables 1, 4 to 6, 9 to 13 and 15 on a dataset, the published figures beside.

A cell is a figure with its number of clips and worlds, or null ("not run"): a policy that was not given or trained, a
dataset that is not imported, a folder that was not named; `not_run` has what makes it (dextrack_missing.py). Rows of
clips are kept, so a run that was stopped goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.bringup.campaign import LEDGER as TRIALS
from dexhot.control.policy import OnnxNetwork
from dexhot.datasets import split_clips
from dexhot.errors import DexhotError
from dexhot.evaluation.campaign import CONTROLLER, read_trials
from dexhot.evaluation.campaign import OURS as OURS_TRIED
from dexhot.evaluation.campaign import tables as campaign_tables
from dexhot.evaluation.clips import dataset_splits
from dexhot.evaluation.controllers import check_names
from dexhot.evaluation.kept_rows import evaluate_kept
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.references import DIFFICULTY
from dexhot.evaluation.split_gap import split_gap
from dexhot.evaluation.summary import summarise
from dexhot.metrics.task_scores import generalization_score
from dexhot.paths import cache_dir
from dexhot.progress import track
from dexhot_bench.dextrack_missing import by_row, learned_baselines, not_run, printed_missing
from dexhot_bench.dextrack_paper import (
    FIGURES,
    TABLE_1,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_9,
    TABLE_10,
    TABLE_11,
    TABLE_12,
    printed,
)
from dexhot_bench.homotopy import ratio, task_list
from dexhot_train.curriculum.flywheel_folder import FlywheelFolder
from dexhot_train.curriculum.ledger import LEDGER
from dexhot_train.curriculum.ledger import read as read_ledger
from dexhot_train.learners.baselines import baseline_folder, trained_baseline
from dexhot_train.learners.folder import seconds_of
from dexhot_train.mining.executor import run_jobs

TABLES = ("1", "4", "5", "6", "9", "10", "11", "12", "13", "15")
DATASETS = ("grab", "grab_full", "taco")
FIRST_TEST = {"taco": "S0"}  # DexTrack's primary results are on the first-level test set
OURS = ("frozen", "kinematic", "replay", "planned")  # rows that the paper does not have
ROLLOUTS = 160  # of planned
LEARNED = tuple(name for name in TABLE_1["grab"] if name != "dgrasp")
CLIPS = 4  # of --quick


@dataclass
class Asked:
    """What a run of the tables was asked for."""

    dataset: str = "grab"
    envs: int = 20
    hand: str = "allegro_right"
    profile: str = "dextrack"
    policies: dict[str, str] = field(default_factory=dict)  # name of a row -> .onnx file
    flywheels: dict[str, FlywheelFolder] = field(default_factory=dict)  # row -> the one that makes its policy
    campaign: Path | None = None
    paths: Path | None = None
    clips: int = 0  # of each split, the first so many; 0: all
    scores: bool = False
    plain: bool = False  # references by eq. 5-7 alone, as the paper has
    workers: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def named(self) -> dict[str, list[str]]:
        """The dataset's splits."""
        return dataset_splits(self.dataset)

    @cached_property
    def networks(self) -> dict[str, str]:
        """The policies that were given, those of the cache and those of the flywheel."""
        found = {}
        for name, (reward, data) in learned_baselines(self.dataset).items():
            if baseline := trained_baseline(reward, data, self.hand, self.profile, self.plain):
                found[name] = str(baseline.policy)
        for name, wheel in self.flywheels.items():
            found |= {name: str(wheel.policy)} if wheel.policy else {}
        if ours := self.flywheels.get("ours"):
            found |= {name: str(path) for name, path in ours.fractions.items()}
        return found | self.policies

    def options(self, names: tuple[str, ...], simulating: bool, scores: bool) -> EvaluationOptions:
        """Of an evaluation: the networks called `names` that there are, and with `simulating` the rows that plan."""
        made = EvaluationOptions("replay", self.envs, baselines=("kinematic",), rollouts=ROLLOUTS, scores=scores)
        made = replace(made, dataset=self.dataset, hand=self.hand, profile=self.profile, plain=self.plain)
        if simulating:
            made = replace(made, baselines=("kinematic", "planned", "subsequences"))
        return replace(made, policies=tuple((n, self.networks[n]) for n in names if n in self.networks))

    def rows(
        self, split: str, names: tuple[str, ...], simulating: bool = False, scores: bool = False
    ) -> list[dict[str, Any]]:
        """A row per clip of a split; clips that raised an error go into `failed`. [] for a split without clips."""
        clips = self.of_split(split)
        jobs = [(clip, self.options(names, simulating, scores)) for clip in clips]
        found = []
        for (clip, _), result in track(
            run_jobs(evaluate_kept, jobs, self.workers), f"{self.dataset}, {split}", len(jobs)
        ):
            if isinstance(result, Exception):
                self.failed[clip] = f"{type(result).__name__}: {result}"
            else:
                found.append(result)
                self.failed |= {f"{clip}, {name}": why for name, why in result.get("absent", {}).items()}
        return sorted(found, key=lambda row: clips.index(row["clip"]))

    def of_split(self, split: str) -> list[str]:
        """Its clips; [] for none."""
        try:
            clips = split_clips(split, self.named)
        except DexhotError:
            return []
        return clips[: self.clips or None]


def run(
    quick: bool = False,
    dataset: str = "grab",
    table: str | None = None,
    envs: int = 20,
    hand: str = "allegro_right",
    profile: str = "dextrack",
    policies: tuple[tuple[str, str], ...] = (),
    flywheel: tuple[Path, ...] = (),
    campaign: Path | None = None,
    paths: Path | None = None,
    clips: int = 0,
    plain: bool = False,
    workers: int = 0,
) -> dict[str, Any]:
    """table: a number of TABLES alone. policies: rows of tables 1, 4, 6, 11 and 12 by name (LEARNED, both_ppo_tracking,
    both_ours, fraction_0.1). flywheel: folders of `dexhot train flywheel`, each a row by its clips and --ways: ours and
    its fractions, the ablations, both_ours; table 10 has their hours. campaign: folder of `dexhot evaluate --rig`, for
    table 13. paths: of `dexhot bench homotopy`, for table 9. plain: references by eq. 5-7 alone. clips: of each split,
    the first so many. quick: table 1 alone, of CLIPS clips with 2 worlds, without the rows that plan."""
    dataset = dataset.replace("-", "_")
    if dataset not in DATASETS:
        raise DexhotError(f"DexTrack's tables are of {', '.join(DATASETS)}, not {dataset}.")
    if table and table not in TABLES:
        raise DexhotError(f"no table {table} here; one of {', '.join(TABLES)} (2, 7 and 8: `dexhot evaluate --rig`).")
    check_names((), tuple(name for name, _ in policies))
    if unknown := [name for name, _ in policies if name not in KNOWN and not name.startswith("fraction_")]:
        raise DexhotError(f"no row is called {', '.join(unknown)}; rows: {', '.join(KNOWN)}, fraction_0.1.")
    given = {n: str(OnnxNetwork(p).path.resolve()) for n, p in policies}
    asked = Asked(dataset, envs, hand, profile, given, by_row(flywheel, plain))
    asked = replace(asked, campaign=campaign, paths=paths, plain=plain, clips=clips, workers=workers)
    if table not in ("9", "10", "13"):  # those are of folders alone
        dataset_splits(dataset)
    if quick:
        asked, table = replace(asked, clips=clips or CLIPS, envs=2), table or "1"
    made = {number: MAKE[number](asked, quick) for number in ((table,) if table else TABLES)}
    missing = not_run(made, asked)
    return {
        "metrics": metrics(made, dataset),
        "dataset": dataset,
        "envs": asked.envs,
        "hand": hand,
        "servo": profile,
        "tables": made,
        "failed": asked.failed,
        "not_run": missing,
        "printed": printed(made) | printed_missing(missing),
    }


def figures_of(rows: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """FIGURES of a controller as the paper reports them: medians over clips of the errors, each clip's a mean over its
    worlds; successes are means over both. None where no row has it."""
    having = [row[name] for row in rows if name in row]
    if not having:
        return None
    worlds = [row["trials"] or row for row in having]  # the nominal world, where there are no others
    found: dict[str, Any] = {}
    for figure in FIGURES:
        values = [float(w[figure]) for w in worlds if w[figure] is not None]
        middle = np.mean if figure.startswith("success") else np.median
        found[figure] = float(middle(values)) if values else None
    kinds = ", ".join(sorted({row.get("reference_kind") or "" for row in rows if name in row}))
    simulates = any(row["steps"] or row["tick_steps"] for row in having)
    return found | {"clips": len(having), "envs": having[0]["envs"], "simulates": simulates, "references": kinds}


def _table_1(asked: Asked, quick: bool) -> dict[str, Any]:
    rows = asked.rows(FIRST_TEST.get(asked.dataset, "test"), LEARNED, not quick, asked.scores)
    found = {name: figures_of(rows, "subsequences" if name == "dgrasp" else name) for name in TABLE_1["grab"]}
    return {asked.dataset: found | {name: figures_of(rows, name) for name in OURS}}


def _table_4(asked: Asked, quick: bool) -> dict[str, Any]:
    """Of one policy trained on both datasets, wherever it is asked for; another dataset's rows are not run here."""
    names = tuple(TABLE_4["grab"])
    here = {name for name in names if name in asked.networks}
    rows = asked.rows(FIRST_TEST.get(asked.dataset, "test"), names) if here else []
    other = "grab_full" if asked.dataset == "taco" else "taco"
    return {asked.dataset: {n: figures_of(rows, n) for n in names}, other: dict.fromkeys(names)}


def _table_5(asked: Asked, quick: bool) -> dict[str, Any]:
    if asked.dataset != "taco" or "ours" not in asked.networks:
        return dict.fromkeys(TABLE_5)
    return {split: figures_of(asked.rows(split, ("ours",)), "ours") for split in TABLE_5}


def _table_6(asked: Asked, quick: bool) -> dict[str, Any]:
    networks = asked.networks
    given = {f"{float(name.partition('_')[2]):g}": name for name in networks if name.startswith("fraction_")}
    given |= {"1": "ours"} if "ours" in networks and "1" not in given else {}
    rows = asked.rows(FIRST_TEST.get(asked.dataset, "test"), tuple(given.values())) if given else []
    fractions = sorted({*TABLE_6, *given}, key=float)
    found = {f: figures_of(rows, given[f]) if f in given else None for f in fractions}
    return {"dataset": asked.dataset, "rows": found}


def _table_10(asked: Asked, quick: bool) -> dict[str, Any]:
    """Hours by stage of the flywheel, from its ledger and its trainings, and of PPO without supervision."""
    found: dict[str, Any] = dict.fromkeys(TABLE_10)
    reward, data = learned_baselines(asked.dataset)["ppo_tracking"]
    if seconds := seconds_of(baseline_folder(reward, data, asked.hand, asked.profile, asked.plain)):
        found["ppo_tracking"] = {"mining_h": 0.0, "training_h": seconds / 3600}
    for row in (row for row in TABLE_10 if row in asked.flywheels):
        if stages := hours_of(asked.flywheels[row].folder):
            found |= {f"{row}, {name}": hours for name, hours in stages.items()}
            found[row] = {name: _sum([s[name] for s in stages.values()]) for name in ("mining_h", "training_h")}
    return found


def _sum(values: list[float | None]) -> float | None:
    """None where one is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def hours_of(flywheel: Path) -> dict[str, dict[str, float | None]]:
    """Stage -> CPU hours of mining (`mining_h`), and hours of its training (`training_h`; None where those were not
    kept)."""
    rows = read_ledger(flywheel / LEDGER)
    found: dict[str, dict[str, float | None]] = {}
    for stage in sorted({row["stage"] for row in rows if "stage" in row}):
        mined = sum(row["seconds_cpu"] for row in rows if row.get("stage") == stage)
        trained = seconds_of(flywheel / f"stage{stage}" / "controller")
        found[f"stage {stage}"] = {"mining_h": mined / 3600, "training_h": trained / 3600 if trained else None}
    return found


def _table_11(asked: Asked, quick: bool) -> dict[str, Any]:
    """Over all rows of table 1; the gap is of eq. 15 between the test and the train clips."""
    rows, clips = _scored(asked), asked.of_split(FIRST_TEST.get(asked.dataset, "test"))
    training = asked.of_split("train")
    found: dict[str, Any] = dict.fromkeys(TABLE_11)
    if rows and training:
        run_here = partial(run_jobs, workers=asked.workers)
        gap = split_gap(clips, training, asked.options((), False, False), run_here, asked.failed)
        for name, figures in summarise(rows).items():
            score = generalization_score(gap, [figures["tracking_error"]])
            found[_published(name)] = {"score": score, "clips": figures["n"], "envs": asked.envs}
    return {"dataset": asked.dataset, "rows": found}


def _table_12(asked: Asked, quick: bool) -> dict[str, Any]:
    rows = _scored(asked)
    found: dict[str, Any] = dict.fromkeys(TABLE_12)
    for name, figures in summarise(rows).items() if rows else ():
        if (score := figures.get("robustness_score")) is not None:
            found[_published(name)] = {"score": score, "clips": figures["n"], "envs": asked.envs}
    return {"dataset": asked.dataset, "rows": found}


def _table_13(asked: Asked, quick: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"baseline": None, "ours": None}
    if asked.campaign:
        trials = [t for t in read_trials(asked.campaign / TRIALS) if t.kind == CONTROLLER]
        for methods in campaign_tables(trials).values():
            for method, objects in methods.items():
                clips = len({trial.clip for trial in trials if trial.method == method})
                row = "ours" if method == OURS_TRIED else "baseline"
                found[row] = {"levels": objects["adaptivity"], "clips": clips}
    return found


def _table_15(asked: Asked, quick: bool) -> dict[str, Any]:
    rows = _scored(asked)
    values = [float(np.mean([row["difficulty"][name] for row in rows])) for name in DIFFICULTY] if rows else []
    other = "grab_full" if asked.dataset == "taco" else "taco"
    return {asked.dataset: {"values": values, "clips": len(rows)} if rows else None, other: None}


def _scored(asked: Asked) -> list[dict[str, Any]]:
    return asked.rows(FIRST_TEST.get(asked.dataset, "test"), LEARNED, True, True)


def _published(name: str) -> str:
    return "dgrasp" if name == "subsequences" else name


def _table_9(asked: Asked, quick: bool) -> dict[str, Any]:
    """What `dexhot bench homotopy` found, whose searches take hours."""
    folder = asked.paths or cache_dir() / "table9"
    return {test: ratio(folder / test) | {"asked": len(task_list(test))} for test in TABLE_9}


MAKE: dict[str, Callable[[Asked, bool], dict[str, Any]]] = {
    "1": _table_1,
    "4": _table_4,
    "5": _table_5,
    "6": _table_6,
    "9": _table_9,
    "10": _table_10,
    "11": _table_11,
    "12": _table_12,
    "13": _table_13,
    "15": _table_15,
}
KNOWN = (*LEARNED, *TABLE_4["grab"])


def metrics(tables: dict[str, Any], dataset: str) -> dict[str, float | None]:
    """Table 1's successes by row; null for what was not run."""
    return {
        f"{name}_{figure}": row[figure] if row else None
        for name, row in tables.get("1", {}).get(dataset, {}).items()
        for figure in FIGURES[4:]
    }
