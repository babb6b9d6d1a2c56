"""What differs from episode to episode, so that a policy does not rely on one simulator's numbers."""

from dataclasses import dataclass, replace

import numpy as np

from dexhot.simulation.perturbation import Draw, Perturbation, worlds
from dexhot.simulation.physics import Physics


@dataclass(frozen=True)
class Randomisation:
    """Ranges of uniform draws and sigmas of Gaussian noise. Physics and servo gains come from a named set of worlds."""

    worlds: str = (
        "worlds_v2"  # friction, mass, contact softness, palm offset, servo gains, the object's start; "": none
    )
    inertia: tuple[float, float] = (0.8, 1.2)  # of the object, ratio, besides that of its mass
    latency: tuple[float, float] = (0.0, 0.0125)  # s, from an observation to the command, in steps of the physics
    start_palm: float = 0.003  # m, sigma, and rad times 10, of the hand's first pose
    start_finger: float = 0.03  # rad, sigma
    joint_noise: float = 0.005  # rad, sigma of every observed joint (m for the wrist's slides times 0.2)
    position_noise: float = 0.002  # m, sigma of the observed object
    rotation_noise: float = 0.02  # rad
    reference_palm: float = 0.003  # m, sigma of a constant error of the reference's palm, and rad times 10
    reference_finger: float = 0.03  # rad, sigma of a constant error of its fingers

    def perturbation(self) -> Perturbation | None:
        """The set of worlds, inertia included; None without."""
        return replace(worlds(self.worlds), inertia=self.inertia) if self.worlds else None


NOTHING = Randomisation("", (1.0, 1.0), (0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def hand_sigma(palm: float, finger: float, size: int) -> np.ndarray:
    """(6+n,) sigma of a hand vector: slides `palm` m, hinges 10 times as many rad, joints `finger` rad."""
    sigma: np.ndarray = np.r_[[palm] * 3, [10.0 * palm] * 3, [finger] * (size - 6)]
    return sigma


def draw_worlds(how: Perturbation | None, count: int, rng: np.random.Generator) -> list[Draw | None]:
    """`count` worlds, the first nominal."""
    return [None, *(how.draw(rng) for _ in range(count - 1))] if how else [None]


def ratios(drawn: Draw | None, nominal: Physics) -> list[float]:
    """Friction, mass, servo gain, inertia and contact time constant of a world, as ratios to the nominal ones."""
    if drawn is None:
        return [1.0] * 5
    friction = drawn.friction if drawn.sliding is None else drawn.sliding / nominal.friction[0]
    soft = (drawn.time_constant or nominal.solref_used[0]) / nominal.solref_used[0]
    return [friction, drawn.mass, drawn.gain, drawn.inertia, soft]
