"""Faults of the LEAP hand: the real driver with a simulated servo bus in another process.

The time to safe state is independent of the driver: it is that of the last goal on the bus that moves a servo, if the
simulated joints come to rest after it although commands continue.
"""

import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import numpy as np

from dexhot.errors import DexhotError
from dexhot.hardware.dynamixel.plant import Joints
from dexhot.hardware.dynamixel.registers import register
from dexhot.hardware.dynamixel.simulator import BusProcess
from dexhot.hardware.leap.hand import LONGEST_STEP, LeapHand
from dexhot.hardware.leap.setup import HandSettings, adopt
from dexhot.robots.joint_table import joint_table
from dexhot_bench.faults.driven import Driven, broken
from dexhot_bench.faults.table import FaultTable, Outcome

FAULTS = FaultTable("hand")
JOINTS = joint_table("leap_right")
NONE = np.zeros(len(JOINTS))
SWING, SPEED = 0.3, 3.0  # rad, rad/s of phase
GOES_ON = 2.0  # s of tracking required under noise
TRIES = 5  # attempts of a clean start, as load on the machine may starve the simulation
GOES_ON_COMMANDING = 0.3  # s after a fault
RESTS = 0.1  # s without motion that count as rest
SETTLES = 1.5  # s, time to come to rest after the last goal: a joint without torque coasts
SLIP, OPENING = 0.8, 2.0  # rad, rad/s


def swing() -> np.ndarray:
    """Present joint goals (n,) rad."""
    return np.full(len(JOINTS), SWING * np.sin(SPEED * time.monotonic()))


class HandRig(Driven):
    """One bus and driver per fault."""

    period = 0.008  # s from command to command
    longest = 6.0

    def __init__(self, settings: HandSettings | None = None):
        self.settings = settings or HandSettings()
        self.retries = 0
        self.path = swing

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="dexhot-faults-")
        self.bus = BusProcess(link=f"{self._folder.name}/leap")
        self.bus.__enter__()
        self.hand = LeapHand(port=self.bus.path, settings=self.settings, offsets=NONE)
        return self

    def __exit__(self, *exception: object) -> None:
        self.hand.close()
        self.bus.__exit__(None, None, None)
        self._folder.cleanup()

    def ready(self) -> None:
        """Bring the hand to follow commands. A start that fails under load is repeated and counted."""
        told = ""
        for _ in range(TRIES):
            try:
                self.path = swing
                self.hand.recover() if self.hand.failed else self.hand.connect()
                self.hand.hold()
                told = self.drive(0.3)
            except DexhotError as e:
                self.hand.failed, told = True, str(e)
            if not told:
                return
            self.retries += 1
        raise DexhotError(f"the simulated hand does not run on this machine: {told}")

    def command(self) -> None:
        """Run one cycle, some time after the last goal as in the node. Raises the driver's errors."""
        self.hand.read()
        self.hand.write(self.path(), NONE, NONE)

    def refuses(self) -> bool:
        """Whether a command is rejected."""
        try:
            self.hand.write(self.hand.goal, NONE, NONE)
        except DexhotError:
            return True
        return False

    def safe_after(self, begin: float, told: float) -> float | None:
        """Measured by the bytes received by the servos and the simulated motion."""
        end = time.monotonic() + GOES_ON_COMMANDING
        while time.monotonic() < end:
            with suppress(DexhotError):
                self.command()
                return None  # accepted
            time.sleep(self.period)
        end = time.monotonic() + SETTLES
        while (now := time.monotonic()) < end:
            state = self.bus.state()
            if now - state["still_since"] > RESTS:
                found: float | None = max(1e3 * (state["moved"] - begin), 0.0)
                return found
            time.sleep(0.02)
        return None

    def swing_fast(self) -> None:
        """Drive to the middle of a swing, where goals move fastest: a motor's fault shows within 0.1 rad."""
        self.drive(self.longest, until=lambda: np.cos(SPEED * time.monotonic()) > 0.97)

    def reset(self) -> bool:
        """Reset as by activating the driver node; returns whether the hand then moves again."""
        for _ in range(TRIES):
            try:
                self.hand.recover()
                self.hand.hold()
                self.path = swing
            except DexhotError:
                continue
            if not self.drive(0.2):
                return True
        return False

    def violations(self) -> int:
        """Servos that ever received a goal outside the joint's limits, or too far from the last one.

        Counted from the bytes that they received.
        """
        scale, found = register("goal_position").scale, 0
        asked = self.bus.state()["goals"]
        for joint in JOINTS:
            if goals := asked.get(str(joint.motor_id)):
                for end in ("lowest", "highest"):
                    found += not joint.lower - scale <= joint.from_motor(goals[end] * scale) <= joint.upper + scale
                found += goals["step"] * scale > joint.velocity * LONGEST_STEP + scale
        return found


def broken_by(rig: HandRig, line: str, expects: str, cure: str = "") -> Outcome:
    """Inject the bus fault `line` in motion; `cure` removes it."""
    return broken(rig, lambda: rig.bus.inject(line), expects, (lambda: rig.bus.inject(cure)) if cure else None)


def in_full_swing(rig: HandRig, line: str, expects: str, cure: str) -> Outcome:
    """As `broken_by`, injected where the hand moves fastest."""

    def cause() -> None:
        rig.bus.inject(line)

    rig.ready()
    rig.swing_fast()
    return broken(rig, cause, expects, lambda: rig.bus.inject(cure), prepared=True)


def refused_at_start(rig: HandRig, line: str, expects: str, cure: str | Callable[[], None]) -> Outcome:
    """A fault present when the driver connects: no torque, so nothing moves."""
    rig.bus.inject(line)
    begin = time.monotonic()
    try:
        rig.hand.connect()
    except DexhotError as e:
        told, ms = str(e), 1e3 * (time.monotonic() - begin)
    else:
        return Outcome("", None, None, "connected", "")
    if rig.bus.state()["torque"] or not re.search(expects, told):
        return Outcome(told, None, None, "inactive", "")
    rig.bus.inject(cure) if isinstance(cure, str) else cure()
    rig.hand.failed = True
    return Outcome(told, ms, 0.0, "inactive, no torque", "cause removed, then reset" if rig.reset() else "")


def survived(rig: HandRig, line: str, cure: str) -> Outcome:
    """Noise that the driver tolerates: packets are retried and counted; the hand keeps tracking."""
    rig.ready()
    before, lost = rig.hand.counts["retried"], rig.hand.counts["lost"]
    rig.bus.inject(line)
    begin = time.monotonic()
    told = rig.drive(rig.longest, until=lambda: rig.hand.counts["retried"] > before)
    ms = 1e3 * (time.monotonic() - begin)
    if not told:
        told = rig.drive(GOES_ON)
    retried, lost = rig.hand.counts["retried"] - before, rig.hand.counts["lost"] - lost
    if told:  # failed: then it must be safe, and a reset must recover it
        rig.bus.inject(cure)
        return Outcome(
            told, ms, ms if rig.refuses() else None, "fault", "reset" if rig.reset() else "", f"{lost} states"
        )
    if not retried:
        return Outcome("", None, 0.0, "tracking", "")
    rig.bus.inject(cure)
    return Outcome(f"{retried} packets retried", ms, 0.0, "tracking", "automatic", f"{lost} states")


FAULTS.case("servo dead", broken_by, "kill 5", r"\[5\]|servo 5|middle_forward", "revive 5", quick=True)
FAULTS.case("servo overload", broken_by, "overload 3", "overload", quick=True)
FAULTS.case("servo over-temperature", broken_by, "heat 14 80", "overheating", "heat 14 30")
FAULTS.case("torque lost (supply)", broken_by, "torque 0", "lost its torque")
FAULTS.case("one servo restarts (brown-out)", broken_by, "brownout 9", r"ring_forward \(servo 9\) has lost its torque")
FAULTS.case(
    "position jumps by one turn", broken_by, "turn 7 4096", r"middle_dip \(servo 7\): its position jumps", quick=True
)
FAULTS.case(
    "encoder frozen",
    in_full_swing,
    "freeze 6",
    r"\(servo 6\): .*(frozen encoder|its encoder does not change)",
    "cure 6",
)
FAULTS.case("motor without torque", in_full_swing, "limp 6", r"\(servo 6\): .*limp motor", "cure 6")
FAULTS.case("servo gain set to 0", broken_by, "poke 6 84 0", r"\(servo 6\) has position_p_gain 0, not 600")
FAULTS.case("servo current set to 0", broken_by, "poke 6 102 0", r"\(servo 6\) has goal_current 0, not 550")
FAULTS.case("servo voltage set to 0", broken_by, "poke 6 100 0", r"\(servo 6\) has goal_pwm 0, not 885")
FAULTS.case("replies repeated", broken_by, "repeat 1", "repeated or late", "repeat 0")
FAULTS.case("replies one request late", broken_by, "late 1", "repeated or late", "late 0")
FAULTS.case("a second master reads", broken_by, "master 60", "another master", "master 0")
FAULTS.case("USB unplugged and replugged", broken_by, "unplug", ".", "replug", quick=True)  # in any words
FAULTS.case("CRC errors 1 %", survived, "noise 0.01", "noise 0")
FAULTS.case("CRC errors 20 %", survived, "noise 0.2", "noise 0", quick=True)
FAULTS.case("replies dropped 5 %", survived, "drop 0.05", "drop 0")
FAULTS.case("wrong baud rate at start", refused_at_start, "baud 57600", "57600", "baud 4000000", moves=False)
FAULTS.case("two hands on one bus at start", refused_at_start, "double 3", "garbled", "single 3", moves=False)
FAULTS.case("duplicate servo id in motion", broken_by, "double 3", "garbled|duplicate ids", "single 3")


@FAULTS.add("one servo without torque, checked last", quick=True)
def one_without_torque(rig: HandRig) -> Outcome:
    """The worst case: its registers were read just before."""
    rig.ready()
    ident = rig.hand.health.seen_last[0]
    return broken(rig, lambda: rig.bus.inject(f"torque 0 {ident}"), rf"\(servo {ident}\) has lost", prepared=True)


@FAULTS.add("another program's goals")
def foreign_goals(rig: HandRig) -> Outcome:
    """Safe by this driver's commands, once the other program is stopped."""
    rig.ready()
    begin = time.monotonic()
    rig.bus.inject("steer 60")
    told = rig.drive(rig.longest)
    ms = 1e3 * (time.monotonic() - begin)
    rig.bus.inject("steer 0")
    if "another program writes" not in told:
        return Outcome(told, None, None, "fault" if told else "tracking", "")
    return Outcome(told, ms, rig.safe_after(begin, ms), "fault", "cause removed, then reset" if rig.reset() else "")


@FAULTS.add("horn slipped, detected when the finger opens")
def slipped(rig: HandRig) -> Outcome:
    """Under load a horn slips in the closing direction: its finger then reaches its open stop too early."""
    rig.ready()
    joint, closed, start = 6, np.full(len(JOINTS), 0.4), 0.0
    slipped_stop = JOINTS[joint].lower - Joints.stop_margin + SLIP

    def opening() -> np.ndarray:
        return np.maximum(closed - OPENING * (time.monotonic() - start), JOINTS[joint].lower * 0.8)

    rig.path = lambda: closed
    rig.drive(1.0)
    start, rig.path = time.monotonic(), opening
    told = rig.drive(1.0, until=lambda: rig.hand.goal[joint] < slipped_stop + 0.05)
    if told:
        return Outcome(told, None, None, "fault", "")
    return broken(
        *(rig, lambda: rig.bus.inject(f"slip {joint} {SLIP}"), r"\(servo 6\): it does not open"),
        cure=lambda: rig.bus.inject(f"slip {joint} {-SLIP}"),
        prepared=True,
    )


@FAULTS.add("new servo at 57600 baud at start", moves=False)
def new_servo(rig: HandRig) -> Outcome:
    """Reported with its id and baud rate; `dexhot leap replace` sets it up in place of the old one."""

    def replace() -> None:
        rig.hand.attach()
        with rig.hand.servos.port.unhurried():
            adopt(rig.hand.servos, 5)
        rig.hand.close()

    return refused_at_start(rig, "replace 5", r"id 1 does at 57600 baud.*leap replace 5", replace)


@FAULTS.add("torque found on at start, wrong mode")
def torque_on(rig: HandRig) -> Outcome:
    """As after another driver died, with other register values."""
    rig.bus.inject("torque 1")
    begin = time.monotonic()
    rig.hand.connect()
    ms = 1e3 * (time.monotonic() - begin)
    off, changed = not rig.bus.state()["torque"], rig.hand.counts["registers_set"]
    rig.ready()
    told = f"torque switched off, {changed} registers set" if changed else ""
    return Outcome(told, ms if told else None, 0.0 if off else None, "ready", "automatic")


@FAULTS.add("bus silent: servo bus watchdog", quick=True)
def watchdog(rig: HandRig) -> Outcome:
    """The driver stops, as when Python dies: the servos stop by themselves."""
    rig.ready()
    begin, stopped = time.monotonic(), None
    while stopped is None and time.monotonic() - begin < rig.longest:
        if all(value < 0 for value in rig.bus.state()["watchdog"]):
            stopped = 1e3 * (time.monotonic() - begin)
        time.sleep(0.005)
    trips = rig.hand.counts["watchdog_trips"]
    told = rig.drive(0.5)
    tripped = rig.hand.counts["watchdog_trips"] > trips and not told
    words = rig.hand.health.warnings.get("watchdog", "") if tripped else ""
    return Outcome(
        words, stopped if tripped else None, stopped, "holding", "automatic, from where it stopped" if tripped else ""
    )


@FAULTS.add("supply voltage low", moves=False)
def voltage_low(rig: HandRig) -> Outcome:
    """A warning, while the hand keeps tracking."""
    rig.ready()
    rig.bus.inject("voltage 4.2")
    begin = time.monotonic()
    found: list[str] = []

    def warned() -> bool:
        found[:] = [text for text in rig.hand.health.warnings.values() if "4.2 V" in text]
        return bool(found)

    told = rig.drive(rig.longest, until=warned)
    ms = 1e3 * (time.monotonic() - begin)
    rig.bus.inject("voltage 5.0")
    back = not rig.drive(rig.longest, until=lambda: not any(" V" in t for t in rig.hand.health.warnings.values()))
    return Outcome(
        found[0] if found else told, ms if found else None, 0.0, "tracking, warning", "automatic" if back else ""
    )


@FAULTS.add("goal out of limits and discontinuous")
def out_of_limits(rig: HandRig) -> Outcome:
    """The driver clips it to the position and velocity limits."""
    rig.ready()
    before = rig.hand.counts["limited"]
    begin = time.monotonic()
    rig.hand.write(np.full(len(JOINTS), 20.0), NONE, NONE)
    ms = 1e3 * (time.monotonic() - begin)
    limited = rig.hand.counts["limited"] - before
    told = rig.drive(0.2)
    words = f"{limited} goals clipped to position and velocity limits" if limited else ""
    return Outcome(
        words, ms if limited else None, ms if limited and not told else None, "tracking, clamped", "automatic"
    )


@FAULTS.add("NaN goal", quick=True)
def nan_goal(rig: HandRig) -> Outcome:
    """Rejected; the goal does not change."""
    rig.ready()
    goal = rig.hand.goal.copy()
    begin = time.monotonic()
    try:
        rig.hand.write(np.full(len(JOINTS), np.nan), NONE, NONE)
        told = ""
    except DexhotError as e:
        told = str(e)
    ms = 1e3 * (time.monotonic() - begin)
    safe = bool(told) and (rig.hand.goal == goal).all()
    on = not rig.drive(0.2)
    return Outcome(told, ms if told else None, ms if safe else None, "tracking, rejected", "automatic" if on else "")
