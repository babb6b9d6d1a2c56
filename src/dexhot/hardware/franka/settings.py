"""How the Franka arm is driven, and the error that it raises."""

from dataclasses import dataclass

from dexhot.errors import DexhotError


class ArmError(DexhotError):
    """The arm does not work as it should; the message says what and what to do."""


@dataclass(frozen=True)
class ArmSettings:
    """docs/franka.md says why; seven values are joints 1 to 7, six are x, y, z and the turns about them."""

    hand: str = "leap_right"  # what it carries, or "" for nothing
    realtime: bool = True  # refuse to run without a real-time kernel; a simulated robot needs none
    velocity_scale: float = 1.0  # share of the joint table's velocities
    stiffness: tuple[float, ...] = (600.0, 600.0, 600.0, 600.0, 350.0, 250.0, 150.0)  # N m/rad
    damping: tuple[float, ...] = (50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0)  # N m s/rad
    contact_torque: tuple[float, ...] = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0)  # N m: reported
    collision_torque: tuple[float, ...] = (40.0, 40.0, 36.0, 36.0, 32.0, 28.0, 24.0)  # N m: a reflex
    contact_force: tuple[float, ...] = (20.0, 20.0, 20.0, 25.0, 25.0, 25.0)  # N, N m
    collision_force: tuple[float, ...] = (40.0, 40.0, 40.0, 50.0, 50.0, 50.0)
    command_timeout: float = 0.1  # s without a command until the arm comes to rest
    frozen_timeout: float = 0.1  # s without progress of the robot's time
    divergence: float = 0.35  # rad between setpoint and measurement
    connect_timeout: float = 3.0  # s
