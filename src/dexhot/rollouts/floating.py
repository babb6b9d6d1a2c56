"""Rollouts in the benchmark's world: floating hand, object and table."""

from collections.abc import Sequence

import mujoco
import numpy as np

from dexhot.control.batch_shaper import BatchShaper, shaper_of
from dexhot.control.controllers import Controller, HandState
from dexhot.data.types import RATE, Reference, Rollout
from dexhot.errors import DexhotError
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import quat_multiply
from dexhot.simulation.backend import STATE, MujocoSimulator, Simulator
from dexhot.simulation.physics import Physics
from dexhot.simulation.scene import floating_scene
from dexhot.simulation.settle import require_rest
from dexhot.simulation.setup import Setup
from dexhot.tracking.object_state import ObjectState


def floating_simulator(reference: Reference, setup: Setup, physics: Physics | None = None) -> MujocoSimulator:
    """The benchmark's world of a reference: floating hand, object, table; in `physics` instead of the setup's if given.

    Raises DexhotError when the object would not stay at rest at the reference's first pose. Only the setup's own
    physics is checked: softer contacts may rock an object that rests in it.
    """
    hand, asset, base = setup.hand, setup.asset, reference.base_quat
    scene = floating_scene(hand, asset, base, physics or setup.physics, reference.table_height, visual=False)
    if physics in (None, setup.physics):
        require_rest(scene, reference.object_pose[0])
    return MujocoSimulator(scene)


def run_floating(
    reference: Reference, actions: np.ndarray, simulator: Simulator, state: np.ndarray | None = None
) -> Rollout:
    """Simulate `actions` (T, 6+n) from the reference's first frame, or from another `state` (ns,); metrics empty.

    The hand starts with the reference's first velocity. Row t is the state at frame t, after action t - 1; the last
    action is not used. Raises DexhotError when the simulation diverges.
    """
    state = start_state(reference, simulator) if state is None else state
    batch = simulator.rollout(state, actions[None, :-1])
    if batch.diverged[0]:
        raise DexhotError(f"{reference.name}: the simulation diverged; its actions or its object are not physical.")
    return floating_rollout(reference, actions, np.concatenate([state[None], batch.states[0]]), simulator)


def run_controller(
    controller: Controller,
    simulator: MujocoSimulator,
    state: np.ndarray | None = None,
    model: mujoco.MjModel | None = None,
) -> Rollout:
    """Run a controller with exact object and hand states from its reference's first frame, or another `state` (ns,),
    in the simulator's world or that of `model`; metrics empty.

    For an open-loop controller the result is bit-identical to `run_floating` of its targets. A policy trained with the
    command shaper has it between its targets and the servos, whose commands are the rollout's. Raises DexhotError when
    the simulation diverges.
    """
    reference, scene = controller.reference, simulator.scene
    model = scene.model if model is None else model
    state = start_state(reference, simulator) if state is None else state
    data, states, actions = mujoco.MjData(model), [state], []
    mujoco.mj_setState(model, data, state, STATE)
    shaper = _shaper_of(controller, simulator, state)
    for k in range(len(reference.q)):
        pose, q = simulator.object_pose(states[-1]), simulator.joint_positions(states[-1])
        seen = ObjectState(k / RATE, pose, np.zeros(6), np.zeros((12, 12)))
        if k == 0:
            controller.start(seen)
        target = controller.step(k, seen, HandState(k / RATE, q))
        actions.append(shaper.step(target[None])[0] if shaper else target)
        if k == len(reference.q) - 1:
            break
        data.ctrl[:] = actions[-1]
        mujoco.mj_step(model, data, scene.physics.substeps)
        states.append(np.empty_like(states[0]))
        mujoco.mj_getState(model, data, states[-1], STATE)
    if not np.isfinite(states).all() or data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number:
        raise DexhotError(f"{reference.name}: the simulation diverged; the controller's targets are not physical.")
    return floating_rollout(reference, np.array(actions), np.array(states), simulator)


def _shaper_of(controller: Controller, simulator: MujocoSimulator, state: np.ndarray) -> BatchShaper | None:
    card, scene = getattr(controller, "card", None), simulator.scene  # a policy has a card
    assert scene.hand is not None, "a floating hand is tracked with"
    q, qd = simulator.joint_positions(state)[None], simulator.joint_velocities(state)[None]
    return shaper_of(card, scene.hand, controller.reference.base_quat, scene.physics, q, qd)


def floating_rollout(reference: Reference, actions: np.ndarray, states: np.ndarray, simulator: Simulator) -> Rollout:
    """The Rollout of simulated `states` (T, ns), metrics empty."""
    contacts = simulator.contacts(states)
    return Rollout(
        name=reference.name,
        reference=reference,
        kind="floating",
        time=reference.time,
        q=simulator.joint_positions(states),
        command=np.asarray(actions, float),
        object_pose=simulator.object_pose(states),
        penetration=contacts.penetration,
        self_penetration=contacts.self_penetration,
        table_contact=contacts.table_contact,
        tip_contact=contacts.tip_contact,
        provenance=simulator.scene.physics.named(reference.hand),
    )


def start_state(
    reference: Reference, simulator: Simulator, offset: Sequence[float] | np.ndarray = (0.0, 0.0), yaw: float = 0.0
) -> np.ndarray:
    """(ns,) the reference's first frame, the object shifted on the table by `offset` (m), rotated by `yaw` (rad)."""
    return displaced_state(reference, simulator, reference.object_pose[0], offset, yaw)


def displaced_state(
    reference: Reference,
    simulator: Simulator,
    pose: np.ndarray,
    offset: Sequence[float] | np.ndarray = (0.0, 0.0),
    yaw: float = 0.0,
) -> np.ndarray:
    """(ns,) the hand as in the reference's first frame, the object at `pose` (7,), moved by `offset` (m) and turned by
    `yaw` (rad) about the vertical."""
    turn = np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
    pose = make_pose(pose[:3] + np.array([*offset, 0.0]), quat_multiply(turn, pose[3:]))
    velocity = (reference.q[1] - reference.q[0]) * reference.rate
    return simulator.initial_state(reference.q[0], pose, velocity)
