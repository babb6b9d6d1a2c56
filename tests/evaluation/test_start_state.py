"""What a rollout starts from, and what is no rollout."""

import numpy as np
import pytest

from dexhot.control.sampling import base_actions
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError
from dexhot.evaluation.score import score
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_rotvec
from dexhot.rollouts.floating import floating_simulator, run_floating, start_state
from dexhot.simulation.backend import Batch
from dexhot.simulation.physics import load_physics

PHYSICS = load_physics()


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def test_the_hand_starts_at_the_references_first_velocity(lift_reference, simulator):
    lift_reference.q[1] = lift_reference.q[0] + np.linspace(-0.02, 0.02, 22)
    state, scene = start_state(lift_reference, simulator), simulator.scene
    velocity = state[1 + scene.model.nq + scene.v_address]
    np.testing.assert_allclose(velocity, 60 * np.linspace(-0.02, 0.02, 22), atol=1e-9)
    np.testing.assert_allclose(simulator.joint_positions(state), lift_reference.q[0])


def test_the_object_starts_in_the_references_first_frame(lift_reference, simulator):
    lift_reference.object_pose[1:, 0] += 0.1
    start = simulator.object_pose(start_state(lift_reference, simulator))
    np.testing.assert_allclose(start, lift_reference.object_pose[0], atol=1e-12)


def test_the_object_is_turned_about_the_vertical(lift_reference, simulator):
    start = simulator.object_pose(start_state(lift_reference, simulator, yaw=0.3))
    turn = quat_multiply(start[3:], quat_conjugate(lift_reference.object_pose[0, 3:]))
    np.testing.assert_allclose(quat_to_rotvec(turn), [0, 0, 0.3], atol=1e-12)


def test_a_simulation_that_diverges_is_no_rollout(lift_reference, simulator, monkeypatch):
    rollout = simulator.rollout

    def blown_up(*arguments):
        batch = rollout(*arguments)
        return Batch(batch.states, batch.sensors, np.array([True]))

    monkeypatch.setattr(simulator, "rollout", blown_up)
    with pytest.raises(DexhotError, match="diverged"):
        run_floating(lift_reference, base_actions(lift_reference, PHYSICS), simulator)


@pytest.mark.parametrize("version", ["", "999"])
def test_older_and_newer_physics_are_refused(lift_reference, version):
    actions = base_actions(lift_reference, PHYSICS)
    made = Demonstration("d", lift_reference, actions, actions, lift_reference.object_pose, version)
    with pytest.raises(DexhotError, match="mine it again"):
        score(made)


@pytest.mark.parametrize(("frame", "refused"), [(0, True), (1, False)])
def test_an_object_that_does_not_rest_where_it_starts_is_refused(lift_reference, lift_setup, frame, refused):
    lift_reference.object_pose[frame, 2] += 0.05
    if refused:
        with pytest.raises(DexhotError, match="not at rest"):
            floating_simulator(lift_reference, lift_setup)
    else:
        floating_simulator(lift_reference, lift_setup)
