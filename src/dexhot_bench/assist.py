"""`dexhot bench assist`: what a residual agent makes of a noisy user input, beside the user input alone.

The paper's tables I and II on today's simulators (docs/assist.md). Full runs train what is missing, in the cache, and
resume; what is not run is null, never a value.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from dexhot import __version__
from dexhot.control.policy import OnnxNetwork
from dexhot.errors import DexhotError
from dexhot.paths import cache_dir
from dexhot.progress import progress, track
from dexhot_train.assist.experts import Experts, load_experts
from dexhot_train.assist.hands import METHODS, AssistOptions
from dexhot_train.assist.leap import load_leap_experts
from dexhot_train.assist.leap_agent import leap_agent_from
from dexhot_train.assist.leap_success import Smoothed, leap_success, no_correction, to_expert, to_reference
from dexhot_train.assist.shipped import agent_from, shipped
from dexhot_train.assist.success import Agent, success
from dexhot_train.assist.training import AssistTraining, agent_of, train_agent

GOALS = {"door": 0.15, "hammer": 0.10, "relocate": 0.05, "pen": 0.05}  # rad, sigma of each task's goal
TRAIN_SIGMAS = (0.01, 0.05, 0.10, 0.15, 0.20)  # rad, of table I
TEST_SIGMAS = (0.0, *TRAIN_SIGMAS)
SMOOTHING = 0.5  # of the low-pass filter that a lab would try first
EPISODES = 100  # per figure of a full run
LEAP_EPISODES = 4  # per clip of a full run
TABLE_2_TASKS, TABLE_2_SIGMA = ("door", "relocate"), 0.05


def run(quick: bool = False, experts: Path | None = None, steps: int = 0) -> dict[str, Any]:
    """quick: the shipped agents at their goals, 24 episodes each. steps: of PPO in table II, whose cells are null
    without."""
    episodes = 24 if quick else EPISODES
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
        tables = {"I": _table_1(experts, episodes), "II": _table_2(experts, episodes, steps)}
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


def _cell(row: tuple[Agent | None, AssistOptions] | None, motions: Experts, episodes: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {"train": None, "test": None}
    for split in found if row else ():
        assert row is not None
        cell = success(motions.split(split), TABLE_2_SIGMA, row[0], row[1], episodes)
        found[split] = cell.success
    return found


def _trained(options: AssistTraining, experts: Path | None) -> Agent:
    """The agent of a training in the cache, which resumes there."""
    name = f"{options.task}-{options.method}-{_name(options.sigma)}-{options.corrections}-{options.steps}"
    folder = cache_dir() / "assist" / __version__ / name
    motions = load_experts(options.task, experts).split("train")
    with progress(f"training {name}", counted=True) as job:
        actor, _ = train_agent(motions, options, folder, "", lambda done, total, line: job(done, total))
    return agent_of(actor)


def _name(sigma: float) -> str:
    """0.15 -> "015"."""
    return f"{sigma:.2f}".replace(".", "")
