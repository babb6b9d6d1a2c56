"""Mining: search, refinement, choice, files that resume, executors, and the two commands."""

import json

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.sampling import SamplingOptions, SamplingPlanner
from dexhot.data.files import load, save
from dexhot.data.object_library import save_object
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, FileFormatError
from dexhot.evaluation.metrics import SUCCESSES
from dexhot.evaluation.score import floating_simulator
from dexhot.hands.robot_hand import load_hand
from dexhot.retargeting.placement import place
from dexhot.simulation.physics import load_physics
from dexhot_train.bench_mine import figures, mine_clip, score_clip
from dexhot_train.clip_job import ClipJob, run_clip
from dexhot_train.executor import run_jobs
from dexhot_train.mining import MineOptions, _Miner, mine, with_samples
from dexhot_train.refine import draw_worlds, nominal_world, replay
from dexhot_train.search import SearchOptions, search

TINY = MineOptions(
    sampling=SamplingOptions(horizon=0.4),
    repair=SearchOptions(rounds=((8, 1),), rewinds=0, keep=True),
    robust=SearchOptions(rounds=((8, 1),), rewinds=0),
    attempts=1,
    worlds=2,
    trials=2,
)


@pytest.fixture
def simulator(lift_reference, lift_object):
    return floating_simulator(lift_reference, lift_object, load_hand("leap_right"), load_physics())


@pytest.fixture
def job(cache, tmp_path, lift_reference, lift_object) -> ClipJob:
    save_object(lift_object)
    return ClipJob(save(lift_reference, tmp_path / "lift.reference.npz"), tmp_path / "lift.npz", TINY)


def double(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return 2 * x


def test_the_search_covers_the_clip_and_reports_its_progress(simulator, lift_reference):
    planner = SamplingPlanner(lift_reference, simulator, TINY.sampling)
    seen: list[float] = []
    actions = search(planner, nominal_world(lift_reference, simulator).state, TINY.repair, seen.append)
    assert actions.shape == lift_reference.q.shape and seen[-1] == pytest.approx(1.0, abs=0.1)


def test_the_search_rewinds_when_the_object_is_lost(simulator, lift_reference):
    impossible = SearchOptions(rounds=((4, 1),), lost=(1e-6, 1e-6), rewinds=2, rewind=1)
    planner = SamplingPlanner(lift_reference, simulator, TINY.sampling)
    seen: list[float] = []
    search(planner, nominal_world(lift_reference, simulator).state, impossible, seen.append)
    assert planner.control_steps > 0 and seen[-1] == pytest.approx(1.0, abs=0.1)


def test_worlds_are_perturbed_within_their_bounds_and_repeat_with_the_seed(simulator, lift_reference):
    first, again = (draw_worlds(lift_reference, simulator, 8, seed=5) for _ in range(2))
    start = lift_reference.object_pose[0]
    for a, b in zip(first, again):
        assert np.array_equal(a.state, b.state)
        assert np.abs(simulator.object_pose(a.state)[:2] - start[:2]).max() <= 0.005
        friction = a.model.geom_friction[:, 0] / simulator.model.geom_friction[:, 0]
        assert friction.min() >= 0.8 and friction.max() <= 1.2
    assert len({float(w.model.body("object").mass[0]) for w in first}) > 1


def test_replay_in_the_nominal_world_is_the_nominal_rollout(simulator, lift_reference, lift_object):
    demonstration = mine(lift_reference, lift_object, load_hand("leap_right"), load_physics(), TINY)
    (metrics,) = replay(lift_reference, demonstration.actions, [nominal_world(lift_reference, simulator)], simulator)
    assert metrics["T_err_cm"] == pytest.approx(demonstration.scores["T_err_cm"], abs=1e-6)


def test_a_placed_reference_is_planned_for_the_arm_too(lift_reference, lift_object):
    hand, physics = load_hand("leap_right"), load_physics()
    miner = _Miner(place(lift_reference), lift_object, hand, physics, TINY, lambda stage, share: None)
    found = miner._search("robust", 0, [miner.world, *miner.arm_worlds], TINY.robust)
    assert [world.model for world in miner.arm_worlds] == [None]
    assert found.scores["success_strict"] and found.scores["success_strict_arm"]
    alone = _Miner(lift_reference, lift_object, hand, physics, TINY, lambda stage, share: None)
    assert not alone.arm_worlds  # where it was recorded, nobody knows where the arm would stand


def test_more_samples_scale_every_round():
    rounds = with_samples(MineOptions(robust=SearchOptions(rounds=((48, 3), (96, 5)))), 24).robust.rounds
    assert rounds == ((24, 3), (48, 5))


def test_a_job_that_is_done_is_not_run_again(job):
    out = run_clip(job)
    stamp = out.stat().st_mtime_ns
    assert job.done() and run_clip(job).stat().st_mtime_ns == stamp


def test_another_budget_is_another_job(job):
    run_clip(job)
    assert not ClipJob(job.reference, job.out, with_samples(TINY, 12)).done()


def test_an_interrupted_job_takes_up_its_robust_stage(job, monkeypatch):
    from dexhot_train import mining

    def interrupt(self, best):
        raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(mining._Miner, "repaired", interrupt)
        run_clip(job)
    monkeypatch.setattr(mining._Miner, "robust", lambda self: pytest.fail("the robust stage ran again"))
    names = [c["name"] for c in load(run_clip(job), Demonstration).provenance["candidates"]]
    assert names[0] == "replay" and not list(job.out.parent.glob("*.partial.npz"))


def test_processes_return_results_and_exceptions():
    results = dict(run_jobs(double, [1, 2, -1], workers=2))
    assert results[1] == 2 and results[2] == 4 and isinstance(results[-1], ValueError)


def test_an_unknown_executor_is_refused():
    with pytest.raises(DexhotError, match="process, ray"):
        list(run_jobs(double, [1], executor="cluster"))


def test_figures_count_a_failed_clip_as_no_success():
    row: dict[str, object] = {who + success: not who for who in ("", "replay_", "frozen_") for success in SUCCESSES}
    row |= {"success_strict_raw": True, "robust": 0.8, "hold_rate": None, "reachable": True}
    row |= {"T_err_cm": 1.0, "R_err_rad": 0.1, "penetration_mm": 2.0, "seconds_cpu": 30.0, "seconds_wall": 40.0}
    m = figures([row], 2)
    assert m["success_strict"] == 0.5 and m["robust_fraction"] == 0.8 and m["hold_rate"] is None
    assert m["frozen_success_strict"] == m["replay_success_strict"] == 0.0


@pytest.mark.data
def test_the_benchmark_scores_the_file_and_keeps_what_was_mined(grab, tmp_path):
    clip = "cylindersmall_lift"
    assert [mine_clip((clip, tmp_path, TINY)) for _ in range(2)] == [False, True]
    row = score_clip((clip, tmp_path))
    assert row["T_err_cm"] == load(tmp_path / f"{clip}.npz", Demonstration).scores["T_err_cm"]
    assert row["frozen_success_10cm_20deg"] and not row["frozen_success_strict"]  # DexTrack's successes are lenient


def test_mine_and_evaluate_commands(job, capsys):
    arguments = ["--samples", "4", "--attempts", "1", "--worlds", "1", "--workers", "1"]
    assert main(["mine", str(job.reference), "--out", str(job.out), *arguments, "--json"]) == 0
    mined = json.loads(capsys.readouterr().out.splitlines()[-1])["results"][0]
    assert main(["evaluate", str(job.out), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert scored["T_err_cm"] == pytest.approx(mined["T_err_cm"])


def test_evaluate_refuses_another_kind_of_file(job, capsys):
    assert main(["evaluate", str(job.reference)]) == 1
    assert "takes a Demonstration" in capsys.readouterr().err


def test_a_truncated_reference_is_an_error_of_its_clip(job, capsys):
    job.reference.write_bytes(job.reference.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="truncated"):
        run_clip(job)
