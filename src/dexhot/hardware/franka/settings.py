"""Settings of the Franka arm's driver, and its error."""

from dataclasses import dataclass

from dexhot.errors import DexhotError


class ArmError(DexhotError):
    """A fault of the arm; the message names it and its remedy."""


@dataclass(frozen=True)
class ArmSettings:
    """Reasons: docs/franka.md. Seven values are joints 1 to 7; six are x, y, z and the rotations about them."""

    hand: str = "leap_right"  # mounted hand, "" for none
    realtime: bool = True  # require a real-time kernel; a simulated robot needs none
    velocity_scale: float = 1.0  # fraction of the joint table's velocity limits
    stiffness: tuple[float, ...] = (600.0, 600.0, 600.0, 600.0, 350.0, 250.0, 150.0)  # N m/rad
    damping: tuple[float, ...] = (50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0)  # N m s/rad
    contact_torque: tuple[float, ...] = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0)  # N m, contact threshold (reported)
    collision_torque: tuple[float, ...] = (
        40.0,
        40.0,
        36.0,
        36.0,
        32.0,
        28.0,
        24.0,
    )  # N m, collision threshold (reflex)
    contact_force: tuple[float, ...] = (20.0, 20.0, 20.0, 25.0, 25.0, 25.0)  # N, N m
    collision_force: tuple[float, ...] = (40.0, 40.0, 40.0, 50.0, 50.0, 50.0)
    command_timeout: float = 0.1  # s without a command after which the arm is brought to rest
    frozen_timeout: float = 0.1  # s without an advance of the robot's clock
    divergence: float = 0.35  # rad, largest tracking error
    connect_timeout: float = 3.0  # s
