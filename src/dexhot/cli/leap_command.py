"""The LEAP hand alone: check it, calibrate it, clear its errors, set up a new servo, or simulate its bus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from dexhot.cli.arguments import ON, shown
from dexhot.cli.output import console, print_json, results, summary
from dexhot.errors import NotFoundError
from dexhot.hardware.dynamixel.registers import BAUD

if TYPE_CHECKING:
    from dexhot.hardware.leap.hand import LeapHand

MEASURE = 1.0  # s


@dataclass
class _Hand:
    port: Annotated[str, shown("PORT")] = ""
    """Serial port, preferably /dev/serial/by-id/...; default: the only USB serial adapter."""
    robot: Literal["leap_right", "leap_left"] = "leap_right"
    """Name of the hand."""
    baud: int = BAUD
    """Servo baud rate."""

    @contextmanager
    def opened(self) -> "Iterator[LeapHand]":
        """Context manager: the hand, with its servos found."""
        from dexhot.hardware.leap.hand import LeapHand

        hand = LeapHand(self.robot, self.port, self.baud)
        hand.open()
        try:
            with hand.servos.port.unhurried():
                yield hand
        finally:
            hand.close()


@dataclass
class Check(_Hand):
    """Read every joint: angle, temperature, voltage, errors. Moves and writes nothing."""

    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Calibrate(_Hand):
    """Measure the motors' offsets while the hand lies flat and open, fingers straight; torque is turned off.

    The offsets are saved to ~/.config/dexhot/calibration/<robot>.yaml, where every driver of this user reads them.
    """

    dry_run: bool = False
    """Measure and print only; save nothing."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Reboot(_Hand):
    """Reboot the servos that report a hardware error, such as an overload."""


@dataclass(kw_only=True)
class Replace(_Hand):
    """Set up a new servo with the id of the one that it replaces and the hand's baud rate; its torque is turned off.

    A factory-new servo has id 1 and 57600 baud, a rate at which no other servo on the bus receives its commands.
    """

    ident: Annotated[int, tyro.conf.Positional, shown("ID")]
    """Id of the replaced servo: 0 to 15."""


@dataclass
class Simulate:
    """Simulate a hand's servo bus until end of input.

    The first line of output is the port to open. Then type faults to inject: `help` lists them, `state` shows the
    servos.
    """

    hand: Literal["full", "lite"] = "full"
    """Motor type."""
    baud: int = BAUD
    """Servo baud rate."""
    fast: Annotated[bool, ON] = True
    """Simulate firmware without fast sync read."""
    latency_ms: float = 0.0
    """Latency timer of a simulated FTDI adapter, ms; none by default."""
    torque: bool = False
    """Start with torque on, as after a driver crash."""
    link: str = ""
    """Path of the port; it persists when the cable is unplugged and replugged. Default: a new one."""


Args = (
    Annotated[Check, tyro.conf.subcommand(name="check")]
    | Annotated[Calibrate, tyro.conf.subcommand(name="calibrate")]
    | Annotated[Reboot, tyro.conf.subcommand(name="reboot")]
    | Annotated[Replace, tyro.conf.subcommand(name="replace")]
    | Annotated[Simulate, tyro.conf.subcommand(name="simulate")]
)


def run(args: Check | Calibrate | Reboot | Replace | Simulate) -> int:
    """Exit code 1 when the check found a problem."""
    if isinstance(args, Check):
        return _check(args)
    if isinstance(args, Calibrate):
        return _calibrate(args)
    if isinstance(args, Reboot):
        return _reboot(args)
    if isinstance(args, Replace):
        return _replace(args)
    from dexhot.hardware.dynamixel.simulator import serve

    serve(**vars(args))
    return 0


def _check(args: Check) -> int:
    import numpy as np

    from dexhot.hardware.leap.setup import pose_problems

    with args.opened() as hand:
        health, fast = hand.health, hand.servos.fast
        q, torque = hand.measure().q, hand.servos.read_all("torque_enable")
        health.check()
    problems = pose_problems(hand.joints, q, hand.settings.margin) + list(health.warnings.values())
    rows = {
        name: f"{np.rad2deg(angle):7.1f} deg  {celsius:3.0f} C  {volts:.1f} V  {'torque on' if on else ''}"
        for name, angle, celsius, volts, on in zip(hand.joint_names, q, health.temperature, health.voltage, torque)
    }
    how = "fast sync read" if fast else "sync read"
    to = results(args.json)
    summary(f"{args.robot}: {hand.model.hand} hand, {hand.model.name}, {how}", rows, to)
    for problem in problems:
        to.print(f"problem: {problem}")
    if args.json:
        state = {"q": q, "temperature": health.temperature, "voltage": health.voltage}
        print_json(
            {"model": hand.model.name, "fast": fast, "problems": problems} | {k: v.tolist() for k, v in state.items()}
        )
    return 1 if problems else 0


def _calibrate(args: Calibrate) -> int:
    import numpy as np

    from dexhot.data.disk import check_folder
    from dexhot.hardware.leap.calibration import find_offsets, offsets_file, save_offsets

    if not args.dry_run:
        check_folder(offsets_file(args.robot).parent, "$DEXHOT_CONFIG")
    with args.opened() as hand:
        hand.servos.write_all("torque_enable", [0] * len(hand.joints))
        angles, end = [], time.monotonic() + MEASURE
        while time.monotonic() < end:
            angles.append(hand.sign * hand.measure().q + hand.centre)
    offsets = find_offsets(hand.joints, np.array(angles))
    before = hand.centre - hand.zero
    rows = {
        name: f"{np.rad2deg(new):+6.1f} deg (was {np.rad2deg(old):+.1f})"
        for name, new, old in zip(hand.joint_names, offsets, before)
    }
    summary(f"{args.robot}: offsets of the motors", rows)
    path = None if args.dry_run else save_offsets(args.robot, offsets)
    console.print(f"written to {path}" if path else "dry run: nothing was written")
    if args.json:
        print_json({"offsets": dict(zip(hand.joint_names, offsets.tolist())), "file": path})
    return 0


def _reboot(args: Reboot) -> int:
    from dexhot.hardware.leap.setup import reboot

    with args.opened() as hand:
        ids = reboot(hand.servos)
    console.print(f"rebooted {ids}" if ids else "no servo has a hardware error")
    return 0


def _replace(args: Replace) -> int:
    from dexhot.hardware.leap.hand import LeapHand
    from dexhot.hardware.leap.setup import adopt
    from dexhot.robots.joint_table import joint_table

    names = {j.motor_id: j.name for j in joint_table(args.robot)}
    if args.ident not in names:
        raise NotFoundError("servo", str(args.ident), [str(ident) for ident in names])
    hand = LeapHand(args.robot, args.port, args.baud)
    hand.attach()
    try:
        with hand.servos.port.unhurried():
            ident, baud = adopt(hand.servos, args.ident)
    finally:
        hand.close()
    console.print(
        f"the servo with id {ident} at {baud} baud is now servo {args.ident} ({names[args.ident]}) at {args.baud} "
        "baud; its horn offset differs: run `dexhot leap calibrate`"
    )
    return 0
