"""`dexhot bench assist`: what a residual agent makes of a noisy user input, beside the user input alone.

The paper's tables I to III on today's simulators (docs/assist.md). Full runs train what is missing, in the cache, and
resume; what is not run is null, never a value. Cells of table III are kept there too.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dexhot import __version__
from dexhot.control.policy import OnnxNetwork
from dexhot.data.files import write_text
from dexhot.datasets.hand_poses import grab_poses
from dexhot.errors import DexhotError
from dexhot.paths import cache_dir
from dexhot.progress import progress, track
from dexhot_train.assist.experts import Experts, load_experts
from dexhot_train.assist.hands import METHODS, AssistOptions
from dexhot_train.assist.leap import load_leap_experts
from dexhot_train.assist.leap_agent import leap_agent_from
from dexhot_train.assist.leap_success import Smoothed, leap_success, no_correction, to_expert, to_reference
from dexhot_train.assist.shipped import agent_from, shipped
from dexhot_train.assist.structured import MAPPINGS, InputOptions, load_inputs, map_hands, save_inputs, see_hands
from dexhot_train.assist.success import Agent, success
from dexhot_train.assist.training import AssistTraining, agent_of, train_agent

GOALS = {"door": 0.15, "hammer": 0.10, "relocate": 0.05, "pen": 0.05}  # rad, sigma of each task's goal
TRAIN_SIGMAS = (0.01, 0.05, 0.10, 0.15, 0.20)  # rad, of table I
TEST_SIGMAS = (0.0, *TRAIN_SIGMAS)
SMOOTHING = 0.5  # of the low-pass filter that a lab would try first
EPISODES = 100  # per figure of a full run
LEAP_EPISODES = 4  # per clip of a full run
TABLE_2_TASKS, TABLE_2_SIGMA = ("door", "relocate"), 0.05
TABLE_3_TASKS = ("door", "pen")
POSES = {"gt": False, "est": True}  # table III: the real hand poses themselves, or estimates of them
TABLE_3 = {  # row -> method, and what it was trained on: Gaussian noise, or inputs of POSES
    "rl_no_user_gt": ("rl_no_user", "gt"),
    "rl_no_user_est": ("rl_no_user", "est"),
    "rl_user_reward_gt": ("rl_user_reward", "gt"),
    "rl_user_reward_est": ("rl_user_reward", "est"),
    "residual_gaussian": ("residual", "gaussian"),
    "residual_gt": ("residual", "gt"),
    "residual_est": ("residual", "est"),
    "corrections_gaussian": ("corrections", "gaussian"),
    "corrections_gt": ("corrections", "gt"),
    "corrections_est": ("corrections", "est"),
}


def run(quick: bool = False, experts: Path | None = None, steps: int = 0, table: str | None = None) -> dict[str, Any]:
    """quick: the shipped agents at their goals, 24 episodes each. steps: of PPO in tables II and III, whose cells are
    null without. table: "I", "II" or "III" alone."""
    episodes = 24 if quick else EPISODES
    made: dict[str, Callable[[], Any]] = {
        "I": lambda: _table_1(experts, episodes),
        "II": lambda: _table_2(experts, episodes, steps),
        "III": lambda: _table_3(experts, episodes, steps),
    }
    if table:
        return {"metrics": {}, "tables": {table: made[table]()}}
    metrics: dict[str, float | None] = {}
    tables: dict[str, Any] = {}
    for task, sigma in track(GOALS.items(), "goals", len(GOALS)):
        motions, options, key = load_experts(task, experts).split("test"), AssistOptions(), f"{task}_{_name(sigma)}"
        alone = success(motions, sigma, None, options, episodes)
        metrics |= {f"{key}_success": None, f"user_input_{key}_success": alone.success}
        if not shipped(task).is_file():
            continue
        agent = agent_from(OnnxNetwork(shipped(task)))
        with_agent = success(motions, sigma, agent, options, episodes)
        metrics[f"{key}_success"] = with_agent.success
        if not quick:
            smooth = success(motions, sigma, None, options, episodes, smoothing=SMOOTHING)
            metrics |= {f"smoothed_input_{key}_success": smooth.success}
            metrics |= {f"{key}_speed": with_agent.speed, f"user_input_{key}_speed": alone.speed}
            clean = {"agent": agent, "user_input": None}
            at_zero = {name: success(motions, 0.0, a, options, episodes).success for name, a in clean.items()}
            metrics |= {
                f"{task}_000_success": at_zero["agent"],
                f"user_input_{task}_000_success": at_zero["user_input"],
            }
    leap_metrics, by_clip = leap(quick)
    metrics |= leap_metrics
    if not quick:
        tables = {name: make() for name, make in made.items()}
    return {"metrics": metrics, "tables": tables, "leap": by_clip}


def leap(quick: bool = False) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Figures of the LEAP hand on the demonstrations of GRAB's test clips in the cache, and success by clip; one
    episode of each when quick. Null without demonstrations or the shipped agent. `reference_leap` corrects back to the
    reference, `oracle_leap` to the demonstration, both within the bound."""
    names = ("leap_success", "user_input_leap", "reference_leap", "leap_margin_points", "leap_clips")
    found: dict[str, float | None] = dict.fromkeys(names)
    try:
        clips = load_leap_experts("test")
    except DexhotError as error:
        return found, {"missing": str(error)}
    episodes, threads = 1 if quick else LEAP_EPISODES, os.cpu_count() or 1
    tried: dict[str, Any] = {"user_input_leap": no_correction, "reference_leap": to_reference}
    if shipped("leap").is_file():
        tried["leap_success"] = leap_agent_from(OnnxNetwork(shipped("leap")))
    if not quick:
        tried |= {"oracle_leap": to_expert, "smoothed_input_leap": Smoothed()}
    by_clip = {}
    for name, corrector in track(tried.items(), "LEAP", len(tried)):
        cell = leap_success(clips, corrector, episodes, threads=threads)
        found[name], by_clip[name] = cell.success, cell.by_clip
    if found["leap_success"] is not None and found["user_input_leap"] is not None:
        found["leap_margin_points"] = 100 * (found["leap_success"] - found["user_input_leap"])
    return found | {"leap_clips": len(clips)}, by_clip


def _table_1(experts: Path | None, episodes: int) -> dict[str, dict[str, float]]:
    """Table I: the door, trained at a sigma (row) and tested at others (column)."""
    test, options = load_experts("door", experts).split("test"), AssistOptions()
    agents: dict[str, Agent | None] = {"user_input": None}
    for sigma in TRAIN_SIGMAS:
        agents[f"{sigma:.2f}"] = _trained(AssistTraining("door", sigma=sigma), experts)
    cells = [(row, agent, sigma) for row, agent in agents.items() for sigma in TEST_SIGMAS]
    table: dict[str, dict[str, float]] = {row: {} for row in agents}
    for row, agent, sigma in track(cells, "table I", len(cells)):
        table[row][f"{sigma:.2f}"] = success(test, sigma, agent, options, episodes).success
    return table


def _table_2(experts: Path | None, episodes: int, steps: int) -> dict[str, dict[str, dict[str, float | None]]]:
    """Table II: the paper's baselines at one sigma, train and test success; null where PPO has no steps."""
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for task in TABLE_2_TASKS:
        motions = load_experts(task, experts)
        rows: dict[str, tuple[Agent | None, AssistOptions] | None] = {"ik": (None, AssistOptions())}
        ours = AssistTraining(task, sigma=TABLE_2_SIGMA)
        rows["corrections"] = _trained(ours, experts), ours.acting
        for method in METHODS:
            paper = replace(ours, method=method, corrections=0, steps=steps)
            paper = replace(paper, discriminator=1.0 if method == "residual" else 0.0)
            rows[method] = (_trained(paper, experts), paper.acting) if steps else None
        table[task] = {name: _cell(row, motions, episodes) for name, row in rows.items()}
    return table


def _table_3(experts: Path | None, episodes: int, steps: int) -> dict[str, dict[str, dict[str, float | None]]]:
    """Table III: test success with structured noise from GRAB's hands, by the paper's network; `ik_retargeter` is the
    user input of the streaming retargeter instead. Null where PPO has no steps."""
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for task in TABLE_3_TASKS:
        motions: dict[str, Experts] = {name: _with_inputs(task, experts, name, "network") for name in POSES}
        motions["gaussian"] = load_experts(task, experts)
        rows: dict[str, dict[str, float | None]] = {
            "ik": {name: _kept(f"III-{task}-ik-{name}", motions[name], None, episodes) for name in POSES},
            "ik_retargeter": {
                name: _kept(
                    f"III-{task}-ik_retargeter-{name}", _with_inputs(task, experts, name, "retargeter"), None, episodes
                )
                for name in POSES
            },
        }
        for row, (method, source) in TABLE_3.items():
            ours = AssistTraining(task, sigma=TABLE_2_SIGMA if source == "gaussian" else 0.0)
            if method != "corrections":
                ours = replace(ours, method=method, corrections=0, steps=steps)
                ours = replace(ours, discriminator=1.0 if method == "residual" else 0.0)
            if not (ours.corrections or ours.steps):
                rows[row] = dict.fromkeys(POSES)
                continue

            trained = partial(_acting, ours, experts, motions[source].split("train"), source)
            key = f"III-{task}-{row}-{ours.steps}"
            rows[row] = {name: _kept(f"{key}-{name}", motions[name], trained, episodes) for name in POSES}
        table[task] = rows
    return table


def _acting(
    options: AssistTraining, experts: Path | None, motions: Experts, source: str
) -> tuple[Agent, AssistOptions]:
    return _trained(options, experts, motions, source), options.acting


def _with_inputs(task: str, experts: Path | None, poses: str, mapping: str) -> Experts:
    """The motions of a task with inputs of structured noise, made once in the cache."""
    motions, folder = load_experts(task, experts), _folder() / "inputs"
    path = folder / f"{task}-{poses}-{mapping}.npz"
    if not path.is_file():
        options = InputOptions("retrieved", POSES[poses], variants=1)
        with progress(f"hands for {path.stem}", counted=True) as job:
            seen = see_hands(motions, options, grab_poses(), progress=job)
        for way in MAPPINGS:  # the pictures are dear
            made, figures = map_hands(motions, seen, way)
            save_inputs(made, replace(options, mapping=way), folder / f"{task}-{poses}-{way}.npz", {**figures})
    return load_inputs(motions, path)[0]


def _kept(
    key: str, motions: Experts, trained: Callable[[], tuple[Agent, AssistOptions]] | None, episodes: int
) -> float:
    """A cell of the cache, or measured on the test motions now; trained: None for the user input alone."""
    path, key = _folder() / "cells.json", f"{key}-{episodes}"
    cells: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    if key not in cells:
        agent, acting = trained() if trained else (None, AssistOptions())
        cells[key] = success(motions.split("test"), 0.0, agent, acting, episodes).success
        write_text(path, json.dumps(cells, indent=1) + "\n")
    return cells[key]


def _cell(row: tuple[Agent | None, AssistOptions] | None, motions: Experts, episodes: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {"train": None, "test": None}
    for split in found if row else ():
        assert row is not None
        cell = success(motions.split(split), TABLE_2_SIGMA, row[0], row[1], episodes)
        found[split] = cell.success
    return found


def _trained(
    options: AssistTraining, experts: Path | None, motions: Experts | None = None, source: str = "gaussian"
) -> Agent:
    """The agent of a training in the cache, which resumes there. motions: to train on, of a `source` that is no
    Gaussian noise on the experts."""
    name = f"{options.task}-{options.method}-{_name(options.sigma)}-{options.corrections}-{options.steps}"
    folder = _folder() / (name if source == "gaussian" else f"{name}-{source}")
    motions = motions or load_experts(options.task, experts).split("train")
    with progress(f"training {name}", counted=True) as job:
        actor, _ = train_agent(motions, options, folder, "", lambda done, total, line: job(done, total))
    return agent_of(actor)


def _folder() -> Path:
    return cache_dir() / "assist" / __version__


def _name(sigma: float) -> str:
    """0.15 -> "015"."""
    return f"{sigma:.2f}".replace(".", "")
