"""`dexhot bench policy`: its clips, budgets and metrics, with the evaluation of a clip in its place."""

import sys
from pathlib import Path

import pytest

from dexhot.errors import DexhotError, NotFoundError
from dexhot.evaluation.options import BASELINES, MINED
from dexhot_bench import policy
from dexhot_bench.mine import FULL, mined_dir
from dexhot_train.learners.baselines import TrainedBaseline

UNSEEN = [f"object{k}" for k in range(19)]
SPLITS = {"train": ["t"], "test_unseen_object": UNSEEN, "test_unseen_clip": [f"clip{k}" for k in range(10)]}


def row(clip: str, options) -> dict:
    def of(fraction: float, rollouts: int = 0):
        successes = dict.fromkeys(("success_strict", "success_10cm_20deg", "success_10cm_40deg"), fraction > 0.5)
        errors = {"T_err_cm": 1.0, "R_err_rad": 0.1, "seconds_cpu": rollouts / 80, "rollouts": rollouts, "refused": ""}
        return successes | errors | {"perturbed": fraction}

    planned = of(0.75, 60 if clip == "object0" else options.rollouts) | {"tries": 5}
    played = dict.fromkeys(("frozen", "replay", *(name for name in options.baselines if name != "constant")))
    rows = {name: of(0.25) for name in played} | {"planned": planned}
    for name in {*rows} & {"subsequences", *MINED}:
        rows[name] |= {"seconds_cpu": 44.0, "steps": 30_000}
    if policy.MPC in rows:
        rows[policy.MPC] |= {"tick_ms": 50.0, "tick_steps": 600.0}
    absent = {"absent": {"constant": "there is no fitted prior"}} if "constant" in options.baselines else {}
    return {"clip": clip, **rows, **absent}


@pytest.fixture
def mined():
    """The jobs of a run that are mined."""
    return []


@pytest.fixture
def jobs(monkeypatch, cache, mined):
    """The jobs of a run that are evaluated."""
    seen = []

    def run_jobs(function, given, workers):
        if function is policy.mine_clip:
            mined.extend(given)
            yield from ((job, OSError("no space") if job[0] == "clip8" else False) for job in given)
            return
        seen.extend((function, *job) for job in given)
        for clip, options in given:
            broken = clip == "clip9"
            yield (clip, options), ValueError("its object is gone") if broken else row(clip, options)

    monkeypatch.setattr(policy, "run_jobs", run_jobs)
    monkeypatch.setattr(policy, "require_clips", lambda names: None)
    monkeypatch.setattr(policy, "splits", lambda name: SPLITS)
    monkeypatch.setattr(policy, "tick_ms", dict)
    return seen


def test_quick_takes_eight_fixed_test_clips_one_budget_and_few_worlds(jobs):
    found = policy.run(quick=True)
    assert len(found["subset"]) == policy.QUICK_CLIPS == len(jobs) and "t" not in found["subset"]
    assert {o.trials for *_, o in jobs} == {4} and {o.rollouts for *_, o in jobs} == {policy.BUDGETS[0]}
    assert {function for function, *_ in jobs} == {policy.evaluate_clip}  # measured anew each time
    assert found["metrics"]["success_strict_perturbed"] == 0.75
    assert found["metrics"]["success_at_8_tries"] == 1.0 and found["metrics"]["tries_to_success_p50"] == 5.0
    assert found["metrics"]["over_replay_points"] == pytest.approx(50.0)
    assert [found["metrics"][f"n_{part}"] for part in ("unseen_objects", "unseen_clips", "in_hand")] == [7, 1, 0]
    assert found["metrics"]["success_strict_perturbed_unseen_clips"] == 0.75
    assert found["metrics"]["replay_success_strict_perturbed_unseen_objects"] == 0.25
    assert found["metrics"]["success_strict_perturbed_in_hand"] is None
    assert not any("rollouts" in name for name in found["metrics"])


def test_without_its_clips_it_says_how_to_get_them(cache):
    with pytest.raises(DexhotError, match=r"29 of 29 clips are not in the cache .*`dexhot datasets get grab`"):
        policy.run()


def test_a_full_run_keeps_its_rows_and_has_every_budget_and_baseline_and_names_what_failed(jobs, monkeypatch):
    monkeypatch.setattr(policy, "trained_baseline", lambda reward: TrainedBaseline(Path(f"{reward}.onnx"), 480))
    found = policy.run()
    metrics = found["metrics"]
    assert len(jobs) == 3 * 29 - 2  # the search of object0 ended before its first budget
    assert {o.trials for *_, o in jobs} == {20}
    assert {function for function, *_ in jobs} == {policy.evaluate_kept}
    assert [o.baselines for *_, o in jobs[::29]] == [policy.ROWS, (), ()]  # the same rows are not made twice
    assert [len(o.policies) for *_, o in jobs[::29]] == [2, 0, 0]
    assert metrics["planning_s_p50"] == 2.0 and metrics["planning_s_p50_at_800_rollouts"] == 10.0
    assert all(metrics[f"{name}_success_strict_perturbed"] == 0.25 for name in ("frozen", "kinematic", "replay"))
    assert metrics["constant_success_strict"] is None
    assert found["not_run"]["constant"] == "not run: there is no fitted prior"
    assert found["failed"] == {"clip8, mining": "OSError: no space", "clip9": "ValueError: its object is gone"}
    assert [r["clip"] for r in found["clips"]["160"]] == sorted(r["clip"] for r in found["clips"]["160"])


def test_the_rows_that_simulate_are_of_a_full_run_or_asked_for(jobs, mined):
    """What is not run says so, and by which command it is."""
    found = policy.run(quick=True)
    assert {o.baselines for *_, o in jobs} == {BASELINES} and not mined
    for name in policy.EXPENSIVE:
        assert found["metrics"][f"{name}_success_strict_perturbed"] is None
        assert found["not_run"][name] == f"not run; `dexhot bench policy --rows {name}`"
    jobs.clear()
    found = policy.run(quick=True, rows=("mpc",))
    assert {o.baselines for *_, o in jobs} == {("mpc",)} and not mined
    assert found["metrics"]["mpc_success_strict_perturbed"] == 0.25 and "mpc" not in found["not_run"]
    assert "--rows kinematic" in found["not_run"]["kinematic"]
    with pytest.raises(NotFoundError, match="row named 'magic'"):
        policy.run(rows=("magic",))


def test_the_demonstrations_are_mined_first_in_the_folder_of_the_miners_benchmark(jobs, mined):
    policy.run(quick=True, rows=("playback",))
    folder = mined_dir("test", None)
    assert [job[1:] for job in mined] == [(folder, FULL, None, "leap_right")] * policy.QUICK_CLIPS
    assert {o.demonstrations for *_, o in jobs} == {str(folder)}


def test_each_row_has_its_simulation_and_those_of_another_time_are_in_another_table(jobs):
    found = policy.run()
    metrics, printed = found["metrics"], found["printed"]
    assert (metrics["demonstration_seconds_cpu"], metrics["demonstration_steps"]) == (44.0, 30_000)
    assert (metrics["mpc_tick_ms"], metrics["mpc_tick_steps"], metrics["mpc_steps"]) == (50.0, 600.0, 0.0)
    assert metrics["planned_seconds_cpu_at_800_rollouts"] == pytest.approx((27 * 10 + 0.75) / 28)
    without, before, per_tick = ([row[0] for row in printed[how]["rows"]] for how in policy.HOW.values())
    assert without == ["frozen", "replay", "kinematic"] and per_tick == ["mpc"]
    assert before == ["subsequences", *MINED, "planned"]
    assert printed[policy.HOW["tick"]]["rows"][0][1:] == [
        "28 x 0", "0.25 (0.25 to 0.25)", "0.00 (0.00 to 0.00)", "0.00 (0.00 to 0.00)", "not run", "0.0, 0", "50.00, 600"
    ]  # fmt: skip


def test_a_search_that_ended_before_its_budget_finds_the_same_with_a_larger_one():
    rows = [{"planned": {"rollouts": rollouts}} for rollouts in (62, 118, 119, 160)]
    assert [policy.ended(row, 160) for row in rows] == [True, True, False, False]


def test_tries_are_counted_over_all_clips():
    assert policy.tried([1, 8, 9, 0]) == {
        "success_at_8_tries": 0.5,
        "success_at_24_tries": 0.75,
        "tries_to_success_p50": 8.5,
    }
    assert policy.tried([0, 0, 1])["tries_to_success_p50"] is None


def test_a_tick_of_a_network_is_timed(monkeypatch, retarget_once):
    monkeypatch.setattr(policy, "retarget", retarget_once)
    for needed in ("torch", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    found = policy.tick_ms(20)
    assert 0.0 < found["infer_ms_p50"] < found["policy_tick_ms_p50"] < 1000.0


def test_without_torch_the_tick_is_not_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "dexhot_train.network", None)
    assert policy.tick_ms() == {"infer_ms_p50": None, "policy_tick_ms_p50": None}


def test_without_ppo_the_margin_says_not_run_and_at_which_budget(jobs):
    found = policy.run(quick=True)
    assert found["metrics"]["margin_points"] is None and found["metrics"]["margin_points_steps"] is None
    assert "not run; at 10,000,000 control steps" in found["not_run"]["margin_points"]
    assert "dexhot train baseline omnigrasp" in found["not_run"]["margin_points_over_omnigrasp"]
    missing = ["success_panel", "constant", *policy.EXPENSIVE, "margin_points", "margin_points_over_omnigrasp"]
    assert [row[0] for row in found["printed"]["not run"]["rows"]] == missing


def test_the_margin_is_paired_by_clip_with_the_steps_of_the_baseline(jobs, monkeypatch):
    """On the clips that the network fits."""
    monkeypatch.setattr(policy, "trained_baseline", {"tracking": TrainedBaseline(Path("ppo.onnx"), 480)}.get)
    whole = policy.run_jobs

    def run_jobs(function, given, workers):
        for k, (job, result) in enumerate(whole(function, given, workers)):
            beside = {"absent": {"ppo_tracking": "of another hand"}}
            if k:
                beside = {"ppo_tracking": result["frozen"] | {"perturbed": 0.25 * (k == 1)}}
            yield job, result | beside

    monkeypatch.setattr(policy, "run_jobs", run_jobs)
    found = policy.run(quick=True)
    assert {o.policies for *_, o in jobs} == {(("ppo_tracking", "ppo.onnx"),)}
    assert found["metrics"]["margin_points"] == pytest.approx(100 * (0.75 - 0.25 / 7))
    assert found["metrics"]["ppo_tracking_success_strict_perturbed"] == pytest.approx(0.25 / 7)
    assert found["metrics"]["margin_points_steps"] == 480
    assert "margin_points" not in found["not_run"] and "margin_points_over_omnigrasp" in found["not_run"]


def test_a_network_that_fits_no_clip_says_why_there_is_no_margin(jobs, monkeypatch):
    monkeypatch.setattr(policy, "trained_baseline", {"tracking": TrainedBaseline(Path("ppo.onnx"), 480)}.get)
    whole = policy.run_jobs
    why = {"absent": {"ppo_tracking": "of another hand."}}
    monkeypatch.setattr(policy, "run_jobs", lambda *job: ((given, result | why) for given, result in whole(*job)))
    found = policy.run(quick=True)
    assert (
        found["metrics"]["margin_points"] is None and found["not_run"]["margin_points"] == "not run: of another hand."
    )


def test_the_panel_is_played_in_full_runs_alone(jobs):
    policy.run(quick=True)
    assert not any(o.panel for *_, o in jobs)
    jobs.clear()
    assert "success_panel" not in policy.run()["not_run"]
    assert all(o.panel for *_, o in jobs)


def test_a_small_split_is_evaluated_whole_and_an_empty_one_is_an_error(jobs, monkeypatch):
    monkeypatch.setattr(policy, "splits", lambda name: {"test_unseen_object": ["a", "b"]})
    assert policy.run(quick=True)["subset"] == ["a", "b"]
    monkeypatch.setattr(policy, "splits", lambda name: {"train": ["a"]})
    with pytest.raises(DexhotError, match="'test' has no clips"):
        policy.run(quick=True)
