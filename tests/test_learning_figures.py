"""Figures of planning and learning in README.md, docs/ and benchmarks/README.md are those of benchmarks/results."""

from typing import Any

import numpy as np
import pytest
from tools.results import ROOT, latest

from dexhot.datasets import splits, unseen_halves
from dexhot.evaluation.summary import interval
from stated_figures import figure, require_stated, words

SENTENCES = [  # page; its words with a place for each figure; benchmark; its metrics
    ("README.md", "finds actions for {:.2f} that pass the strict criteria in simulation, {:.2f} with the arm as well, "
     "and {:.2f} pass the panel", "mine", "success_strict arm_strict_fraction success_panel"),
    ("README.md", "by which nothing was chosen: {:.2f}, {:.2f} and {:.2f}", "mine-test",
     "success_strict arm_strict_fraction success_panel"),
    ("README.md", "{:.1f} CPU s of planning before a start (median)", "policy", "planning_s_p50"),
    ("README.md", "{:.0f} CPU s (median of 59 clips;", "mine", "seconds_per_clip"),
    ("README.md", "; {:.0f} on the 29 test clips)", "mine-test", "seconds_per_clip"),
    ("README.md", "{:,} demonstrations of the data engine", "demonstrations", "demonstrations"),
    ("README.md", "core-hours, {:.0f} per core-hour under load", "demonstrations", "demonstrations_per_core_hour"),
    ("policies/README.md", "Strict in {:.2f} of perturbed worlds on the 29 GRAB test clips, object-relative replay "
     "{:.2f}", "policy", "success_strict_perturbed replay_success_strict_perturbed"),
    ("docs/planning.md", "has {:.2f} on the same clips (`robust_fraction_all`", "mine-test", "robust_fraction_all"),
    ("docs/planning.md", "`planned` {:.2f}, replay {:.2f}, the frozen hand {:.0f} (", "policy-panel",
     "planned_success_panel replay_success_panel frozen_success_panel"),
    ("docs/planning.md", "on the floating hand, and {:.2f} of these on the rig too", "policy-arm",
     "planned_arm_strict_of_strict"),
    ("docs/planning.md", "the floating hand has {:.2f} of the perturbed worlds with `planned` and {:.2f} with replay",
     "policy-arm", "planned_perturbed replay_perturbed"),
    ("benchmarks/README.md", "{} placed, {} strict (replay: {}, of which {:.2f}) | {:.2f} | 0.75 |", "policy-arm",
     "planned_n_placed planned_n_placed_strict replay_n_placed_strict replay_arm_strict_of_strict "
     "planned_arm_strict_of_strict"),
    ("docs/flywheel.md", "| {:,} of {:,} |", "demonstrations", "demonstrations attempts"),
    ("benchmarks/README.md", "success_10cm_20deg / success_10cm_40deg | {:.2f} / {:.2f} (0.83 / 0.86)", "mine",
     "success_10cm_20deg success_10cm_40deg"),
    ("benchmarks/README.md", "success_10cm_20deg / success_10cm_40deg at this budget | {:.2f} / {:.2f}", "policy",
     "success_10cm_20deg success_10cm_40deg"),
    ("benchmarks/README.md", "success_at_8_tries; success_at_24_tries; tries_to_success_p50, of the unfitted prior | "
     "{:.2f}; {:.2f}; {:.0f}", "policy", "success_at_8_tries success_at_24_tries tries_to_success_p50"),
    ("benchmarks/README.md", "the day before) | {:.2f} |", "policy-panel", "planned_success_panel"),
    ("benchmarks/README.md", "at 160 rollouts (29 November, 29 clips) | {:.2f}; {:.2f}; {:.2f} |", "policy-budgets",
     "success_strict success_strict_perturbed success_panel"),
    ("benchmarks/README.md", "the same at 800 rollouts | {:.2f}; {:.2f}; {:.2f} |", "policy-budgets",
     "success_strict_at_800_rollouts success_strict_perturbed_at_800_rollouts success_panel_at_800_rollouts"),
    ("benchmarks/README.md", "the same at 4,800 rollouts | {:.2f}; {:.2f}; {:.2f} |", "policy-budgets",
     "success_strict_at_4800_rollouts success_strict_perturbed_at_4800_rollouts success_panel_at_4800_rollouts"),
    ("benchmarks/README.md", "in points, not met | {:.1f}; {:.0f} |", "policy-budgets",
     "planning_s_p50_at_800_rollouts over_replay_points_at_800_rollouts"),
    ("docs/planning.md", "has {:.2f} strict perturbed there ({:.2f} on unseen objects, {:.2f} on unseen clips), {:.2f} "
     "strict and {:.2f} in the panel", "policy-budgets", "replay_success_strict_perturbed "
     "replay_success_strict_perturbed_unseen_objects replay_success_strict_perturbed_unseen_clips "
     "replay_success_strict replay_success_panel"),
    ("benchmarks/README.md", "success_panel: object-relative replay; kinematic; frozen | {:.2f}; {:.2f}; {:.0f} |",
     "policy-panel", "replay_success_panel kinematic_success_panel frozen_success_panel"),
    ("benchmarks/README.md", "success_strict; success_strict_perturbed of `planned` | {:.2f}; {:.2f} |", "policy",
     "success_strict success_strict_perturbed"),
    ("benchmarks/README.md", "success_strict_perturbed: object-relative replay; kinematic; frozen | {:.2f}; {:.2f}; "
     "{:.0f} |", "policy", "replay_success_strict_perturbed kinematic_success_strict_perturbed "
     "frozen_success_strict_perturbed"),
    ("benchmarks/README.md", "core-hours | {:.0f}; 3.0 |", "demonstrations", "demonstrations_per_core_hour"),
    ("docs/datasets.md", "made {} demonstrations of the {}:", "demonstrations-dexycb", "demonstrations attempts"),
    ("benchmarks/README.md", "demonstrations_per_core_hour; yield | {}; {:.0f}; {:.2f} | - |", "demonstrations-dexycb",
     "demonstrations demonstrations_per_core_hour yield"),
    ("benchmarks/README.md", "of bare physics | {:,.0f}; {:,.0f}; {:,.0f} |", "sim-quick",
     "control_steps_per_s control_steps_per_s_per_core physics_control_steps_per_s"),
    ("benchmarks/README.md", "(0.29 with both cores busy) | {:.2f} |", "sim-quick", "overhead_fraction"),
    ("docs/learning.md", "learns at {:,.0f} steps/s, rsl-rl-lib at {:,.0f}", "sim-quick",
     "learning_steps_per_s rsl_rl_learning_steps_per_s"),
]  # fmt: skip


@pytest.mark.parametrize(
    "run", latest("following")["runs"], ids=lambda run: f"{run['task']}-{run['method']}-{run['seed']}"
)
def test_the_pick_ups_are_those_of_the_result(run):
    figures = " | ".join(f"{run[name]:.2f}" for name in ("success", "success_once", "lifted"))
    steps = round(1e-6 * run["steps"], 1)
    line = f"| {run['task']} | `{run['method']}` | {run['seed']} | {steps:.0f} | {figures} |"
    assert line in (ROOT / "docs/learning.md").read_text()


@pytest.mark.parametrize(("page", "sentence", "benchmark", "names"), SENTENCES)
def test_a_page_has_the_figures_of_the_result_that_it_reports(page, sentence, benchmark, names):
    require_stated(page, sentence, benchmark, "metrics", names)


def perturbed(row: dict[str, Any]) -> str:
    """Strict perturbed success with its interval."""
    return "{:.2f} ({:.2f} to {:.2f})".format(row["perturbed"], *row["perturbed_interval"])


def lenient(row: dict[str, Any]) -> str:
    """Success at DexTrack's two thresholds."""
    return f"{row['success_10cm_20deg']:.2f} / {row['success_10cm_40deg']:.2f}"


def halves(fractions: dict[str, float], spanned: bool = True) -> list[str]:
    """The mean of each half of the test split, of fractions by clip."""
    found = []
    for clips in unseen_halves(splits("grab")).values():
        values = np.array([float(fractions[clip]) for clip in clips])
        span = " ({:.2f} to {:.2f})".format(*interval(values)) if spanned and values.any() else ""
        found.append(f"{values.mean():.2f}{span}")
    return found


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("frozen hand", "frozen"),
        ("kinematic replay", "kinematic"),
        ("object-relative replay", "replay"),
        ("`planned`, 160 rollouts", "planned"),
        ("the miner, 44 CPU s on each clip itself", ""),
    ],
)
def test_unseen_objects_and_unseen_clips_are_stated_apart(row, name):
    if name:
        rows = {clip["clip"]: clip[name] for clip in latest("policy")["clips"]["160"]}
        panel, strict = (
            {clip["clip"]: clip[name]["success_panel"] for clip in latest("policy-panel")["clips"]},
            "perturbed",
        )
    else:
        rows = {clip["clip"]: clip for clip in latest("mine-test")["clips"]}
        panel, strict = {clip: own["success_panel"] for clip, own in rows.items()}, "robust_v2"
    cells = "; ".join(halves({clip: own["success_strict"] for clip, own in rows.items()}, False))
    cells += " | " + " | ".join(halves({clip: own[strict] for clip, own in rows.items()}))
    assert f"| {row} | {cells} | {'; '.join(halves(panel, False))} |" in words("docs/planning.md")


def test_no_controller_succeeds_on_the_clips_of_in_hand_motion():
    two = "toruslarge_inspect1", "toothpaste_squeeze1"
    for benchmark in ("policy-ppo", "prior-test", "policy-generated"):
        found = latest(benchmark)["controllers"].values()
        assert all(own["perturbed_in_hand"] == 0.0 and own["n_in_hand"] == len(two) for own in found)
    for row in latest("policy-panel")["clips"]:
        own = [row[name] for name in ("frozen", "kinematic", "replay", "planned") if row["clip"] in two]
        assert not any(c["perturbed"] or c["success_strict"] or c["success_panel"] for c in own)
    mined = [row for row in latest("mine-test")["clips"] if row["clip"] in two]
    cells = [np.mean([row[name] for row in mined]) for name in ("success_strict", "robust_v2", "success_panel")]
    assert "toothpaste_squeeze1 not | {:.2f} | {:.2f} | {:.2f} |".format(*cells) in words("docs/planning.md")


@pytest.mark.parametrize(
    ("page", "benchmark", "names", "sentence"),
    [
        ("docs/learning.md", "policy-ppo", "tracking omnigrasp", "have {} and {}, on the 10 unseen clips {} and {} ("),
        ("docs/learning.md", "policy-ppo", "replay planned", "(replay {0} and {2}, `planned` {1} and {3})"),
        ("benchmarks/README.md", "policy-ppo", "tracking omnigrasp", "| {0}, {2}; {1}, {3} |"),
        ("benchmarks/README.md", "prior-test", "planned", "`planned` (unfitted) | {}; {} (0.74; 0.53)"),
        (
            "docs/policy.md",
            "policy-generated",
            "policy replay",
            "objects {0} (replay {1}), on the 10 unseen clips {2} ({3})",
        ),
    ],
)
def test_the_halves_of_other_runs_are_those_of_the_kept_clips(page, benchmark, names, sentence):
    by_clip = latest(benchmark)["perturbed_by_clip"]
    parts = zip(*(halves({clip: own[name] for clip, own in by_clip.items()}, False) for name in names.split()))
    assert sentence.format(*(cell for half in parts for cell in half)) in words(page)


def test_the_margins_over_ppo_are_those_of_one_run():
    rows, page = latest("policy-ppo")["controllers"], words("docs/learning.md")
    assert f"strict perturbed {perturbed(rows['tracking'])}" in page
    for name, other in (("margin_points", "tracking"), ("margin_points_over_omnigrasp", "omnigrasp")):
        points, (low, high) = figure("policy-ppo", f"metrics/{name}"), figure("policy-ppo", f"interval_points/{other}")
        assert points == pytest.approx(100 * (rows["planned"]["perturbed"] - rows[other]["perturbed"]), abs=0.1)
        assert f"({low:.0f} to {high:.0f}" in page and f"{points:.0f} points" in page
        assert f"{points:.0f} ({low:.0f} to {high:.0f})" in words("benchmarks/README.md")


def test_the_fitted_prior_on_the_test_split_is_the_one_in_the_results():
    planned = latest("prior-test")["controllers"]["planned"]
    tries = np.array([*latest("prior-test")["tries_by_clip"].values()])
    at = "; ".join(f"{((tries > 0) & (tries <= count)).mean():.2f}" for count in (8, 24))
    row = f"{planned['success_strict']:.2f} | {perturbed(planned)} | {at} | {planned['refused']:.2f}"
    page = words("docs/planning.md")
    with_simulation, without = page.split("| test split, no simulation before the start |")
    assert f"| `planned`, `gaussian` | {row} |" in with_simulation
    for name, label in (("constant", "`constant`: the fitted mean alone"), ("replay", "object-relative replay")):
        own = latest("prior-test")["controllers"][name]
        assert f"| {label} | {own['success_strict']:.2f} | {perturbed(own)} |" in without


def test_a_camera_with_planned_counts_a_run_that_was_interrupted_as_no_success():
    clips = [clip for clip in latest("camera")["clips"].values() if "sim, truth, planned" in clip]
    seen = sum(clip.get("sim-wire, camera, planned", {}).get("success", False) for clip in clips)
    assert f"{len(clips)} of {len(clips)}; {seen} of {len(clips)}" in words("benchmarks/README.md")


@pytest.mark.parametrize("k", range(15))
def test_the_scaling_table_is_the_measured_one(k):
    row = latest("scaling")["rows"][k]
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
    rows, page = latest("policy-ppo")["controllers"], words("docs/planning.md")
    planned, replay = rows["planned"], rows["replay"]
    assert f"`planned` had {planned['success_strict']:.2f} strict, {perturbed(planned)} strict perturbed" in page
    assert f"{lenient(planned)} within 10 cm" in page
    assert f"replay {replay['success_strict']:.2f}, {replay['perturbed']:.2f} and {lenient(replay)}" in page


def test_a_network_of_generated_clips_alone_is_reported_as_worse_than_the_replay():
    policy, replay = (latest("policy-generated")["controllers"][name] for name in ("policy", "replay"))
    over = "{:.2f}".format(policy["over_replay"])
    assert (
        f"it does not stay at zero: {perturbed(policy)[:4]} strict perturbed {perturbed(policy)[5:]}, {over}"
        in words("docs/policy.md")
    )
    stated = f"{policy['success_strict']:.2f}; {policy['perturbed']:.2f} ({replay['perturbed']:.2f}) |"
    assert stated in words("benchmarks/README.md") and policy["over_replay_interval"][1] < 0


@pytest.mark.parametrize("row", latest("scaling-labels")["rows"], ids=lambda row: row["row"])
def test_the_table_of_labels_is_the_measured_one(row):
    held = row["held-out"]
    over = "{:+.2f} ({:+.2f} to {:+.2f})".format(held["over_replay"], *held["over_replay_interval"])
    minutes = (row["seconds_mining"] + row["seconds_training"]) / 60
    spent = f"{row['clips']}; {row['variations']}; {row['objects']} | {row['control_steps'] / 1e6:.2f}; {minutes:.0f}"
    line = f"| `{row['how']}` | {spent} | {held['success_strict']:.2f} | {held['perturbed']:.2f} | {over} |"
    assert line in (ROOT / "docs/policy.md").read_text()


def test_the_labels_of_the_scaling_curve_are_said_to_be_raw():
    """Of how many demonstrations the bare reference, the parent's plan, or one search is the label."""
    made = [row[3] for row in latest("demonstrations")["rows"] if row[2] == "demonstration"]
    replayed, parents, searched = (made.count(by) for by in ("replay", "parent's plan", "search"))
    page = words("docs/policy.md")
    assert f"{replayed:,} are the bare reference (a label of zero), {parents} the parent's plan" in page
    assert f"{searched} the best plan of a single search" in page
    assert f"touches the {parents + searched} that are not the bare reference" in page
    assert f"{replayed:,} are the bare reference, {parents} its parent's plan; {searched} needed" in words(
        "docs/flywheel.md"
    )
