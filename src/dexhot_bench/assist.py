"""`dexhot bench assist`: what a residual agent makes of a noisy user input, beside the user input alone.

The goals with the shipped agents, and the paper's tables I to IV on today's simulators (docs/assist.md). Full runs
train what is missing, in the cache, and resume; what is not run is null, never a value.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dexhot.control.policy import OnnxNetwork
from dexhot.errors import DexhotError
from dexhot.progress import track
from dexhot_bench.assist_paper import printed
from dexhot_bench.assist_reconstruction import table_4
from dexhot_bench.assist_tables import GOALS, TableRun, assist_dir, digest, table_1, table_2, table_3
from dexhot_bench.kept import Deadline, Kept
from dexhot_train.assist.experts import Experts
from dexhot_train.assist.hands import AssistOptions
from dexhot_train.assist.leap import load_leap_experts
from dexhot_train.assist.leap_agent import leap_agent_from
from dexhot_train.assist.leap_success import Smoothed, leap_success, no_correction, to_expert, to_reference
from dexhot_train.assist.shipped import agent_from, shipped
from dexhot_train.assist.success import Agent, success

SMOOTHING = 0.5  # of the low-pass filter that a lab would try first
EPISODES = 100  # per figure of a full run
LEAP_EPISODES = 4  # per clip of a full run


def run(
    quick: bool = False,
    experts: Path | None = None,
    steps: int = 0,
    table: str | None = None,
    minutes: float | None = None,
) -> dict[str, Any]:
    """quick: the shipped agents at their goals, 24 episodes each. steps: of PPO in tables II to IV, whose cells are
    null without. table: "I", "II", "III" or "IV" alone. minutes: after these nothing more is begun; the next run goes
    on with what is missing."""
    asked = TableRun(Kept(assist_dir() / "cells.json"), Deadline(minutes), experts, 24 if quick else EPISODES, steps)
    made: dict[str, Callable[[TableRun], Any]] = {"I": table_1, "II": table_2, "III": table_3, "IV": table_4}
    if table:
        tables = {table: made[table](asked)}
        return {"metrics": {}, "tables": tables, "printed": printed(tables)}
    metrics = goals(asked, quick)
    leap_metrics, by_clip = leap(quick)
    tables = {} if quick else {name: make(asked) for name, make in made.items()}
    return {"metrics": metrics | leap_metrics, "tables": tables, "leap": by_clip, "printed": printed(tables)}


def goals(asked: TableRun, quick: bool) -> dict[str, float | None]:
    """Success of the shipped agents and of the user input at each task's goal; unless quick also at sigma 0, with a
    low-pass filter, and of the oracle, which takes away the noise itself as far as the agents' bound allows."""
    metrics: dict[str, float | None] = {}
    for task, sigma in track(GOALS.items(), "goals", len(GOALS)):
        motions, key = asked.motions(task).split("test"), f"{task}_{_name(sigma)}"
        agent, made = None, "none"
        if shipped(task).is_file():
            network = OnnxNetwork(shipped(task))
            agent, made = agent_from(network), network.card.onnx_sha256[:8]
        cells: dict[str, tuple[float, Agent | None, str, dict[str, Any]]] = {}
        if agent:
            cells[f"{key}_success"] = sigma, agent, made, {}
        cells[f"user_input_{key}_success"] = sigma, None, "", {}
        if not quick:
            cells[f"smoothed_input_{key}_success"] = sigma, None, "", {"smoothing": SMOOTHING}
            cells[f"oracle_{key}_success"] = sigma, None, "", {"oracle": True}
            cells[f"user_input_{task}_000_success"] = 0.0, None, "", {}
            if agent:
                cells[f"{task}_000_success"] = 0.0, agent, made, {}
        metrics |= {f"{key}_success": None}
        for name, (noise, tried, version, more) in cells.items():
            found = _goal(asked, motions, quick, f"goal-{name}-{version}", noise, tried, more)
            metrics |= dict(zip((name, name.replace("_success", "_speed")), found or (None, None)))
    return metrics


def _goal(
    asked: TableRun, motions: Experts, quick: bool, key: str, sigma: float, agent: Agent | None, more: dict[str, Any]
) -> list[float] | None:
    """Success and the hand's speed; kept unless quick, which must measure."""

    def measure() -> list[float]:
        cell = success(motions, sigma, agent, AssistOptions(), asked.episodes, **more)
        return [cell.success, cell.speed]

    found: list[float] | None = (
        measure() if quick else asked.measured(f"{key}-{asked.episodes}-{digest(motions)}", measure)
    )
    return found


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


def _name(sigma: float) -> str:
    """0.15 -> "015"."""
    return f"{sigma:.2f}".replace(".", "")
