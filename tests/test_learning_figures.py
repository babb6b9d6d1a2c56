"""Figures of planning and learning in README.md, docs/ and benchmarks/README.md are those of benchmarks/results."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
MINE, MINE_TEST, PLANNED = "2026-11-27-mine", "2026-11-27-mine-test", "2026-11-27-policy"
PPO, PANEL, SET = "2026-11-28-policy-ppo", "2026-11-28-policy-panel", "2026-11-28-demonstrations"
PRIOR, CAMERA, SCALING = "2026-11-28-prior-test", "2026-11-28-camera", "2026-11-28-scaling"
SIM, GENERATED = "2026-11-28-sim-quick", "2026-11-28-policy-generated"
DEXYCB = "2026-11-28-demonstrations-dexycb"


@cache
def result(name: str) -> Any:
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())


@cache
def words(page: str) -> str:
    return " ".join((ROOT / page).read_text().split())


def figure(name: str, path: str) -> Any:
    """Of a result, by its keys joined with blanks."""
    found = result(name)
    for key in path.split():
        found = found[int(key) if isinstance(found, list) else key]
    return found


SENTENCES = [
    ("README.md", "finds actions for {:.2f} that pass the strict criteria in simulation, {:.2f} with the arm as well, "
     "and {:.2f} pass the panel", MINE, ["success_strict", "arm_strict_fraction", "success_panel"]),
    ("README.md", "by which nothing was chosen: {:.2f}, {:.2f} and {:.2f}", MINE_TEST,
     ["success_strict", "arm_strict_fraction", "success_panel"]),
    ("README.md", "{:.1f} CPU s of planning before a start (median)", PLANNED, ["planning_s_p50"]),
    ("README.md", "{:.0f} CPU s (median of 59 clips;", MINE, ["seconds_per_clip"]),
    ("README.md", "; {:.0f} on the 29 test clips)", MINE_TEST, ["seconds_per_clip"]),
    ("README.md", "{:,} demonstrations of the data engine", SET, ["demonstrations"]),
    ("README.md", "core-hours, {:.0f} per core-hour under load", SET, ["demonstrations_per_core_hour"]),
    ("policies/README.md", "Strict in {:.2f} of perturbed worlds on the 29 GRAB test clips, object-relative replay "
     "{:.2f}", PLANNED, ["success_strict_perturbed", "replay_success_strict_perturbed"]),
    ("docs/planning.md", "has {:.2f} on the same clips (`robust_fraction_all`", MINE_TEST, ["robust_fraction_all"]),
    ("docs/planning.md", "`planned` {:.2f}, replay {:.2f}, the frozen hand {:.0f} (", PANEL,
     ["planned_success_panel", "replay_success_panel", "frozen_success_panel"]),
    ("docs/flywheel.md", "| {:,} of {:,} |", SET, ["demonstrations", "attempts"]),
    ("benchmarks/README.md", "success_10cm_20deg / success_10cm_40deg | {:.2f} / {:.2f} (0.83 / 0.86)", MINE,
     ["success_10cm_20deg", "success_10cm_40deg"]),
    ("benchmarks/README.md", "success_10cm_20deg / success_10cm_40deg at this budget | {:.2f} / {:.2f}", PLANNED,
     ["success_10cm_20deg", "success_10cm_40deg"]),
    ("benchmarks/README.md", "success_at_8_tries; success_at_24_tries; tries_to_success_p50, of the unfitted prior | "
     "{:.2f}; {:.2f}; {:.0f}", PLANNED, ["success_at_8_tries", "success_at_24_tries", "tries_to_success_p50"]),
    ("benchmarks/README.md", "the day before) | {:.2f}; {:.2f}; {:.2f}; {:.0f} |", PANEL,
     [f"{name}_success_panel" for name in ("planned", "replay", "kinematic", "frozen")]),
    ("benchmarks/README.md", "planned` (object-relative replay; kinematic; frozen) | {:.2f}; {:.2f} ({:.2f}; {:.2f}; "
     "{:.0f}) |", PLANNED, ["success_strict", "success_strict_perturbed", "replay_success_strict_perturbed",
                            "kinematic_success_strict_perturbed", "frozen_success_strict_perturbed"]),
    ("benchmarks/README.md", "core-hours | {:.0f}; 3.0 |", SET, ["demonstrations_per_core_hour"]),
    ("docs/datasets.md", "made {} demonstrations of the {}:", DEXYCB, ["demonstrations", "attempts"]),
    ("benchmarks/README.md", "demonstrations_per_core_hour; yield | {}; {:.0f}; {:.2f} | - |", DEXYCB,
     ["demonstrations", "demonstrations_per_core_hour", "yield"]),
    ("benchmarks/README.md", "of bare physics | {:,.0f}; {:,.0f}; {:,.0f} |", SIM,
     ["control_steps_per_s", "control_steps_per_s_per_core", "physics_control_steps_per_s"]),
    ("benchmarks/README.md", "(0.29 with both cores busy) | {:.2f} |", SIM, ["overhead_fraction"]),
    ("docs/learning.md", "learns at {:,.0f} steps/s, rsl-rl-lib at {:,.0f}", SIM,
     ["learning_steps_per_s", "rsl_rl_learning_steps_per_s"]),
]  # fmt: skip


@pytest.mark.parametrize("page, sentence, name, metrics", SENTENCES, ids=[f"{s[0]}-{s[3][0]}" for s in SENTENCES])
def test_a_page_has_the_figures_of_the_result_that_it_reports(page, sentence, name, metrics):
    assert sentence.format(*(figure(name, f"metrics {metric}") for metric in metrics)) in words(page)


def perturbed(row: dict[str, Any]) -> str:
    """Strict perturbed success with its interval."""
    return "{:.2f} ({:.2f} to {:.2f})".format(row["perturbed"], *row["perturbed_interval"])


def lenient(row: dict[str, Any]) -> str:
    """Success at DexTrack's two thresholds."""
    return f"{row['success_10cm_20deg']:.2f} / {row['success_10cm_40deg']:.2f}"


def test_the_margins_over_ppo_are_those_of_one_run():
    rows, page = result(PPO)["controllers"], words("docs/learning.md")
    assert f"strict perturbed {perturbed(rows['tracking'])}" in page
    for name, other in (("margin_points", "tracking"), ("margin_points_over_omnigrasp", "omnigrasp")):
        points, (low, high) = figure(PPO, f"metrics {name}"), figure(PPO, f"interval_points {other}")
        assert points == pytest.approx(100 * (rows["planned"]["perturbed"] - rows[other]["perturbed"]), abs=0.1)
        assert f"({low:.0f} to {high:.0f}" in page and f"{points:.0f} points" in page
        assert f"{points:.0f} ({low:.0f} to {high:.0f})" in words("benchmarks/README.md")


def test_the_fitted_prior_on_the_test_split_is_the_one_in_the_results():
    planned, tries = result(PRIOR)["controllers"]["planned"], np.array([*result(PRIOR)["tries_by_clip"].values()])
    at = "; ".join(f"{((tries > 0) & (tries <= count)).mean():.2f}" for count in (8, 24))
    row = f"{planned['success_strict']:.2f} | {perturbed(planned)} | {at} | {planned['refused']:.2f}"
    assert f"| `planned`, `gaussian` | {row} |" in words("docs/planning.md")


def test_a_camera_with_planned_counts_a_run_that_was_interrupted_as_no_success():
    clips = [clip for clip in result(CAMERA)["clips"].values() if "sim, truth, planned" in clip]
    seen = sum(clip.get("sim-wire, camera, planned", {}).get("success", False) for clip in clips)
    assert f"{len(clips)} of {len(clips)}; {seen} of {len(clips)}" in words("benchmarks/README.md")


@pytest.mark.parametrize("k", range(15))
def test_the_scaling_table_is_the_measured_one(k):
    row = result(SCALING)["rows"][k]
    how, count = row["row"].rsplit("-", 1)
    label = f"| labels `{how}` {count}" if how in ("replay", "plans", "at-once") else f"| {how} {count}"
    line = next(line for line in (ROOT / "docs/policy.md").read_text().splitlines() if line.startswith(label))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == f"{row['clips']}; {row['variations']}; {row['objects']}"
    minutes = (row["seconds_mining"] + row["seconds_training"]) / 60
    assert cells[2] == f"{row['control_steps'] / 1e6:.2f}; {minutes:.0f}"
    told = [float(cell.split()[0]) for cell in cells[3:]]
    held, test = row["held-out"], row["test"]
    measured = [held["perturbed"], held["over_replay"], test["perturbed"], test["over_replay"], test["success_strict"]]
    assert told == pytest.approx(measured, abs=0.0051)


def test_planned_beside_ppo_is_the_run_of_that_afternoon():
    rows, page = result(PPO)["controllers"], words("docs/planning.md")
    planned, replay = rows["planned"], rows["replay"]
    assert f"`planned` had {planned['success_strict']:.2f} strict, {perturbed(planned)} strict perturbed" in page
    assert f"{lenient(planned)} within 10 cm" in page
    assert f"replay {replay['success_strict']:.2f}, {replay['perturbed']:.2f} and {lenient(replay)}" in page


def test_a_network_of_generated_clips_alone_is_reported_as_worse_than_the_replay():
    policy, replay = (result(GENERATED)["controllers"][name] for name in ("policy", "replay"))
    over = "{:.2f}".format(policy["over_replay"])
    assert (
        f"it does not stay at zero: {perturbed(policy)[:4]} strict perturbed {perturbed(policy)[5:]}, {over}"
        in words("docs/policy.md")
    )
    stated = f"{policy['success_strict']:.2f}; {policy['perturbed']:.2f} ({replay['perturbed']:.2f}) |"
    assert stated in words("benchmarks/README.md") and policy["over_replay_interval"][1] < 0
