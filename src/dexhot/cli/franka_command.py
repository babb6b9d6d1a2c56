"""The Franka arm alone: check it, clear its errors, or simulate it."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from dexhot.cli.arguments import ON, shown
from dexhot.cli.output import console, print_json, results, summary

if TYPE_CHECKING:
    from dexhot.hardware.franka.arm import FrankaArm

LOOK = 0.02  # s
SETTLE = 0.3  # s until the robot's command success rate, over the last hundred commands, is meaningful
PATIENCE = 0.5  # s, frozen-controller timeout without a real-time kernel, so for a simulated arm


@dataclass
class Check:
    """Connect, set load and thresholds, and read every joint. Nothing moves."""

    address: Annotated[str, tyro.conf.Positional, shown("ADDRESS")]
    """The arm's network address."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Mounted hand (name or hand.yaml); empty for none."""
    hold: float = 0.0
    """Duration of holding the measured pose under control, s, to test the network."""
    realtime: Annotated[bool, ON] = True
    """Allow a kernel without real-time support; only for a simulated arm."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Recover:
    """Clear the arm's errors after a reflex, as the reset of a running graph does. Nothing moves."""

    address: Annotated[str, tyro.conf.Positional, shown("ADDRESS")]
    """The arm's network address."""
    realtime: Annotated[bool, ON] = True
    """Allow a kernel without real-time support; only for a simulated arm."""


@dataclass
class Simulate:
    """Simulate an arm with the robot's network protocol, until end of input.

    The first line of output is its address. Then type commands: `state`, `reflex`, `stop` (the user stop),
    `unstop` or `quit`.
    """

    address: Annotated[str, shown("ADDRESS")] = ""
    """Loopback address to listen on. Default: a free one."""


Args = (
    Annotated[Check, tyro.conf.subcommand(name="check")]
    | Annotated[Recover, tyro.conf.subcommand(name="recover")]
    | Annotated[Simulate, tyro.conf.subcommand(name="simulate")]
)


def run(args: Check | Recover | Simulate) -> int:
    """Exit code 1 when the check found a problem."""
    if isinstance(args, Check):
        return _check(args)
    if isinstance(args, Recover):
        return _recover(args)
    from dexhot.hardware.franka.simulator import serve

    serve(args.address)
    return 0


def _check(args: Check) -> int:
    import numpy as np

    from dexhot.hardware.franka.arm import FrankaArm
    from dexhot.hardware.franka.settings import ArmSettings
    from dexhot.robots.joint_table import joint_table

    frozen = ArmSettings.frozen_timeout if args.realtime else PATIENCE
    with FrankaArm(args.address, ArmSettings(hand=args.hand, realtime=args.realtime, frozen_timeout=frozen)) as arm:
        state = arm.link.state()
        q, mode, problems = arm.read().q, state.robot_mode.name, arm.link.errors(state)
        received, moved = _hold(arm, args.hold) if args.hold and not problems else (None, None)
    joints = joint_table("fr3")
    room = [min(angle - j.lower, j.upper - angle) for angle, j in zip(q, joints)]
    problems += [f"{j.name} is outside its limits" for j, space in zip(joints, room) if space < 0]
    rows = {
        j.name: f"{np.rad2deg(angle):7.1f} deg, {np.rad2deg(space):.0f} deg from its limit"
        for j, angle, space in zip(joints, q, room)
    }
    if received is not None:
        rows["control command success rate"] = f"at least {100 * received:.0f} %, over {args.hold:g} s"
        rows["motion while holding"] = f"{moved:.4f} rad"
    to = results(args.json)
    summary(f"Franka arm at {args.address}: {mode}", rows, to)
    for problem in problems:
        to.print(f"problem: {problem}")
    if received is None and args.hold:
        to.print(f"the arm did not hold: remove the cause, then run `dexhot franka recover {args.address}`")
    if args.json:
        print_json({"mode": mode, "q": q.tolist(), "problems": problems, "received": received, "moved": moved})
    return 1 if problems else 0


def _recover(args: Recover) -> int:
    from dexhot.hardware.franka.arm import FrankaArm
    from dexhot.hardware.franka.settings import ArmSettings

    with FrankaArm(args.address, ArmSettings(realtime=args.realtime)) as arm:
        found = arm.link.errors(arm.link.state())
        arm.recover()
        mode = arm.link.state().robot_mode.name
    console.print(f"cleared: {', '.join(found) or 'no errors'}; the arm is in mode {mode}")
    return 0


def _hold(arm: "FrankaArm", seconds: float) -> tuple[float, float]:
    """The lowest control command success rate, and the largest joint motion (rad)."""
    import numpy as np

    start = arm.read().q
    arm.hold()
    time.sleep(SETTLE)
    end = time.monotonic() + seconds
    shares, moved = [], 0.0
    while time.monotonic() < end:
        time.sleep(LOOK)
        moved = max(moved, float(np.abs(arm.read().q - start).max()))
        shares.append(arm.link.state().control_command_success_rate)
    return float(min(shares)), moved
