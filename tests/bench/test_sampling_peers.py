"""CEM and MPPI beside the miner: they lower the cost, keep to their budget, and their files are kept."""

import numpy as np
import pytest

from dexhot.control.sampling import SamplingOptions, SamplingPlanner
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.objects.library import save_object
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot_bench import mine, sampling_peers
from dexhot_bench.mine import figures
from dexhot_bench.sampling_peers import PEERS, PeerOptions, cem, mppi, peer_clip, receding_horizon
from dexhot_train.mining.mine import MineOptions

SHORT = SamplingOptions(horizon=0.2, replan=0.1)


@pytest.fixture
def planner(brief_lift, lift_setup):
    return SamplingPlanner(brief_lift, floating_simulator(brief_lift, lift_setup), SHORT, seed=3)


@pytest.fixture
def state(planner):
    return start_state(planner.reference, planner.simulator)


def cost(planner, state) -> float:
    return float(planner.evaluate(state[None], 0, planner.residual[None, : planner.steps])[0, 0])


@pytest.mark.parametrize("name", PEERS)
def test_a_plan_gets_better(planner, state, name):
    planner.residual[:, :3] = 0.04  # the wrist 4 cm off
    before = cost(planner, state)
    for _ in range(6):
        PEERS[name](planner, state, 0, 48, PeerOptions(temperature=0.002))
    assert cost(planner, state) < 0.95 * before


def test_cold_mppi_takes_its_best_sample_and_hot_mppi_the_mean_of_all(planner, state):
    residuals = {}
    for temperature in (1e-9, 1e9):
        planner.residual[:], planner.rng = 0.0, np.random.default_rng(5)
        mppi(planner, state, 0, 12, PeerOptions(temperature=temperature))
        residuals[temperature] = planner.residual[: planner.steps].copy()
    shape = (12, planner.interpolation.shape[1], len(planner.sigma))
    drawn = planner.interpolation @ (planner.sigma * np.random.default_rng(5).standard_normal(shape))
    best = drawn[np.argmin(planner.evaluate(state[None], 0, drawn)[0])]
    np.testing.assert_allclose(residuals[1e-9], best, atol=1e-9)
    np.testing.assert_allclose(residuals[1e9], drawn.mean(axis=0), atol=1e-6)


def test_cem_averages_its_elites(planner, state):
    planner.rng = np.random.default_rng(5)
    cem(planner, state, 0, 20, PeerOptions(iterations=1, elites=0.2, smoothing=0.0))
    shape = (20, planner.interpolation.shape[1], len(planner.sigma))
    drawn = planner.interpolation @ (planner.sigma * np.random.default_rng(5).standard_normal(shape))
    order = np.argsort(planner.evaluate(state[None], 0, drawn)[0])
    np.testing.assert_allclose(planner.residual[: planner.steps], drawn[order[:4]].mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("name", PEERS)
def test_the_budget_is_used_and_kept(planner, state, name):
    plans = len(range(0, planner.frames - 1, planner.stride))
    budget = 24 * plans * planner.steps
    actions = receding_horizon(planner, state, PEERS[name], budget, PeerOptions(fewest=4))
    assert 0.8 * budget <= planner.control_steps <= budget
    assert actions.shape == planner.reference.q.shape


def test_diverged_rollouts_leave_the_plan(planner, state, monkeypatch):
    planner.residual[:] = before = np.full_like(planner.residual, 0.001)
    monkeypatch.setattr(planner, "evaluate", lambda states, t, residual: np.full((1, len(residual)), np.inf))
    for improve in PEERS.values():
        improve(planner, state, 0, 8, PeerOptions())
        np.testing.assert_array_equal(planner.residual, before)


def test_a_clip_is_planned_once_and_scored_from_its_file(
    cache, tmp_path, brief_lift, lift_object, planner, monkeypatch
):
    save_object(lift_object)
    q, pose = brief_lift.q, brief_lift.object_pose
    mined = Demonstration("lift", brief_lift, q, q, pose, planner.scene.physics.version, "leap")
    mined.provenance = {"key": "a", "control_steps": 0}
    save(mined, tmp_path / "lift.npz")
    monkeypatch.setattr(sampling_peers, "PeerOptions", lambda: PeerOptions(fewest=8))
    calls = []
    plan = sampling_peers.receding_horizon

    def counted(*args):
        calls.append(args)
        return plan(*args)

    monkeypatch.setattr(sampling_peers, "receding_horizon", counted)
    job = ("lift", tmp_path, MineOptions(sampling=SHORT))
    first, again = peer_clip(job), peer_clip(job)
    assert first == again and len(calls) == 2
    assert first["cem_control_steps"] > 0 and first["mppi_success_strict"] in (True, False)
    mined.provenance["key"] = "b"  # mined anew: planned anew
    save(mined, tmp_path / "lift.npz")
    peer_clip(job)
    assert len(calls) == 4
    assert load(tmp_path / "cem" / "lift.npz", Demonstration).provenance["chosen"] == "cem"


def test_figures_have_the_peers_only_where_they_were_planned():
    row = {"cem_success_strict": True, "cem_seconds_cpu": 3.0}
    told = figures([row, {"cem_success_strict": False}, {}], 4)
    assert (told["cem_success_strict"], told["cem_seconds_per_clip"]) == (0.5, 3.0), "of the clips that they planned"
    assert "mppi_success_strict" not in told and "cem_success_strict" not in figures([{}], 1)


def test_a_clip_that_a_peer_failed_to_plan_is_no_success_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(mine, "run_jobs", lambda function, jobs, *how: [(job, ValueError("no")) for job in jobs])
    rows, failed = [{"clip": "a"}], {}
    mine._add_peers(rows, tmp_path, mine.QUICK, 1, "process", failed)
    assert rows[0]["cem_success_strict"] is False and "no" in failed["a, CEM and MPPI"]
