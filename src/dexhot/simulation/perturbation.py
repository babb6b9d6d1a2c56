"""Perturbed worlds (domain randomization): named sets to sample from, and named variants of the physics.

A set is sampled in a fixed order from one generator: the same seed always gives the same worlds. A changed set gets
a new name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from dexhot.errors import NotFoundError
from dexhot.simulation.bodies import cone
from dexhot.simulation.physics import Physics
from dexhot.simulation.scene import Scene, perturbed


@dataclass(frozen=True)
class Perturbation:
    """Ranges of uniform samples; `friction` and `mass` are ratios to the nominal values."""

    offset: float = 0.005  # m, half width in x and y of the object's initial position
    yaw: float = np.radians(10)  # rad, half width
    friction: tuple[float, float] = (0.8, 1.2)
    mass: tuple[float, float] = (0.8, 1.2)
    sliding: tuple[float, float] | None = None  # friction coefficient, in place of `friction`
    time_constant: tuple[float, float] | None = None  # s, of the contacts (solref)
    palm: float = 0.0  # m, maximum offset of the palm from the wrist kinematics
    gain: tuple[float, float] = (1.0, 1.0)  # of the finger servos, ratio to nominal
    inertia: tuple[float, float] = (1.0, 1.0)  # of the object, ratio to nominal, besides that of its mass

    def draw(self, rng: np.random.Generator) -> "Draw":
        """Sample one world."""
        offset, yaw = rng.uniform(-self.offset, self.offset, 2), rng.uniform(-self.yaw, self.yaw)
        friction, mass = rng.uniform(*self.friction), rng.uniform(*self.mass)
        drawn = Draw(offset, yaw, friction, mass)
        if self.sliding or self.time_constant or self.palm or self.gain != (1.0, 1.0):
            direction, distance = rng.standard_normal(3), self.palm * rng.uniform() ** (1 / 3)  # uniform in a ball
            drawn = replace(
                drawn,
                sliding=rng.uniform(*self.sliding) if self.sliding else None,
                time_constant=rng.uniform(*self.time_constant) if self.time_constant else None,
                gain=rng.uniform(*self.gain),
                palm=distance * direction / np.linalg.norm(direction),
            )
        return replace(drawn, inertia=rng.uniform(*self.inertia)) if self.inertia != (1.0, 1.0) else drawn


@dataclass(frozen=True)
class Draw:
    """One sampled world; fields as of Perturbation."""

    offset: np.ndarray  # (2,)
    yaw: float
    friction: float
    mass: float
    sliding: float | None = None
    time_constant: float | None = None
    gain: float = 1.0
    palm: np.ndarray | None = None  # (3,)
    inertia: float = 1.0

    def model(self, scene: Scene) -> mujoco.MjModel:
        """The scene's model with the sampled values; the object's offset belongs to the initial state."""
        friction = self.friction if self.sliding is None else self.sliding / scene.physics.friction[0]
        return perturbed(scene, friction, self.mass, self.time_constant, self.gain, self.palm, self.inertia)


WORLDS = {
    "worlds_v1": Perturbation(),
    "worlds_v2": Perturbation(
        mass=(0.7, 1.3), sliding=(0.5, 1.2), time_constant=(0.0085, 0.02), palm=0.002, gain=(0.85, 1.15)
    ),
}


def worlds(name: str) -> Perturbation:
    """The set called `name`. Raises NotFoundError."""
    if name not in WORLDS:
        raise NotFoundError("set of perturbed worlds", name, WORLDS)
    return WORLDS[name]


def at_step(physics: Physics, rate: int) -> Physics:
    """The same physics at `rate` steps per second (a multiple of 60), contact softness unchanged."""
    steps = round(rate * physics.control_dt)
    return replace(physics, timestep=1 / rate, substeps=steps, solref=physics.solref_used)


VARIANTS: dict[str, Callable[[Physics], Physics]] = {
    "1/960 s elliptic": lambda p: replace(at_step(p, 960), cone="elliptic"),
    "1/1920 s elliptic": lambda p: replace(at_step(p, 1920), cone="elliptic"),
    "MuJoCo default contacts": lambda p: replace(
        at_step(p, 480), cone="pyramidal", impratio=1.0, noslip_iterations=0, solref=(0.02, 1.0)
    ),
    "friction 0.6": lambda p: replace(p, friction=(0.6, *p.friction[1:])),
}


def with_contacts(scene: Scene, physics: Physics) -> mujoco.MjModel:
    """A copy of the scene's model with the contacts of another `physics` (cone, noslip, softness), at its own step."""
    model = perturbed(scene)
    model.opt.cone = cone(physics)
    model.opt.impratio, model.opt.noslip_iterations = physics.impratio, physics.noslip_iterations
    model.geom_solref[:] = physics.solref
    return model


def variant(physics: Physics, name: str) -> Physics:
    """The variant `name` of `physics`. Raises NotFoundError."""
    if name not in VARIANTS:
        raise NotFoundError("variant of the physics", name, VARIANTS)
    return replace(VARIANTS[name](physics), version=f"{physics.version}, {name}")
