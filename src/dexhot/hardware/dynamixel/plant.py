"""The joints that the simulated servos move: an interface, and sixteen simple joints.

All in motor coordinates: rad as measured by the servo's encoder, N m at its horn.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.hardware.dynamixel.registers import FULL
from dexhot.robots.joints import Joint
from dexhot.robots.servos import profile

STEP = 1e-3  # s


@dataclass
class Drive:
    """The servos' present control law, each (n,): torque = stiffness (target - angle) - damping velocity.

    It is bounded by the current's `limit` and by what the voltage allows at this speed: `stall` less `line` times
    velocity. A servo without torque has neither stiffness nor damping.
    """

    target: np.ndarray
    stiffness: np.ndarray  # N m / rad
    damping: np.ndarray  # N m s / rad
    limit: np.ndarray  # N m
    stall: np.ndarray  # N m
    line: np.ndarray  # N m s / rad

    def torque(self, angle: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """(n,) N m."""
        wanted = self.stiffness * (self.target - angle) - self.damping * velocity
        back = self.line * velocity
        low, high = np.maximum(-self.limit, -self.stall - back), np.minimum(self.limit, self.stall - back)
        torque: np.ndarray = np.clip(wanted, low, high)
        return torque


class Plant(Protocol):
    """Joints behind the servos' horns; angle (rad), velocity (rad/s), torque (N m), each (n,)."""

    angle: np.ndarray
    velocity: np.ndarray
    torque: np.ndarray

    def advance(self, dt: float, drive: Drive) -> None: ...


class Joints:
    """Independent joints: inertia, friction, end stops, and an object that blocks a closing finger.

    Dry friction and backlash are the servo profile's. With backlash the finger, without mass of its own, is somewhere
    in the gap about the horn, whose angle is `angle`: it stays until one end of the gap takes it along.
    """

    inertia = 0.0015  # kg m2: geared motor and half a finger
    viscosity = 0.005  # N m s / rad
    stop_margin = 0.12  # rad beyond the joint table's limits
    brake = 0.05  # N m s / rad: additional damping of a geared motor with torque off
    give = 30.0  # N m / rad: stiffness of a held object and the printed finger in series

    def __init__(
        self,
        joints: tuple[Joint, ...],
        q: np.ndarray | None = None,
        offsets: np.ndarray | None = None,
        servo: str = FULL.profile,
    ):
        """At rest at joint angles q (n,) (default 0), with horn offsets `offsets` (n,) rad. `servo`: its profile."""
        n, settings = len(joints), profile(servo)
        self.friction, self.gap = settings.friction, 0.5 * settings.backlash  # N m; rad to either side
        off = np.zeros(n) if offsets is None else offsets
        ends = np.array([[j.to_motor(j.lower), j.to_motor(j.upper)] for j in joints])
        self.lower = ends.min(1) + off - self.stop_margin  # the finger's stops, on the motor's scale
        self.upper = ends.max(1) + off + self.stop_margin
        q = np.zeros(n) if q is None else q
        self.angle = np.array([j.to_motor(value) for j, value in zip(joints, q)]) + off
        self.finger = self.angle.copy()
        self.velocity, self.torque = np.zeros(n), np.zeros(n)
        self.closing = np.array([float(j.sign) for j in joints])
        self.object = np.full(n, np.inf)  # rad: angle of contact, positive in the closing direction

    def block(self, index: int) -> None:
        """Put an object at the finger's present position, which blocks closing."""
        self.object[index] = self.closing[index] * self.finger[index]

    def slip(self, index: int, angle: float) -> None:
        """Slip the horn by `angle` (rad): the shaft turns in the closing direction, the finger stays."""
        self.lower[index] += self.closing[index] * angle
        self.upper[index] += self.closing[index] * angle
        self.object[index] += angle

    def advance(self, dt: float, drive: Drive) -> None:
        """Semi-implicit Euler in steps of at most STEP."""
        steps = max(1, int(np.ceil(dt / STEP)))
        h = dt / steps
        viscosity = self.viscosity + self.brake * (drive.limit <= 0.0)
        dry = h / self.inertia * self.friction  # rad/s that dry friction takes from a step
        touches = self.object.min() < np.inf
        for _ in range(steps):
            self.torque = drive.torque(self.angle, self.velocity)
            net = self.torque
            if touches:
                net = net - self.closing * self.give * np.maximum(self.closing * self.finger - self.object, 0.0)
            self.velocity = (self.velocity + h / self.inertia * net) / (1 + h * viscosity / self.inertia)
            self.velocity -= np.clip(self.velocity, -dry, dry)
            angle = self.angle + h * self.velocity
            self.angle = np.clip(angle, self.lower - self.gap, self.upper + self.gap)
            self.velocity[angle != self.angle] = 0.0
            self.finger = self._finger() if self.gap else self.angle

    def _finger(self) -> np.ndarray:
        """(n,) rad: the finger follows the ends of the gap; an object pushes it back to the other end."""
        back = np.maximum(self.object, self.closing * self.angle - self.gap)
        pushed = self.closing * np.minimum(self.closing * self.finger, back)
        finger: np.ndarray = np.clip(pushed, self.angle - self.gap, self.angle + self.gap)
        return finger
