"""The joints that the simulated servos move: an interface, and sixteen simple joints.

All in motor coordinates: rad as measured by the servo's encoder, N m at its horn.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.robots.joints import Joint

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
    """Independent joints: inertia, viscous friction, end stops, and an object that blocks a closing finger."""

    inertia = 0.0015  # kg m2: geared motor and half a finger
    friction = 0.005  # N m s / rad
    stop_margin = 0.12  # rad beyond the joint table's limits
    brake = 0.05  # N m s / rad: additional damping of a geared motor with torque off
    give = 30.0  # N m / rad: stiffness of a held object and the printed finger in series

    def __init__(self, joints: tuple[Joint, ...], q: np.ndarray | None = None, offsets: np.ndarray | None = None):
        """At rest at joint angles q (n,) (default 0), with horn offsets `offsets` (n,) rad."""
        n = len(joints)
        off = np.zeros(n) if offsets is None else offsets
        ends = np.array([[j.to_motor(j.lower), j.to_motor(j.upper)] for j in joints])
        self.lower, self.upper = ends.min(1) + off - self.stop_margin, ends.max(1) + off + self.stop_margin
        q = np.zeros(n) if q is None else q
        self.angle = np.array([j.to_motor(value) for j, value in zip(joints, q)]) + off
        self.velocity, self.torque = np.zeros(n), np.zeros(n)
        self.closing = np.array([float(j.sign) for j in joints])
        self.object = np.full(n, np.inf)  # rad: angle of contact, positive in the closing direction

    def block(self, index: int) -> None:
        """Put an object at the finger's present position, which blocks closing."""
        self.object[index] = self.closing[index] * self.angle[index]

    def slip(self, index: int, angle: float) -> None:
        """Slip the horn by `angle` (rad): the shaft turns in the closing direction, the finger stays."""
        self.lower[index] += self.closing[index] * angle
        self.upper[index] += self.closing[index] * angle
        self.object[index] += angle

    def advance(self, dt: float, drive: Drive) -> None:
        """Semi-implicit Euler in steps of at most STEP."""
        steps = max(1, int(np.ceil(dt / STEP)))
        h = dt / steps
        friction = self.friction + self.brake * (drive.limit <= 0.0)
        touches = self.object.min() < np.inf
        for _ in range(steps):
            self.torque = drive.torque(self.angle, self.velocity)
            net = self.torque
            if touches:
                net = net - self.closing * self.give * np.maximum(self.closing * self.angle - self.object, 0.0)
            self.velocity = (self.velocity + h / self.inertia * net) / (1 + h * friction / self.inertia)
            angle = self.angle + h * self.velocity
            self.angle = np.clip(angle, self.lower, self.upper)
            self.velocity[angle != self.angle] = 0.0
