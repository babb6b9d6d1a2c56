"""Mining: search, refinement, choice, files that resume, executors, and the two commands."""

import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.datasets import load_clip
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_rotvec
from dexhot.metrics.success import SUCCESSES
from dexhot.objects.library import load_object, save_object
from dexhot.paths import share_dir
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.perturbation import worlds as worlds_named
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import load_setup
from dexhot_bench import mine as bench_mine
from dexhot_bench.mine import ROBUST_SEED, clips_of, figures, mine_clip, panel_fractions, score_clip
from dexhot_train.mining.clip_job import ClipJob, run_clip
from dexhot_train.mining.executor import KILLED, KilledError, run_jobs, succeeded
from dexhot_train.mining.grip import held_mass
from dexhot_train.mining.mine import MineOptions, _Miner, make_worlds, rank, with_samples
from dexhot_train.mining.search import SearchOptions, search
from dexhot_train.mining.verdict import (
    NEVER_LIFTED,
    NO_SUCCESS,
    NOT_MINED,
    NOT_ON_ARM,
    REFUSED,
    SUCCESS,
    TOO_HEAVY,
    UNTRIED,
    verdict,
)
from dexhot_train.mining.worlds import draw_worlds, nominal_world, replay

TINY = MineOptions(
    sampling=SamplingOptions(horizon=0.4),
    repair=SearchOptions(rounds=((8, 1),), rewinds=0, keep=True),
    robust=SearchOptions(rounds=((8, 1),), rewinds=0),
    structured=60,
    attempts=1,
    worlds=2,
    trials=2,
)
QUICK = ("--samples", "4", "--structured", "12", "--attempts", "1", "--worlds", "1", "--workers", "1")


@pytest.fixture
def simulator(grasp_reference, lift_setup):
    return floating_simulator(grasp_reference, lift_setup)


@pytest.fixture
def job(cache, tmp_path, grasp_reference, lift_object) -> ClipJob:
    save_object(lift_object)
    return ClipJob(save(grasp_reference, tmp_path / "lift.reference.npz"), tmp_path / "lift.npz", TINY)


@pytest.fixture
def short_job(job, short_reference) -> ClipJob:
    """Of 20 frames, in the place of the other."""
    save(short_reference, job.reference)
    return job


@pytest.fixture(scope="module")
def mined(tmp_path_factory, _grasp_reference, lift) -> Path:
    """What `job` writes."""
    folder = tmp_path_factory.mktemp("mined")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXHOT_CACHE", str(folder / "cache"))
        save_object(lift[1])
        return run_clip(ClipJob(save(_grasp_reference, folder / "lift.reference.npz"), folder / "lift.npz", TINY))


@pytest.fixture
def done_job(job, mined) -> ClipJob:
    """`job`, mined."""
    shutil.copy(mined, job.out)
    return job


@pytest.mark.parametrize("way", ["structured", "robust", "repair", "regrasped", "homotopy"])
def test_a_reference_shorter_than_the_horizon_is_mined(way, short_reference, lift_setup, monkeypatch):
    if way == "homotopy":
        monkeypatch.setattr("dexhot_train.mining.mine.succeeds", lambda found: False)
    repair = replace(TINY.repair, budget=2000)
    options = replace(TINY, sampling=SamplingOptions(), homotopy=1, repair=repair)
    miner = _Miner(short_reference, make_worlds(short_reference, lift_setup, options), options, lambda *told: None)
    worlds = [miner.world]
    found = {
        "structured": miner._structured,
        "robust": lambda: miner._robust_search(0),
        "repair": lambda: miner._search("repair", 0, worlds, repair, short_reference.target),
        "regrasped": miner._homotopy,  # which ends there where another grasp succeeds
        "homotopy": miner._homotopy,
    }[way]()
    assert SamplingOptions().horizon * short_reference.rate > len(short_reference.q)
    assert found.actions.shape == found.q.shape == short_reference.q.shape and np.isfinite(found.actions).all()
    assert miner.tried[-1]["name"] == way and found.scores["judged_T_cm"] < 2.0


def test_the_benchmark_mines_without_structured_plans_or_with_a_homotopy_path(cache, monkeypatch, capsys):
    seen = []

    def jobs(function, given, workers=0, executor="process"):
        seen.extend(given)
        for job in given:
            yield job, ValueError("not mined here")

    monkeypatch.setattr(bench_mine, "run_jobs", jobs)
    monkeypatch.setattr(bench_mine, "clips_of", lambda split: ["duck_lift"])
    told, folders = [], []
    for extra in ([], ["--no-structured"], ["--homotopy", "3"]):
        assert main(["bench", "mine", *extra, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out.splitlines()[-1])["options"])
        folders.append(seen[-1][1].name)
        assert seen[-1][2].structured == told[-1]["structured"]
    assert [(t["structured"], t["homotopy"]) for t in told] == [(400, 0), (0, 0), (400, 3)]
    assert folders == ["leap", "leap-no-structured", "leap-homotopy3"], "no plans of other options are overwritten"
    assert main(["bench", "policy", "--no-structured"]) == 1
    assert "--no-structured belongs to `dexhot bench mine`" in " ".join(capsys.readouterr().err.split())


def test_the_search_covers_the_clip_and_reports_its_progress(simulator, grasp_reference):
    planner = SamplingPlanner(grasp_reference, simulator, TINY.sampling)
    seen: list[float] = []
    actions = search(
        planner, nominal_world(grasp_reference, simulator).state, TINY.repair, lambda done, rewinds: seen.append(done)
    )
    assert actions.shape == grasp_reference.q.shape and seen[-1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("rewinds", "far"), [(0, []), (3, [2, 2, 3])])
def test_the_search_goes_back_when_the_object_is_lost(simulator, lift_reference, rewinds, far):
    """In the middle of the lift the object should be 6 cm beside where any plan can have it, but not so far as dropped.
    Later rewinds go further, with noise of their own; then the search goes on as it is."""
    lift_reference.object_pose[150:, 0] += 0.06
    options = SearchOptions(rounds=((4, 1),), rewinds=rewinds, rewind=2)
    planner = SamplingPlanner(lift_reference, simulator, TINY.sampling)
    planned, predict = [], planner.predict

    def seen(states, t):
        planned.append(t)
        return predict(states, t)

    planner.predict = seen  # type: ignore[method-assign]
    actions = search(planner, nominal_world(lift_reference, simulator).state, options)
    back = [(a - b) // planner.stride for a, b in itertools.pairwise(planned) if b < a]
    assert back == far and max(planned) > 180 and actions.shape == lift_reference.q.shape


def test_a_rewind_takes_up_the_plan_and_the_state_of_then(simulator, lift_reference):
    lift_reference.object_pose[150:, 0] += 0.06
    options = SearchOptions(rounds=((4, 1),), rewinds=1, rewind=2)
    planner = SamplingPlanner(lift_reference, simulator, TINY.sampling)
    asked: list[tuple[int, np.ndarray, np.ndarray]] = []
    predict = planner.predict

    def seen(states, t):
        asked.append((t, states.copy(), planner.residual.copy()))
        return predict(states, t)

    planner.predict = seen  # type: ignore[method-assign]
    search(planner, nominal_world(lift_reference, simulator).state, options)
    lost = next(k for k in range(1, len(asked)) if asked[k][0] < asked[k - 1][0])
    t, states, residual = asked[lost]
    first = next(k for k in range(lost) if asked[k][0] == t)
    assert np.array_equal(asked[first][1], states) and np.array_equal(asked[first][2], residual)


def test_worlds_are_perturbed_within_their_bounds_and_repeat_with_the_seed(simulator, grasp_reference):
    v1 = worlds_named("worlds_v1")
    first, again = (draw_worlds(grasp_reference, simulator, 8, seed=5, how=v1) for _ in range(2))
    start, nominal = grasp_reference.object_pose[0], simulator.model
    rows = []
    for a, b in zip(first, again):
        assert np.array_equal(a.state, b.state)
        pose = simulator.object_pose(a.state)
        friction = a.model.geom_friction[:, 0] / nominal.geom_friction[:, 0]
        assert np.ptp(friction) < 1e-12  # of all geoms together: MuJoCo takes the larger of two
        mass = a.model.body("object").mass[0] / nominal.body("object").mass[0]
        assert a.model.body("object").inertia / nominal.body("object").inertia == pytest.approx(mass)
        yaw = quat_to_rotvec(quat_multiply(pose[3:], quat_conjugate(start[3:])))
        assert yaw[:2] == pytest.approx([0, 0], abs=1e-9)
        rows.append(
            [*(pose[:2] - start[:2]) / 0.005, yaw[2] / np.radians(10), (friction[0] - 1) / 0.2, (mass - 1) / 0.2]
        )
    drawn = np.array(rows)
    assert np.abs(drawn).max() <= 1 + 1e-9 and (drawn.std(axis=0) > 0.3).all()  # each of them, in every world


def test_a_world_that_diverges_is_no_success(simulator, grasp_reference, monkeypatch):
    actions, worlds = base_actions(grasp_reference, load_physics()), [nominal_world(grasp_reference, simulator)]
    (m,) = replay(grasp_reference, actions, worlds, simulator)
    rollout = simulator.rollout
    monkeypatch.setattr(simulator, "rollout", lambda *args: replace(rollout(*args), diverged=np.array([True])))
    (diverged,) = replay(grasp_reference, actions, worlds, simulator)
    assert m["success_strict"] and not diverged["success_strict"]


def test_candidates_are_tried_in_worlds_that_no_search_and_no_benchmark_saw(grasp_reference, lift_setup):
    options = replace(TINY, seed=3, trials=4)
    miner = _Miner(grasp_reference, make_worlds(grasp_reference, lift_setup, options), options, lambda *told: None)
    for seed in (*range(options.seed, options.seed + 4), ROBUST_SEED):
        seen = draw_worlds(grasp_reference, miner.simulator, 4, seed)
        assert not any(np.array_equal(a.state, b.state) for a in miner.trials for b in seen)
    assert len(miner.trials) == 4


def scored(reference, **scores) -> Demonstration:
    """A Demonstration with these scores and those of a perfect lift, which is not tried on the arm."""
    perfect = {"success_strict": True, "success_10cm_20deg": True, "robustness": 1.0, "judged_T_cm": 1.0}
    perfect |= {"judged_R_deg": 3.0, "judged_T_max_cm": 2.0, "judged_T_final_cm": 1.0, "judged_R_max_deg": 5.0}
    perfect |= {"E_hand": 0.1, "strict_limits": SUCCESSES["success_strict"], "lifted_frames": 60}
    perfect |= {"reference_lifted_frames": 60, "hold_rate": 1.0, "mass_kg": 0.1, "holds_kg": 1.6}
    perfect |= {"self_penetration_frames": 0}
    q = reference.q
    return Demonstration("d", reference, q, q, reference.object_pose, "1", scores=perfect | scores)


def test_success_then_the_arm_the_panel_robustness_and_the_error_rank(grasp_reference):
    better_to_worse = [
        {"success_strict_arm": True, "success_panel": True, "robustness": 0.1, "judged_T_cm": 2.0},
        {"success_strict_arm": True, "success_panel": False, "robustness": 1.0, "judged_T_cm": 2.0},
        {"success_strict_arm": False, "robustness": 1.0, "judged_T_cm": 2.0},
        {"success_strict_arm": False, "robustness": 0.9, "judged_T_cm": 0.1},
        {"success_strict": False, "robustness": 0.0, "judged_T_cm": 1.0},
        {"success_strict": False, "robustness": 0.0, "judged_T_cm": 1.1},
        {"success_strict": False, "robustness": 0.0, "success_10cm_20deg": False, "judged_T_cm": 0.5},
    ]
    ranks = [rank(scored(grasp_reference, **scores)) for scores in better_to_worse]
    assert ranks == sorted(ranks, reverse=True) and len(set(ranks)) == len(ranks)


def test_replay_in_the_nominal_world_is_the_nominal_rollout(simulator, grasp_reference, mined):
    demonstration = load(mined, Demonstration)
    (metrics,) = replay(grasp_reference, demonstration.actions, [nominal_world(grasp_reference, simulator)], simulator)
    assert metrics["T_err_cm"] == pytest.approx(demonstration.scores["T_err_cm"], abs=1e-6)


def test_a_placed_reference_is_planned_for_the_arm_too(grasp_reference, lift_setup):
    there = place(grasp_reference)
    miner = _Miner(there, make_worlds(there, lift_setup, TINY), TINY, lambda *told: None)
    found = miner._search("robust", 0, [miner.world, *miner.arm_worlds], TINY.robust)
    here, back = (world.model for world in miner.arm_worlds)
    palms = [rig.world.scene.model.body("palm").pos for rig in (here, back)]
    np.testing.assert_allclose(palms[1] - palms[0], [0.0, 0.0, -0.002], atol=1e-12)
    assert found.scores["success_strict"] and found.scores["success_strict_arm"]
    assert found.provenance["control_steps"] == miner.control_steps > 0
    alone = _Miner(grasp_reference, make_worlds(grasp_reference, lift_setup, TINY), TINY, lambda *told: None)
    assert not alone.arm_worlds  # where it was recorded, nobody knows where the arm would stand


def test_more_samples_scale_every_round():
    rounds = with_samples(MineOptions(robust=SearchOptions(rounds=((48, 3), (96, 5)))), 24).robust.rounds
    assert rounds == ((24, 3), (48, 5))


def test_a_job_that_is_done_is_not_run_again(done_job):
    stamp = done_job.out.stat().st_mtime_ns
    assert done_job.done() and run_clip(done_job).stat().st_mtime_ns == stamp


def test_a_clip_is_mined_with_one_hand_and_one_object_read(short_job, loads):
    run_clip(short_job)
    assert loads == {"hand": 1, "object": 1}


def test_another_object_of_the_same_name_is_another_job(done_job, lift_object):
    assert done_job.done()
    lift_object.mass *= 1.1
    save_object(lift_object)
    assert not done_job.done()


def test_another_hand_physics_or_code_is_another_job(job, grasp_reference, tmp_path, monkeypatch):
    keys = [job.key()]
    for folder in ("leap", "leap_right"):
        shutil.copytree(share_dir() / "urdf" / folder, tmp_path / folder)
    own = tmp_path / "leap_right" / "hand.yaml"
    theirs = ClipJob(save(replace(grasp_reference, hand=str(own)), tmp_path / "theirs.npz"), job.out, TINY)
    assert theirs.key() == keys[0]  # the same hand under another name
    other = tmp_path / "other" / "hand.yaml"  # models are read once per path
    shutil.copytree(tmp_path / "leap", tmp_path / "heavier")
    source = tmp_path / "heavier" / "leap.yaml"
    source.write_text(re.sub(r"mass: ([\d.]+)", lambda m: f"mass: {1.1 * float(m[1])}", source.read_text(), count=1))
    other.parent.mkdir()
    other.write_text(own.read_text().replace("../leap/leap.yaml", "../heavier/leap.yaml"))
    theirs = ClipJob(save(replace(grasp_reference, hand=str(other)), tmp_path / "theirs.npz"), job.out, TINY)
    keys.append(theirs.key())
    slippery = replace(load_physics(), friction=(0.9, 0.01, 0.0001))
    for module, name, changed in (
        ("clip_job", "source_hash", lambda: "another"),
        ("clip_job", "load_setup", lambda r: replace(load_setup(r), physics=slippery)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"dexhot_train.mining.{module}.{name}", changed)
            keys.append(job.key())
    assert len(set(keys)) == 4


def test_another_budget_is_another_job(done_job):
    assert not ClipJob(done_job.reference, done_job.out, with_samples(TINY, 12)).done()


def test_an_interrupted_job_takes_up_its_robust_stage(short_job, monkeypatch):
    from dexhot_train.mining import mine as mining

    def interrupt(self, best):
        raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(mining._Miner, "repaired", interrupt)
        run_clip(short_job)
    monkeypatch.setattr(mining._Miner, "robust", lambda self: pytest.fail("the robust stage ran again"))
    names = [c["name"] for c in load(run_clip(short_job), Demonstration).provenance["candidates"]]
    assert names[0] == "replay" and not list(short_job.out.parent.glob("*.partial.npz"))


def test_processes_return_results_and_exceptions():
    results = dict(run_jobs(math.sqrt, [1, 4, -1], workers=2))  # of a module that is small to import
    assert results[1] == 1 and results[4] == 2 and isinstance(results[-1], ValueError)


def test_a_killed_worker_of_ray_is_told_as_one(monkeypatch):
    """A stand-in for Ray: one job raises, one's worker is gone."""

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        cause = ValueError("negative")

    def get(job):
        if job == 2:
            raise RayTaskError
        if job == 3:
            raise RayError("the worker died")
        return 2 * job

    ray = SimpleNamespace(
        is_initialized=lambda: True,
        remote=lambda **how: lambda function: SimpleNamespace(remote=lambda job: job),
        wait=lambda pending, num_returns: (pending[:1], pending[1:]),
        get=get,
        exceptions=SimpleNamespace(RayTaskError=RayTaskError, RayError=RayError),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    results = dict(run_jobs(abs, [1, 2, 3], executor="ray"))
    assert results[1] == 2 and isinstance(results[2], ValueError) and isinstance(results[3], KilledError)


def test_a_worker_killed_in_the_middle_of_mining_is_told_and_the_next_run_goes_on(
    job, short_reference, tmp_path, capsys
):
    """SIGKILL, as of a kernel without memory: no clip is refused for it, and what was mined before stays."""
    second = shutil.copy(job.reference, tmp_path / "second.npz")
    save(short_reference, job.reference)
    command = ["mine", str(job.reference), str(second), "--out", str(tmp_path / "mined"), *QUICK, "--json"]
    made = [tmp_path / "mined" / f"{name}.demonstration.npz" for name in ("lift", "second")]
    running = subprocess.Popen(
        [sys.executable, "-m", "dexhot", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 240.0
        while not made[0].exists() and running.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        [worker] = workers_of(running.pid)
        os.kill(worker, signal.SIGKILL)
        out, err = running.communicate(timeout=60.0)
    finally:
        running.kill()
    assert running.returncode == 1 and made[0].exists() and not made[1].exists()
    told, first = json.loads(out.splitlines()[-1]), made[0].stat()
    assert [row["verdict"] for row in told["results"]] == [UNTRIED, NOT_MINED]
    assert told["results"][1]["reason"] == KILLED and told["totals"][NOT_MINED] == 1
    assert KILLED in " ".join(err.split()) and "Traceback" not in err
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["verdict"] for row in told["results"]] == [UNTRIED, UNTRIED]
    assert made[0].stat().st_mtime_ns == first.st_mtime_ns, "it was mined already"
    assert sorted(path.name for path in made[0].parent.iterdir()) == [path.name for path in made]


def workers_of(pid: int) -> list[int]:
    """The processes that multiprocessing spawned for `pid`, but for its resource tracker."""
    children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in (Path("/proc") / child / "cmdline").read_bytes()]


def test_where_every_job_must_succeed_a_killed_worker_is_a_plain_error():
    with pytest.raises(DexhotError, match="a worker was killed"):
        list(succeeded(run_jobs, signal.raise_signal, [signal.SIGKILL]))


def test_an_unknown_executor_is_refused():
    with pytest.raises(DexhotError, match="process, ray"):
        list(run_jobs(abs, [1], executor="cluster"))


def test_figures_count_a_failed_clip_as_no_success():
    row: dict[str, object] = {who + success: not who for who in ("", "replay_", "frozen_") for success in SUCCESSES}
    row |= {"success_strict_raw": True, "robust": 0.8, "hold_rate": None, "reachable": True}
    row |= {"T_err_cm": 1.0, "R_err_rad": 0.1, "penetration_mm": 2.0, "seconds_cpu": 30.0, "seconds_wall": 40.0}
    row |= {"reachable": True, "speed_factor": 1.2, "arm_strict": True, "arm_success_strict": True}
    row |= {"success_panel": True, "robust_v2": 0.6}
    failed = {**row, "reachable": False, "speed_factor": None, "arm_strict": False, "arm_success_strict": None}
    failed |= {"success_panel": False, "robust_v2": 0.2}
    m = figures([row, failed], 4)
    assert (m["reachable_fraction"], m["speed_factor_p50"], m["success_panel"]) == (0.25, 1.2, 0.25)
    assert (m["arm_success_strict"], m["arm_strict_fraction"]) == (1.0, 0.25)
    assert m["robust_fraction_all"] == pytest.approx(0.2)
    m = figures([row], 2)
    assert m["success_strict"] == 0.5 and m["robust_fraction"] == 0.8 and m["hold_rate"] is None
    assert m["frozen_success_strict"] == m["replay_success_strict"] == 0.0


@pytest.mark.data
def test_the_benchmark_scores_the_file_and_keeps_what_was_mined(grab, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_mine, "ROBUST_WORLDS", 4)  # each of the three fractions is of as many
    clip = "cylindersmall_lift"
    assert [mine_clip((clip, tmp_path, TINY, None, "leap_right")) for _ in range(2)] == [False, True]
    row = score_clip((clip, tmp_path))
    assert row["T_err_cm"] == load(tmp_path / f"{clip}.npz", Demonstration).scores["T_err_cm"]
    assert row["reachable"] and row["speed_factor"] >= 1.0 and isinstance(row["arm_strict"], bool)
    assert 0.0 <= row["robust_v2"] <= 1.0 and row["success_panel"] in (True, False)
    assert row["frozen_success_10cm_20deg"] and not row["frozen_success_strict"]  # DexTrack's successes are lenient
    written = tmp_path / f"{clip}.json"
    written.write_text(json.dumps(row | {"T_err_cm": -1.0}))
    assert score_clip((clip, tmp_path))["T_err_cm"] == -1.0, "an earlier row of the same file is kept"
    written.write_text(json.dumps(row | {"T_err_cm": -1.0, "key": "of another file, or other code"}))

    def anew(reference):
        raise DexhotError("it is scored again")

    monkeypatch.setattr(bench_mine, "load_setup", anew)
    with pytest.raises(DexhotError, match="scored again"):
        score_clip((clip, tmp_path))


def test_a_row_is_scored_again_for_another_file_or_other_code(tmp_path, monkeypatch):
    path = tmp_path / "clip.npz"
    path.write_bytes(b"a plan")
    key = bench_mine.score_key(path)
    assert bench_mine.score_key(path) == key
    path.write_bytes(b"another")
    other = bench_mine.score_key(path)
    monkeypatch.setattr(bench_mine, "source_hash", lambda: "changed")
    assert len({key, other, bench_mine.score_key(path)}) == 3


def test_the_halves_of_the_test_split_are_apart_and_a_failed_clip_is_no_success(monkeypatch):
    monkeypatch.setattr(
        bench_mine, "splits", lambda name: {"test_unseen_object": ["a"], "test_unseen_clip": ["b", "c"]}
    )
    good = dict.fromkeys((*SUCCESSES, "success_panel", "arm_strict", "replay_success_strict"), True)
    good |= {"robust_v2": 0.5, "in_hand": True}
    rows = [{"clip": "a", **dict.fromkeys(good, False)}, {"clip": "b", **good}]
    found = bench_mine.on_halves(rows, ["a", "b", "c"])
    assert found["n_unseen_objects"] == 1 and found["n_unseen_clips"] == 2
    assert found["success_strict_unseen_objects"] == 0.0 and found["success_strict_unseen_clips"] == 0.5
    assert found["robust_fraction_all_unseen_clips"] == 0.25
    assert bench_mine.on_halves(rows, ["t"]) == {}, "a train split has no halves"
    found = figures(rows, 3)
    assert found["n_in_hand"] == 1 and found["robust_fraction_all_in_hand"] == 0.5


@pytest.mark.data
def test_half_a_clip_does_not_count_for_the_clip(grab, tmp_path):
    reference = retarget(
        load_clip("grab/cylindersmall_lift").cut(0, 36), load_hand("leap_right"), load_object("grab/cylindersmall")
    )
    q, pose = reference.q, reference.object_pose
    save(Demonstration("half", reference, q, q, pose, "2", "leap"), tmp_path / "cylindersmall_lift.npz")
    with pytest.raises(DexhotError, match=r"cut of grab/cylindersmall_lift .* does not count"):
        score_clip(("cylindersmall_lift", tmp_path))


def test_the_test_split_is_29_clips_that_train_has_none_of():
    test, train = clips_of("test"), clips_of("train")
    assert len(test) == 29 and len(train) == 59 and not set(test) & set(train) and set(clips_of("quick")) <= set(train)


def test_the_panel_is_told_world_by_world_over_all_clips():
    worlds = {"nominal": True, "1/960 s elliptic": True, "friction 0.6": False}
    told = panel_fractions([{"panel": worlds}, {}], 4)
    assert told["nominal"] == told["1/960 s elliptic"] == 0.25 and told["friction 0.6"] == told["arm"] == 0.0


def test_a_split_is_one_of_mining_alone(capsys):
    for arguments in (["loop", "--split", "test"], ["mine", "--quick", "--split", "test"]):
        assert main(["bench", *arguments]) == 1
        assert "--split belongs to" in capsys.readouterr().err


def test_peers_are_planned_beside_mining_alone(capsys):
    assert main(["bench", "loop", "--peers"]) == 1
    assert "--peers belongs to" in capsys.readouterr().err


def test_mine_and_evaluate_commands(short_job, capsys):
    assert main(["mine", str(short_job.reference), "--out", str(short_job.out), *QUICK, "--json"]) == 0
    mined = json.loads(capsys.readouterr().out.splitlines()[-1])["results"][0]
    assert main(["evaluate", str(short_job.out), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert scored["T_err_cm"] == pytest.approx(mined["T_err_cm"])


def test_two_references_never_share_an_output(job, tmp_path, capsys):
    (tmp_path / "again").mkdir()
    twin = shutil.copy(job.reference, tmp_path / "again")
    assert main(["mine", str(job.reference), str(twin), "--out", str(tmp_path / "mined")]) == 1
    assert "2 references have the same output file" in capsys.readouterr().err and not (tmp_path / "mined").exists()


def test_a_run_of_clips_is_judged_clip_by_clip_and_in_sum(job, tmp_path, capsys, grasp_reference, lift_object):
    """One clip succeeds, one is too heavy to be lifted, one is no reference at all."""
    heavy = replace(lift_object, name="user/heavy", mass=3.0, inertia=lift_object.inertia * 3.0 / lift_object.mass)
    save_object(heavy)
    save(replace(grasp_reference, object_name=heavy.name), tmp_path / "heavy.npz")
    files = [str(path) for path in (job.reference, tmp_path / "heavy.npz", tmp_path / "absent.npz")]
    arguments = [*QUICK, "--attempts", "0", "--out", str(tmp_path / "mined")]
    assert main(["mine", *files, *arguments, "--json"]) == 1
    printed = capsys.readouterr()
    told = json.loads(printed.out.splitlines()[-1])
    verdicts = {row["reference"].rpartition("/")[2]: (row["verdict"], row["causes"]) for row in told["results"]}
    assert verdicts == {
        "lift.reference.npz": (UNTRIED, []),
        "heavy.npz": (NO_SUCCESS, [NEVER_LIFTED, TOO_HEAVY]),
        "absent.npz": (REFUSED, []),
    }
    assert told["totals"] == {
        **{"clips": 3, "successes": 1, UNTRIED: 1, NO_SUCCESS: 1, REFUSED: 1, NEVER_LIFTED: 1, TOO_HEAVY: 1}
    }
    assert "its mass is 3.00 kg, and these fingertips hold at most 0.41 kg" in " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("scores", "outcome", "reason"),
    [
        ({}, UNTRIED, "the reference is not placed"),
        ({"success_strict_arm": True}, SUCCESS, ""),
        ({"success_strict_arm": False}, NOT_ON_ARM, "but not on the embedded rig"),
        ({"success_strict": False, "lifted_frames": 0}, NO_SUCCESS, "never lifted"),
        ({"success_strict": False, "hold_rate": 0.89}, NO_SUCCESS, "held for 89% of the frames"),
        ({"success_strict": False, "self_penetration_frames": 8}, NO_SUCCESS, "self-penetration 8, limit 6"),
        ({"success_strict": False, "judged_T_max_cm": 6.0}, NO_SUCCESS, "largest 6.00 cm, limit 5 cm"),
        ({"reference_lifted_frames": 0, "lifted_frames": 0, "hold_rate": None}, UNTRIED, "the reference lifts nothing"),
        ({"mass_kg": 2.0}, UNTRIED, ""),  # what was lifted was not too heavy
        (
            {"success_strict": False, "mass_kg": 2.0, "lifted_frames": 0},
            NO_SUCCESS,
            "its mass is 2.00 kg, and these fingertips hold at most 1.60 kg",
        ),
        ({"success_strict": False, "mass_kg": 2.0, "holds_kg": None, "lifted_frames": 0}, NO_SUCCESS, "never lifted"),
    ],
)
def test_a_verdict_says_what_became_of_the_clip(grasp_reference, scores, outcome, reason):
    found = verdict(scored(grasp_reference, **scores))
    assert found.outcome == outcome and reason in found.reason
    assert found.success == (outcome in (SUCCESS, UNTRIED))


def test_what_fingertips_hold_grows_with_torque_and_friction(lift_reference, lift_setup):
    hand, physics = lift_setup.hand, lift_setup.physics
    held = held_mass(lift_reference, lift_setup)
    weak = replace(physics, servo="leap_lite")
    slippery = replace(physics, friction=(0.4, *physics.friction[1:]))
    assert held == pytest.approx(0.41, abs=0.02)  # in simulation the replay lifts 0.30 kg and drops 0.35 kg
    weaker = weak.finger(hand).torque / physics.finger(hand).torque
    assert held_mass(lift_reference, replace(lift_setup, physics=weak)) == pytest.approx(weaker * held)
    assert held_mass(lift_reference, replace(lift_setup, physics=slippery)) < 0.7 * held
    lift_reference.contact[:] = 0.0
    assert held_mass(lift_reference, lift_setup) is None


def test_evaluate_refuses_another_kind_of_file(job, capsys):
    assert main(["evaluate", str(job.reference)]) == 1
    assert "takes a Demonstration" in capsys.readouterr().err


def test_a_truncated_reference_is_an_error_of_its_clip(job, capsys):
    job.reference.write_bytes(job.reference.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="truncated"):
        run_clip(job)
