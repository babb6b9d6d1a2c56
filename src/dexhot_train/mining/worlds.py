"""The worlds of a clip: perturbed ones that a demonstration must survive, the embedded rig, and trials in them."""

from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np

from dexhot.control.controllers import HandState, Playback
from dexhot.data.types import Demonstration, Reference
from dexhot.metrics.rollout import compute
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import floating_rollout, start_state
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import Perturbation, variant, with_contacts, worlds
from dexhot.simulation.setup import Setup
from dexhot.tracking.object_state import ObjectState

SLIPPERY = (0.5, 0.6)  # friction
CREEPING = "MuJoCo default contacts"
PULLED_BACK = (0.0, 0.0, -0.002)  # m, in the mount's frame: from the object towards the arm


@dataclass(frozen=True)
class World:
    """One perturbed world and the state in which the clip starts in it."""

    state: np.ndarray  # (ns,)
    model: mujoco.MjModel | ArmSimulator  # of the floating scene, or an embedded rig (rollouts.with_arm.WithArm)


@dataclass(frozen=True)
class ClipWorlds:
    """All worlds in which one reference is mined, made once."""

    setup: Setup
    simulator: MujocoSimulator  # of the floating hand
    nominal: World
    arms: list[World]  # embedded rigs, the nominal one first, if plans must succeed there too
    trials: list[World]  # perturbed and held out: they rank the candidates
    began: tuple[float, float]  # CPU time and wall time before they were made, s


def nominal_world(reference: Reference, simulator: MujocoSimulator) -> World:
    """The unperturbed world of the simulator."""
    return World(start_state(reference, simulator), simulator.model)


def draw_worlds(
    reference: Reference, simulator: MujocoSimulator, count: int, seed: int, how: Perturbation | None = None
) -> list[World]:
    """`count` perturbed worlds (default: from worlds_v2); the same seed gives the same ones."""
    how, rng = how or worlds("worlds_v2"), np.random.default_rng(seed)
    found = []
    for _ in range(count):
        drawn = how.draw(rng)
        state = start_state(reference, simulator, drawn.offset, drawn.yaw)
        found.append(World(state, drawn.model(simulator.scene)))
    return found


def planned_worlds(reference: Reference, simulator: MujocoSimulator, count: int, seed: int) -> list[World]:
    """`count` worlds for a search: one of worlds_v2 at its most slippery, the CREEPING one, others of worlds_v2."""
    v2 = worlds("worlds_v2")
    slippery = draw_worlds(reference, simulator, 1, seed, replace(v2, sliding=SLIPPERY))
    creeping = [creeping_world(reference, simulator)]
    return (slippery + creeping + draw_worlds(reference, simulator, max(0, count - 2), seed + 1))[:count]


def creeping_world(reference: Reference, simulator: MujocoSimulator) -> World:
    """The nominal world with contacts in which a held object creeps."""
    scene = simulator.scene
    return World(start_state(reference, simulator), with_contacts(scene, variant(scene.physics, CREEPING)))


def rigs(simulator: MujocoSimulator, reference: Reference) -> list[World]:
    """The embedded rig, and one whose palm is PULLED_BACK: of all directions that in which most grasps fail."""
    arms = [ArmSimulator(simulator, reference, palm=palm) for palm in (None, PULLED_BACK)]
    return [World(arm.first_state, arm) for arm in arms]


def replay(
    reference: Reference, actions: np.ndarray, worlds: list[World], simulator: MujocoSimulator
) -> list[dict[str, Any]]:
    """Metrics of `actions` (T, 6+n), or one plan per world (W, T, 6+n), in each world, open loop."""
    starts = np.stack([world.state for world in worlds])
    batch = simulator.rollout(starts, np.asarray(actions)[..., :-1, :], [world.model for world in worlds])
    states = np.concatenate([starts[:, None], batch.states], axis=1)
    plans = np.broadcast_to(actions, (len(worlds), *reference.q.shape))
    asset, hand = simulator.scene.object, simulator.scene.hand
    assert asset is not None and hand is not None
    out = []
    for plan, rows, diverged in zip(plans, states, batch.diverged):
        metrics = compute(floating_rollout(reference, plan, rows, simulator), asset, hand)
        out.append(metrics | {"success_strict": metrics["success_strict"] and not diverged})
    return out


def object_relative(demonstration: Demonstration, object_pose: np.ndarray) -> np.ndarray:
    """(T, 6+n) the actions that Playback gives when the object is first observed at `object_pose` (7,)."""
    observed = ObjectState(0.0, object_pose, np.zeros(6), np.zeros((12, 12)))
    playback = Playback(demonstration)
    playback.start(observed)
    hand = HandState(0.0, demonstration.reference.q[0])
    return np.stack([playback.step(t, observed, hand) for t in range(len(demonstration.actions))])


def success_rate(metrics: list[dict[str, Any]]) -> float:
    """Fraction of the worlds with a strict success."""
    return float(np.mean([m["success_strict"] for m in metrics]))
