"""`dexhot bench policy`: the shipped controller `planned` on GRAB's test clips, beside its baselines; and the time of a
network's tick."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.controllers import HandState
from dexhot.control.observation import EGOCENTRIC
from dexhot.control.policy import OnnxNetwork, Policy, make_card
from dexhot.datasets import splits, unseen_halves
from dexhot.datasets.human_clip import require_clips
from dexhot.datasets.parametric import generate
from dexhot.errors import NotFoundError
from dexhot.evaluation.clips import clips_named
from dexhot.evaluation.controllers import evaluate_clip
from dexhot.evaluation.kept_rows import evaluate_kept
from dexhot.evaluation.options import BASELINES, MINED, MPC, EvaluationOptions
from dexhot.evaluation.summary import HOW, NOT_RUN, PARTS, simulates, spanned, summarise
from dexhot.metrics.success import SUCCESSES
from dexhot.planning.search import PlanSearchOptions
from dexhot.progress import track
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import physics_of
from dexhot.tracking.object_state import ObjectState
from dexhot_bench.mine import FULL, mine_clip, mined_dir
from dexhot_train.learners.baselines import REWARDS, STEPS, TrainedBaseline, trained_baseline
from dexhot_train.mining.executor import run_jobs

QUICK_CLIPS = 8  # every so many of the test clips that this gives so many
TRIES = (8, 24)  # of the prior, in the model with the object where it was observed
BUDGETS = (160, 800, 4800)  # rollouts of planning: at most about 2, 10 and 60 CPU s
EXPENSIVE = ("subsequences", *MINED, MPC)  # rows that simulate: not of a quick run
ROWS = (*BASELINES, *EXPENSIVE)  # beside planned
SPENT = ("seconds_cpu", "steps", "tick_ms", "tick_steps")  # simulating: before the start, and per tick
LEARNED = {"tracking": "margin_points", "omnigrasp": "margin_points_over_omnigrasp"}  # reward of PPO -> id


def run(quick: bool = False, workers: int = 0, rows: tuple[str, ...] = ()) -> dict[str, Any]:
    """Metrics over the test clips, and a row per clip. quick: a fixed 8 clips, one budget, 4 perturbed worlds. A full
    run that was stopped goes on, unless the code has changed since.

    rows: of ROWS, those beside planned; by default all, of a quick run BASELINES. The frozen hand and replay always
    are, and PPO's where it has been trained. Raises NotFoundError for one that there is not.
    """
    for name in rows:
        if name not in ROWS:
            raise NotFoundError("row", name, ROWS)
    beside = rows or (BASELINES if quick else ROWS)
    named = splits("grab")
    clips = clips_named("test", None, named)
    clips = clips[:: max(1, len(clips) // QUICK_CLIPS)][:QUICK_CLIPS] if quick else clips
    require_clips([f"grab/{clip}" for clip in clips])
    budgets, trials = (BUDGETS[:1], 4) if quick else (BUDGETS, 20)
    failed: dict[str, str] = {}
    learned = {reward: trained_baseline(reward) for reward in REWARDS}
    networks = tuple((row_of(reward), str(found.policy)) for reward, found in learned.items() if found)
    options = EvaluationOptions("planned", trials, rollouts=budgets[0], baselines=(), panel=not quick)
    first = replace(options, baselines=beside, policies=networks)
    if set(MINED) & set(beside):
        first = replace(first, demonstrations=str(mined(clips, workers, failed)))
    metrics: dict[str, float | None] = {}
    not_run: dict[str, str] = {"success_panel": "not run with --quick; without it, it is"} if quick else {}
    printed: dict[str, Any] = {}
    by_budget: dict[str, list[dict[str, Any]]] = {}
    before: list[dict[str, Any]] = []
    for k, rollouts in enumerate(budgets):
        found = [row for row in before if ended(row, budgets[k - 1])]
        left = [clip for clip in clips if clip not in {row["clip"] for row in found}]
        asked = replace(options, rollouts=rollouts) if k else first
        found += evaluated(left, asked, f"{rollouts} rollouts", quick, workers, failed)
        found.sort(key=lambda row: row["clip"])
        by_budget[str(rollouts)] = before = found
        figures = summarise(found, unseen_halves(named))
        metrics |= of_planned(found, figures["planned"], f"_at_{rollouts}_rollouts" if k else "")
        if k == 0:
            metrics |= tried([row["planned"]["tries"] for row in found])
            for name in (*ROWS, *(name for name, _ in networks)):
                metrics |= of_row(name, figures.get(name))
            not_run |= {name: why_not(name, beside, found) for name in ROWS if name not in figures}
            printed |= row_tables(figures)
    for reward, baseline in learned.items():
        margins, why = over_ppo(reward, baseline, by_budget[str(budgets[0])])
        metrics |= margins
        not_run |= {LEARNED[reward]: why} if why else {}
    if not_run:
        printed["not run"] = {"columns": ["", "why"], "rows": [list(row) for row in not_run.items()]}
    kinds = dict.fromkeys(row.get("reference_kind", "") for row in by_budget[str(budgets[0])])
    return {
        "metrics": metrics | tick_ms(),
        "subset": clips,
        "reference_kind": ", ".join(kinds),
        "clips": by_budget,
        "failed": failed,
        "not_run": not_run,
        "printed": printed,
    }


def mined(clips: list[str], workers: int, failed: dict[str, str]) -> Path:
    """The folder of the clips' demonstrations, those of `dexhot bench mine --split test`; what it lacks is mined."""
    folder = mined_dir("test", None)
    jobs = run_jobs(mine_clip, [(clip, folder, FULL, None, "leap_right") for clip in clips], workers)
    for (clip, *_), result in track(jobs, "mining", len(clips)):
        if isinstance(result, Exception):
            failed[f"{clip}, mining"] = f"{type(result).__name__}: {result}"
    return folder


def evaluated(
    clips: list[str], options: EvaluationOptions, what: str, quick: bool, workers: int, failed: dict[str, str]
) -> list[dict[str, Any]]:
    """A row per clip, those of a full run kept; clips that raised an error go into `failed`."""
    found = []
    jobs = run_jobs(evaluate_clip if quick else evaluate_kept, [(clip, options) for clip in clips], workers)
    for (clip, _), result in track(jobs, what, len(clips)):
        if isinstance(result, Exception):
            failed[clip] = f"{type(result).__name__}: {result}"
        else:
            found.append(result)
    return found


def of_planned(rows: list[dict[str, Any]], planned: dict[str, Any], suffix: str) -> dict[str, float | None]:
    """The ids of planned at one budget."""
    found: dict[str, float | None] = {f"{name}{suffix}": planned[name] for name in SUCCESSES}
    found[f"success_panel{suffix}"] = planned.get("success_panel")
    found[f"success_strict_perturbed{suffix}"] = planned["perturbed"]
    found[f"over_replay_points{suffix}"] = 100 * planned["over_replay"]
    found |= on_parts(planned, "", suffix)
    found[f"planning_s_p50{suffix}"] = float(np.median([row["planned"]["seconds_cpu"] for row in rows]))
    found |= {f"planned_{name}{suffix}": planned[f"{name}_mean"] for name in SPENT}
    return found | {f"refused{suffix}": planned["refused"]}


def of_row(name: str, figures: dict[str, Any] | None) -> dict[str, float | None]:
    """The ids of a row beside planned, with what it simulates; None for each where it has not run."""
    told = figures or {}
    found = {f"{name}_success_strict": told.get("success_strict")}
    found[f"{name}_success_strict_perturbed"] = told.get("perturbed")
    found[f"{name}_success_panel"] = told.get("success_panel")
    found |= {f"{name}_{key}": told.get(f"{key}_mean") for key in SPENT}
    return found | (on_parts(told, f"{name}_") if figures else {})


def why_not(name: str, beside: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    """Why no clip has a row of this name."""
    if name not in beside:
        return f"not run; `dexhot bench policy --rows {name}`"
    return f"not run: {'; '.join(sorted({row['absent'][name] for row in rows if name in row.get('absent', {})}))}"


def row_tables(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The rows for people, those that simulate at another time in a table of their own: 95 % intervals over clips."""
    columns = ["", "clips x worlds", "strict, perturbed", "over replay", "strict", "panel"]
    columns += ["before the start: CPU s, steps", "per tick: ms, steps"]
    made: dict[str, Any] = {}
    for when, how in HOW.items():
        rows = []
        for name, f in figures.items():
            if simulates(f) == when:
                spent = f"{f['seconds_cpu_mean']:.1f}, {f['steps_mean']:,.0f}"
                tick = f"{f['tick_ms_mean']:.2f}, {f['tick_steps_mean']:.0f}"
                told = [
                    spanned(f, key) or NOT_RUN
                    for key in ("perturbed", "over_replay", "success_strict", "success_panel")
                ]
                rows.append([name, f"{f['n']} x {f.get('envs', 0)}", *told, spent, tick])
        made |= {how: {"columns": columns, "rows": rows}} if rows else {}
    return made


def on_parts(figures: dict[str, Any], who: str = "", suffix: str = "") -> dict[str, float | None]:
    """What is strict on unseen objects, on unseen clips and on clips of in-hand motion, and how many these are: of
    planned, or of the baseline `who`. None where there is no such clip, or where it was not run."""
    found: dict[str, float | None] = {}
    for part in PARTS:
        found |= {} if who else {f"n_{part}{suffix}": figures.get(f"n_{part}", 0)}
        found[f"{who}success_strict_{part}{suffix}"] = figures.get(f"success_strict_{part}")
        found[f"{who}success_strict_perturbed_{part}{suffix}"] = figures.get(f"perturbed_{part}")
        found[f"{who}success_panel_{part}{suffix}"] = figures.get(f"success_panel_{part}")
    return found


def row_of(reward: str) -> str:
    """Name of the row of PPO without supervision with a reward."""
    return f"ppo_{reward}"


def over_ppo(
    reward: str, baseline: TrainedBaseline | None, rows: list[dict[str, Any]]
) -> tuple[dict[str, float | None], str]:
    """What planned is ahead of PPO without supervision, in points of strict perturbed success, paired by clip, and at
    how many control steps PPO was trained; or why it was not measured."""
    names = LEARNED[reward], f"{LEARNED[reward]}_steps"
    if baseline is None:
        budget = f"{STEPS:,} control steps on GRAB's train clips"
        return dict.fromkeys(names), f"not run; at {budget}: `dexhot train baseline {reward}`, which resumes"
    ppo = row_of(reward)
    margins = [row["planned"]["perturbed"] - row[ppo]["perturbed"] for row in rows if ppo in row]
    if not margins:
        absent = {why for row in rows for name, why in row.get("absent", {}).items() if name == ppo}
        return dict.fromkeys(names), f"not run: {' '.join(sorted(absent))}"
    return dict(zip(names, (100 * float(np.mean(margins)), baseline.steps))), ""


def ended(row: dict[str, Any], rollouts: int) -> bool:
    """Whether the search of a row ended before its budget: with a larger one it finds the same plan."""
    return bool(row["planned"]["rollouts"] + PlanSearchOptions.samples <= rollouts)


def tried(tries: list[int]) -> dict[str, float | None]:
    """Fractions of clips on which one of the prior's first tries was strict in the nominal world, and the median number
    of tries to the first: None where half of the clips have none. tries: per clip; 0 for none."""
    needed = np.array([t or np.inf for t in tries], float)
    median = float(np.median(needed))
    fractions = {f"success_at_{n}_tries": float((needed <= n).mean()) for n in TRIES}
    return fractions | {"tries_to_success_p50": median if np.isfinite(median) else None}


def tick_ms(ticks: int = 300) -> dict[str, float | None]:
    """Median ms of a tick of the controller policy, on one thread: of its network (two layers of 256, egocentric
    observation), and of the whole tick, its observation included. None without the extra `train`."""
    names = ("infer_ms_p50", "policy_tick_ms_p50")
    try:
        from dexhot_train.export import export_policy
        from dexhot_train.network import PolicyNetwork
    except ImportError:
        return dict.fromkeys(names)
    hand, (clip, asset) = load_hand("leap_right"), generate("lift", "box", 0)
    reference = retarget(clip, hand, asset)
    physics = physics_of(reference)
    card = make_card("bench", reference, physics, EGOCENTRIC)
    with tempfile.TemporaryDirectory() as folder:
        network = OnnxNetwork(export_policy(PolicyNetwork(card), card, Path(folder) / "bench"))
    card.residual_step = [1e3] * len(card.joint_names)  # untrained
    policy = Policy(reference, network, asset, physics)
    seen = ObjectState(0.0, reference.object_pose[0], np.zeros(6), np.zeros((12, 12)))
    policy.start(seen)
    infer, whole = [], []
    for k in range(ticks):
        t = k % (len(reference.q) - 1)
        seen.pose = reference.object_pose[t]
        begin = time.perf_counter()
        policy.step(t, seen, HandState(t / reference.rate, reference.q[t]))
        whole.append(time.perf_counter() - begin)
        shown = policy.observer.planned[t : t + 1]
        begin = time.perf_counter()
        network(shown, policy.residual[None])
        infer.append(time.perf_counter() - begin)
    return {name: 1e3 * float(np.median(spent)) for name, spent in zip(names, (infer, whole))}
