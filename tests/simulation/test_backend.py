"""The threaded MuJoCo simulator: states, rollouts, contacts, and worlds that blow up."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import floating_scene, perturbed
from dexhot.simulation.settle import settle_height

PHYSICS = load_physics()
STARTED = "import sys; sys.addaudithook(lambda event, _: event != 'subprocess.Popen' or print(event))"


@pytest.fixture(scope="module")
def hand():
    return load_hand("leap_right")


@pytest.fixture(scope="module")
def sim(hand, lift):
    return MujocoSimulator(floating_scene(hand, lift[1], [1, 0, 0, 0], PHYSICS))


@pytest.fixture(scope="module")
def start(lift):
    return settle_height(lift[1], [0, 0, 0, 1, 0, 0, 0])


@pytest.fixture(scope="module")
def away(hand):
    """A hand vector clear of the object."""
    return np.r_[0, 0, 0.5, 0, 0, 0, hand.nominal]


@pytest.fixture(scope="module")
def pressing(hand, lift):
    """A hand vector whose fingertips end inside the object."""
    return np.r_[-0.09, 0, lift[1].vertices[:, 2].max() + 0.09, 0, 0, 0, hand.nominal]


def test_snapshot_is_taken_before_any_step(sim, away, start):
    state = sim.initial_state(away, start)
    assert state[0] == 0.0
    assert np.array_equal(sim.joint_positions(state), away)
    assert np.allclose(sim.object_pose(state), start)
    assert np.allclose(state[1 + sim.model.nq : 1 + sim.model.nq + sim.model.nv], 0.0)


def test_rollout_gives_one_row_per_control_step(sim, away, start):
    batch = sim.rollout(sim.initial_state(away, start), np.tile(away, (5, 12, 1)))
    assert batch.states.shape == (5, 12, sim.state_size)
    assert batch.sensors.shape == (5, 12, sim.model.nsensordata)
    assert np.allclose(batch.states[0, :, 0], np.arange(1, 13) / 60)
    assert not batch.diverged.any()


def test_hand_stays_where_its_servos_hold_it(sim, away, start):
    batch = sim.rollout(sim.initial_state(away, start), np.tile(away, (30, 1)))
    assert np.abs(sim.joint_positions(batch.states[0, -1]) - away).max() < 1e-6
    assert np.abs(sim.object_pose(batch.states[0, -1]) - start).max() < 1e-3


def test_a_target_is_reached(sim, away, start):
    target = away + np.r_[0.05, -0.05, 0.05, 0.1, 0.1, -0.1, np.full(16, 0.1)]
    batch = sim.rollout(sim.initial_state(away, start), np.tile(target, (90, 1)))
    assert np.abs(sim.joint_positions(batch.states[0, -1]) - target).max() < 2e-3


def test_threads_do_not_change_the_result(sim, away, pressing, start):
    state = sim.initial_state(away, start)
    controls = np.random.default_rng(0).normal(pressing, 0.05, (6, 20, len(pressing)))
    threaded = MujocoSimulator(sim.scene, threads=2).rollout(state, controls)
    assert np.array_equal(sim.rollout(state, controls).states, threaded.states)


def test_what_is_only_seen_changes_nothing(sim, hand, lift, away, pressing, start):
    plain = MujocoSimulator(floating_scene(hand, lift[1], [1, 0, 0, 0], PHYSICS, visual=False))
    controls = np.tile(pressing, (30, 1))
    seen = sim.rollout(sim.initial_state(away, start), controls)
    assert plain.model.ngeom < sim.model.ngeom / 2
    assert np.array_equal(plain.rollout(plain.initial_state(away, start), controls).states, seen.states)


def test_continuing_a_rollout_is_the_same_as_one_long_rollout(sim, away, start):
    controls = np.tile(away + 0.02, (20, 1))
    whole = sim.rollout(sim.initial_state(away, start), controls)
    first = sim.rollout(sim.initial_state(away, start), controls[:10])
    second = sim.rollout(first.states[0, -1], controls[10:])
    assert np.allclose(whole.states[0, -1], second.states[0, -1], atol=1e-6)


def test_one_model_per_world(sim, away, start):
    models = [perturbed(sim.scene, mass=m) for m in (0.5, 1.0, 2.0)]
    above = start + np.r_[0, 0, 0.2, 0, 0, 0, 0]
    batch = sim.rollout(sim.initial_state(away + np.r_[1, np.zeros(21)], above), np.tile(away, (3, 1)), models=models)
    alone = sim.rollout(batch.states[2, 0], np.tile(away, (1, 1)), models=models[2:])
    assert batch.states.shape[0] == 3
    assert np.allclose(alone.states[0, 0], batch.states[2, 1], atol=1e-9)


def test_a_world_that_blows_up_is_flagged_and_the_others_are_not(sim, away, start):
    states = np.tile(sim.initial_state(away, start), (3, 1))
    states[1, 1 + sim.model.nq + sim.scene.v_address[0]] = 1e12
    batch = sim.rollout(states, np.tile(away, (10, 1)))
    assert batch.diverged.tolist() == [False, True, False]


def test_a_nan_control_is_flagged_and_leaves_no_log_file(sim, away, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    controls = np.tile(away, (2, 10, 1))
    controls[1, 4] = np.nan
    assert sim.rollout(sim.initial_state(away, start), controls).diverged.tolist() == [False, True]
    assert not list(tmp_path.iterdir())


def test_contacts_of_an_object_at_rest(sim, away, start):
    c = sim.contacts(sim.rollout(sim.initial_state(away, start), np.tile(away, (30, 1))).states[0, -3:])
    assert c.table_contact.all()
    assert not c.tip_contact.any()
    assert (c.penetration == 0).all()


def test_contacts_measure_a_known_overlap(sim, hand, lift, start):
    """The palm's tips straight above the object's top, moved down by 4 mm beyond touching."""
    q = np.r_[0, 0, 0.5, 0, 0, 0, np.zeros(16)]
    state = sim.initial_state(q, start)
    tips = sim.rollout(state, q[None]).sensors[0, 0, sim.scene.sensors["tips"]].reshape(-1, 3)
    top = start[2] + lift[1].vertices[:, 2].max()
    q[:2] -= tips[1, :2]
    q[2] -= tips[1, 2] - hand.tip_radius - top + 0.004
    before = sim.contacts(sim.initial_state(q - np.r_[0, 0, -0.005, np.zeros(19)], start)[None])
    after = sim.contacts(sim.initial_state(q, start)[None])
    assert before.penetration[0] < after.penetration[0]
    assert after.penetration[0] >= 0.0035


def test_rollout_sensors_and_contacts_agree(sim, away, pressing, start):
    batch = sim.rollout(sim.initial_state(away, start), np.tile(pressing, (40, 1)))
    c = sim.contacts(batch.states[0])
    assert c.penetration.max() > 0.0
    sensed = -batch.sensors[0, :, sim.scene.sensors["penetration"]][:, 0]
    assert np.abs(np.maximum(sensed, 0) - c.penetration).max() < 0.003


def test_object_pose_needs_an_object(hand, away):
    sim = MujocoSimulator(floating_scene(hand, None, [1, 0, 0, 0], PHYSICS))
    with pytest.raises(DexhotError, match="no object"):
        sim.object_pose(sim.initial_state(away))


def test_threads_that_share_a_simulator_do_not_meet(sim, away, start):
    state, controls = sim.initial_state(away, start), np.tile(away, (8, 30, 1))
    alone = sim.rollout(state, controls).states
    with ThreadPoolExecutor(4) as threads:
        shared = list(threads.map(lambda _: sim.rollout(state, controls).states, range(16)))
    assert all(np.array_equal(states, alone) for states in shared)


def test_the_import_of_mujoco_starts_no_process():
    """Else each of ours that imports it would start an interpreter, for the version of a library for windows."""
    display = ("PYGLFW_LIBRARY", "PYGLFW_LIBRARY_VARIANT", "XDG_SESSION_TYPE")
    environment = {name: value for name, value in os.environ.items() if name not in display}
    for first, started in (("dexhot, ", ""), ("", "subprocess.Popen\n")):
        call = [sys.executable, "-c", f"{STARTED}; import {first}mujoco"]
        assert subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout == started
