from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.controllers import HandState
from dexhot.control.mpc import Mpc, MpcOptions
from dexhot.errors import DexhotError
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import floating_scene
from dexhot.tracking.object_state import ObjectState

BUDGET = MpcOptions(samples=4, iterations=1, horizon=0.2, replan=0.1)


@pytest.fixture
def simulator(lift_reference, lift_object):
    scene = floating_scene(load_hand("leap_right"), lift_object, lift_reference.base_quat, load_physics())
    return MujocoSimulator(scene)


def play(mpc: Mpc, frames: int) -> np.ndarray:
    """Targets while hand and object are where the reference has them."""
    r = mpc.reference
    states = [ObjectState(i / 60, r.object_pose[i], np.zeros(6), np.zeros((12, 12))) for i in range(frames)]
    mpc.start(states[0])
    return np.array([mpc.step(i, s, HandState(s.stamp, r.q[i])) for i, s in enumerate(states)])


def test_same_inputs_and_seed_give_the_same_targets(lift_reference, simulator):
    first, second = (play(Mpc(lift_reference, simulator, replace(BUDGET, seed=3, delay=2)), 20) for _ in range(2))
    assert (first == second).all()


def test_another_seed_gives_other_targets(lift_reference, simulator):
    first, second = (play(Mpc(lift_reference, simulator, replace(BUDGET, seed=s, delay=2)), 20) for s in (3, 4))
    assert (first != second).any()


def test_a_plan_takes_over_after_the_delay(lift_reference, simulator):
    mpc = Mpc(lift_reference, simulator, replace(BUDGET, delay=3))
    targets = play(mpc, 7)
    base = mpc.planner._clip(mpc.planner.base)
    assert (targets[:3] == base[:3]).all() and (targets[3:6] != base[3:6]).any()


def test_a_delay_as_long_as_the_interval_is_refused(lift_reference, simulator):
    with pytest.raises(DexhotError, match="delay must be 1 to 5"):
        Mpc(lift_reference, simulator, replace(BUDGET, delay=6))
