"""The cost's terms on arrays made by hand, and the whole cost on real rollouts."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.cost import Weights, effort, in_frame, missing_contact, penetration, targets, tracking_cost
from dexhot.control.sampling import base_actions
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import floating_scene


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def cost_of(simulator, reference, actions, weights=None):
    frames = np.arange(1, 1 + len(actions))
    batch = simulator.rollout(start_state(reference, simulator), actions[None])
    wanted = targets(reference, simulator.scene).at(frames)
    return tracking_cost(simulator.scene, batch, actions[None], wanted, weights or Weights())[0]


def test_points_move_into_a_frame():
    quat = rotvec_to_quat(np.array([0, 0, np.pi / 2]))
    assert in_frame(np.array([1.0, 0, 0]), quat, np.array([1.0, 1, 0])) == pytest.approx([1, 0, 0])


def test_contact_is_missing_only_where_it_is_wanted():
    found, wanted = np.array([[[1.0, 0, 0, 0]]]), np.array([[1.0, 1.0, 0, 0]])
    assert missing_contact(found, wanted) == pytest.approx(0.25)


def test_penetration_below_a_millimetre_is_free():
    depth = penetration(-np.array([[[0.0005], [0.001], [0.004]]]))
    assert depth[0] == pytest.approx([0, 0, 0.003])


def test_effort_is_the_square_of_the_share_of_torque(simulator):
    scene, q = simulator.scene, np.zeros((1, 1, 22))
    controls = q.copy()
    controls[..., 6:] = 0.5 * scene.physics.finger(scene.hand).torque / scene.physics.finger(scene.hand).kp
    assert effort(scene, controls, q, q)[0, 0] == pytest.approx(0.25)


def test_targets_hold_the_fingertips_in_the_objects_frame(simulator, lift_reference):
    t = targets(lift_reference, simulator.scene)
    k = lift_reference.grasp_end
    grasp = np.linalg.norm(t.tips_on_object[k], axis=-1)
    assert grasp.max() < 0.15 and t.tips.shape == (len(lift_reference.q), 4, 3)


def test_following_the_reference_costs_less_than_staying(simulator, lift_reference):
    follow = base_actions(lift_reference, simulator.scene.physics)[:80]
    assert cost_of(simulator, lift_reference, follow) < 0.5 * cost_of(
        simulator, lift_reference, follow[:1].repeat(80, axis=0)
    )


def test_a_weight_scales_its_term(simulator, lift_reference):
    actions = base_actions(lift_reference, simulator.scene.physics)[:40]
    names = Weights.__dataclass_fields__
    one = Weights(**{name: float(name in ("palm_position", "final")) for name in names})
    two = Weights(**{name: 2.0 * (name == "palm_position") + (name == "final") for name in names})
    assert cost_of(simulator, lift_reference, actions, two) == pytest.approx(
        2 * cost_of(simulator, lift_reference, actions, one)
    )


def test_missing_contacts_cost_their_weight_in_the_whole_cost(simulator, lift_reference):
    """Over the first frames, in which nothing is touched: as if every fingertip should touch, against none."""
    actions = base_actions(lift_reference, simulator.scene.physics)[:20]
    batch = simulator.rollout(start_state(lift_reference, simulator), actions[None])
    wanted, weights = targets(lift_reference, simulator.scene).at(np.arange(1, 21)), Weights()
    none, every = (replace(wanted, contact=np.full_like(wanted.contact, share)) for share in (0.0, 1.0))
    cost = [tracking_cost(simulator.scene, batch, actions[None], w, weights)[0] for w in (none, every)]
    assert cost[1] - cost[0] == pytest.approx(weights.contact * (19 + weights.final) / 20)


def test_a_scene_without_an_object_is_refused(lift_reference):
    scene = floating_scene(load_hand("leap_right"), None, lift_reference.base_quat, load_physics())
    with pytest.raises(DexhotError, match="object"):
        targets(lift_reference, scene)
