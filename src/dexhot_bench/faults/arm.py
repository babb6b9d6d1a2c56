"""Faults of the Franka arm: the real driver over the robot's protocol, the robot simulated in another process."""

import time
from typing import Self

import numpy as np

from dexhot.errors import DexhotError
from dexhot.hardware.franka.arm import FrankaArm
from dexhot.hardware.franka.settings import ArmError, ArmSettings
from dexhot.hardware.franka.simulator import ArmProcess
from dexhot.robots.joint_table import joint_table
from dexhot_bench.faults.driven import Driven, broken
from dexhot_bench.faults.table import FaultTable, Outcome

FAULTS = FaultTable("arm")
NONE = np.zeros(7)
AMPLITUDE, SPEED = 0.05, 3.0  # rad, rad/s of phase
TRIES = 8  # of a clean start, on a machine that starves the simulation
OTHER_VERSION = 3  # of the robot's server, long before libfranka's
SETTLES, STILL = 2.0, 0.005  # s in which the arm comes to rest, rad that it then moves in 0.1 s
STEEPEST = 1.0  # N m per cycle: libfranka's kMaxTorqueRate, beyond which a robot stops
# The simulation shares this machine with everything else: the robot's own time may stand still for longer than 0.1 s
SETTINGS = ArmSettings(hand="", realtime=False, frozen_timeout=0.2)


class ArmRig(Driven):
    """A robot, which outlives a fault, and a driver for each fault."""

    period = 1 / 60  # s from command to command
    longest = 8.0

    def __init__(self, settings: ArmSettings = SETTINGS):
        self.settings = settings
        self.process = ArmProcess()
        self.retries = 0

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.thaw()
        self.process.kill()

    def renew(self) -> None:
        """A driver of its own for the next fault, and a robot that runs."""
        self.process.thaw()
        if self.process.lines.popen.poll() is not None:
            self.process.start()
        self.release()
        self.arm = FrankaArm(self.process.address, self.settings)

    def ready(self) -> None:
        """The arm follows commands. A start that the machine's load spoils is made anew, and counted."""
        told = "it was never tried"
        for _ in range(TRIES):
            try:
                self.arm.recover()
                self.arm.hold()
                self.centre, self.begin = self.arm.read().q, time.monotonic()
                told = self.drive(0.5)
            except DexhotError as e:
                told = str(e)
            if not told:
                return
            self.retries += 1
        raise DexhotError(f"the simulated arm does not run on this machine: {told}")

    def command(self) -> None:
        """One command. Raises what the driver raises."""
        t = SPEED * (time.monotonic() - self.begin)
        self.arm.write(self.centre + AMPLITUDE * (1 - np.cos(t)), np.full(7, AMPLITUDE * SPEED * np.sin(t)), NONE)
        self.arm.read()

    def refuses(self) -> bool:
        """Whether a command is refused."""
        try:
            self.arm.write(self.centre, NONE, NONE)
        except ArmError:
            return True
        return False

    def reset(self) -> bool:
        """What activating the driver node does; then the arm moves again."""
        try:
            self.ready()
        except DexhotError:
            return False
        return True

    def release(self) -> None:
        """The user stop again."""
        self.process.stop(False)

    def safe_after(self, begin: float, told: float) -> float | None:
        """When the driver refuses commands, if the simulated arm (unless frozen or gone) then comes to rest."""
        if not self.refuses():
            return None
        end = time.monotonic() + SETTLES
        while self.process.answers and time.monotonic() < end:
            before = np.array(self.process.state()["q"])  # its velocities tremble while it holds itself
            time.sleep(0.1)
            if np.abs(self.process.state()["q"] - before).max() < STILL:
                return told
        return None if self.process.answers else told

    def violations(self) -> int:
        """Joints that were ever asked for more than their torque, or for one that changes faster than a robot bears.

        By the bytes that came to it.
        """
        state = self.process.state()
        high = [asked > joint.effort for asked, joint in zip(state["largest_torque"], joint_table("fr3"))]
        return int(sum(high) + sum(change > STEEPEST for change in state["steepest_torque"]))


@FAULTS.add("robot unreachable at start", moves=False)
def unreachable(rig: ArmRig) -> Outcome:
    """Nobody at the address: the driver says so in time."""
    arm = FrankaArm("127.0.250.1", rig.settings)
    begin = time.monotonic()
    try:
        arm.connect()
    except ArmError as e:
        ms = 1e3 * (time.monotonic() - begin)
        return Outcome(str(e), ms, 0.0, "inactive", "started again" if rig.reset() else "")
    return Outcome("", None, None, "connected", "")


@FAULTS.add("libfranka's version is not the robot's", moves=False)
def other_version(rig: ArmRig) -> Outcome:
    """Said as such, with both versions, when it connects."""
    with ArmProcess(version=OTHER_VERSION) as process:
        arm = FrankaArm(process.address, rig.settings)
        begin = time.monotonic()
        try:
            arm.connect()
        except ArmError as e:
            told, ms = str(e), 1e3 * (time.monotonic() - begin)
        else:
            return Outcome("", None, None, "connected", "")
    if f"server version is {OTHER_VERSION}, that of libfranka" not in told:
        return Outcome(told, None, 0.0, "inactive", "")
    return Outcome(told, ms, 0.0, "inactive", "an arm that fits, started" if rig.reset() else "")


FAULTS.case("user stop", lambda rig: broken(rig, rig.process.stop, "(?i)user.?stop", rig.release))
FAULTS.case("reflex", lambda rig: broken(rig, rig.process.reflex, "reflex"), quick=True)
FAULTS.case(
    "frozen controller", lambda rig: broken(rig, rig.process.freeze, "stands still", rig.process.thaw), quick=True
)


@FAULTS.add("network loss 2 s")
def network_loss(rig: ArmRig) -> Outcome:
    """To the driver as a frozen controller, but it lasts until franky itself gives the connection up."""

    def back() -> None:
        time.sleep(2.0)
        rig.process.thaw()

    return broken(rig, rig.process.freeze, "stands still", back)


@FAULTS.add("network loss 100 ms")
def network_gap(rig: ArmRig) -> Outcome:
    """Shorter than what is a fault: the arm waits, the driver tells, and goes on."""
    rig.ready()
    rig.arm.longest_stall = 0.0
    begin = time.monotonic()
    rig.process.freeze()
    rig.drive(0.1)
    rig.process.thaw()
    told = rig.drive(rig.longest, until=lambda: rig.arm.longest_stall > 0.05)
    ms = 1e3 * (time.monotonic() - begin)
    words = rig.arm.warnings.get("stall", "")
    if told:
        return Outcome(told, ms, ms if rig.refuses() else None, "fault", "reset" if rig.reset() else "")
    goes_on = not rig.drive(0.3)
    return Outcome(words, ms if words else None, 0.0, "tracking", "by itself" if goes_on else "")


@FAULTS.add("robot loses power")
def powerless(rig: ArmRig) -> Outcome:
    """As when somebody pulls the plug: also of its network."""
    return broken(rig, rig.process.kill, "connection|stopped by itself|stands still", rig.process.start)


@FAULTS.add("commands stop coming")
def silence(rig: ArmRig) -> Outcome:
    """Who commands has died: the arm comes to rest by its own watchdog."""
    rig.ready()
    before, begin = rig.arm.counts["silences"], time.monotonic()
    while rig.arm.counts["silences"] == before and time.monotonic() - begin < rig.longest:
        time.sleep(0.002)
    ms = 1e3 * (time.monotonic() - begin)
    seen = rig.arm.counts["silences"] > before
    words = f"no command for {1e3 * rig.settings.command_timeout:.0f} ms: the arm comes to rest" if seen else ""
    back = seen and not rig.drive(0.3)
    return Outcome(words, ms if seen else None, ms if seen else None, "holding", "by itself" if back else "")


@FAULTS.add("NaN command")
def nan_command(rig: ArmRig) -> Outcome:
    """Refused before it reaches the robot."""
    rig.ready()
    goal, begin = rig.arm.setpoint.q.copy(), time.monotonic()
    try:
        rig.arm.write(np.full(7, np.nan), NONE, NONE)
        told = ""
    except DexhotError as e:
        told = str(e)
    ms = 1e3 * (time.monotonic() - begin)
    on = not rig.drive(0.2) and np.isfinite(goal).all()
    return Outcome(told, ms if told else None, ms if told else None, "tracking, refused", "by itself" if on else "")


def limited(rig: ArmRig, offset: float, kind: str) -> Outcome:
    """Commands that lie `offset` rad away, for half a second: the setpoint keeps its limits, and counts."""
    rig.ready()
    before, begin = dict(rig.arm.setpoint.limited), time.monotonic()
    detected = told = None
    while time.monotonic() - begin < 0.5 and told is None:
        try:
            rig.arm.write(rig.centre + offset, NONE, NONE)
        except ArmError as e:
            told = str(e)
        if detected is None and rig.arm.setpoint.limited[kind] > before[kind]:
            detected = 1e3 * (time.monotonic() - begin)
        time.sleep(0.005)
    limits = rig.arm.setpoint.limits
    kept = (np.abs(rig.arm.setpoint.v) <= limits.velocity + 1e-9).all() and (
        rig.arm.setpoint.q <= limits.upper + 1e-9
    ).all()
    words = f"held back by the limit of {kind}" if detected is not None else ""
    back = rig.reset() if told else not rig.drive(0.5)
    state = "fault" if told else "tracking, clamped"
    return Outcome(words, detected, detected if kept else None, state, "by itself" if back else "")


FAULTS.case("command out of limits", limited, 20.0, "position")
FAULTS.case("discontinuous command (0.5 rad)", limited, 0.5, "acceleration")
