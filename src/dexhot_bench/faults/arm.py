"""Faults of the Franka arm: the real driver with a protocol-level simulation of the robot in another process."""

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
TRIES = 8  # attempts of a clean start, as load on the machine may starve the simulation
OTHER_VERSION = 3  # an outdated version of the robot's server
SETTLES, STILL = 2.0, 0.005  # s, time to come to rest; rad, largest motion at rest in 0.1 s
FROZEN = "not advanced"  # message about a frozen clock
STEEPEST = 1.0  # N m per cycle: libfranka's kMaxTorqueRate, above which a robot stops
# The simulation shares this machine with other processes: the robot's clock may pause for longer than 0.1 s
SETTINGS = ArmSettings(hand="", realtime=False, frozen_timeout=0.2)


class ArmRig(Driven):
    """One robot for all faults, and a new driver for each fault."""

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
        """Make a new driver for the next fault, and restart the robot if needed."""
        self.process.thaw()
        if self.process.lines.popen.poll() is not None:
            self.process.start()
        self.release()
        self.arm = FrankaArm(self.process.address, self.settings)

    def ready(self) -> None:
        """Bring the arm to follow commands. A start that fails under load is repeated and counted."""
        told = "not attempted"
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
        """Send one command. Raises the driver's errors."""
        t = SPEED * (time.monotonic() - self.begin)
        self.arm.write(self.centre + AMPLITUDE * (1 - np.cos(t)), np.full(7, AMPLITUDE * SPEED * np.sin(t)), NONE)
        self.arm.read()

    def refuses(self) -> bool:
        """Whether a command is rejected."""
        try:
            self.arm.write(self.centre, NONE, NONE)
        except ArmError:
            return True
        return False

    def reset(self) -> bool:
        """Reset as by activating the driver node; returns whether the arm then moves again."""
        try:
            self.ready()
        except DexhotError:
            return False
        return True

    def release(self) -> None:
        """Release the user stop."""
        self.process.stop(False)

    def safe_after(self, begin: float, told: float) -> float | None:
        """Time at which the driver rejects commands, if the simulated arm (unless frozen or killed) then comes to
        rest."""
        if not self.refuses():
            return None
        end = time.monotonic() + SETTLES
        while self.process.answers and time.monotonic() < end:
            before = np.array(self.process.state()["q"])  # positions, as velocities are noisy while it holds itself
            time.sleep(0.1)
            if np.abs(self.process.state()["q"] - before).max() < STILL:
                return told
        return None if self.process.answers else told

    def violations(self) -> int:
        """Joints whose commanded torque ever exceeded the limit or the permitted torque rate.

        Counted from the bytes that it received.
        """
        state = self.process.state()
        high = [asked > joint.effort for asked, joint in zip(state["largest_torque"], joint_table("fr3"))]
        return int(sum(high) + sum(change > STEEPEST for change in state["steepest_torque"]))


@FAULTS.add("robot unreachable at start", moves=False)
def unreachable(rig: ArmRig) -> Outcome:
    """No robot at the address: the driver reports it in time."""
    arm = FrankaArm("127.0.250.1", rig.settings)
    begin = time.monotonic()
    try:
        arm.connect()
    except ArmError as e:
        ms = 1e3 * (time.monotonic() - begin)
        return Outcome(str(e), ms, 0.0, "inactive", "restarted" if rig.reset() else "")
    return Outcome("", None, None, "connected", "")


@FAULTS.add("version mismatch of libfranka and robot", moves=False)
def other_version(rig: ArmRig) -> Outcome:
    """Reported with both versions when connecting."""
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
    return Outcome(told, ms, 0.0, "inactive", "restarted with a matching version" if rig.reset() else "")


FAULTS.case("user stop", lambda rig: broken(rig, rig.process.stop, "(?i)user.?stop", rig.release))
FAULTS.case("reflex", lambda rig: broken(rig, rig.process.reflex, "reflex"), quick=True)
FAULTS.case(
    "frozen controller",
    lambda rig: broken(rig, rig.process.freeze, FROZEN, rig.process.thaw),
    quick=True,
)


@FAULTS.add("network loss 2 s")
def network_loss(rig: ArmRig) -> Outcome:
    """Same as a frozen controller for the driver, but lasts until franky itself closes the connection."""

    def back() -> None:
        time.sleep(2.0)
        rig.process.thaw()

    return broken(rig, rig.process.freeze, FROZEN, back)


@FAULTS.add("network loss 100 ms")
def network_gap(rig: ArmRig) -> Outcome:
    """Too short for a fault: the arm waits, and the driver warns and continues."""
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
    return Outcome(words, ms if words else None, 0.0, "tracking", "automatic" if goes_on else "")


@FAULTS.add("robot loses power")
def powerless(rig: ArmRig) -> Outcome:
    """As when the robot is unplugged, including its network."""
    return broken(rig, rig.process.kill, "connection|stopped by itself|" + FROZEN, rig.process.start)


@FAULTS.add("no more commands")
def silence(rig: ArmRig) -> Outcome:
    """The commanding node died: the driver's watchdog brings the arm to rest."""
    rig.ready()
    before, begin = rig.arm.counts["silences"], time.monotonic()
    while rig.arm.counts["silences"] == before and time.monotonic() - begin < rig.longest:
        time.sleep(0.002)
    ms = 1e3 * (time.monotonic() - begin)
    seen = rig.arm.counts["silences"] > before
    words = f"no command for {1e3 * rig.settings.command_timeout:.0f} ms: the arm comes to rest" if seen else ""
    back = seen and not rig.drive(0.3)
    return Outcome(words, ms if seen else None, ms if seen else None, "holding", "automatic" if back else "")


@FAULTS.add("NaN command")
def nan_command(rig: ArmRig) -> Outcome:
    """Rejected before it reaches the robot."""
    rig.ready()
    goal, begin = rig.arm.setpoint.q.copy(), time.monotonic()
    try:
        rig.arm.write(np.full(7, np.nan), NONE, NONE)
        told = ""
    except DexhotError as e:
        told = str(e)
    ms = 1e3 * (time.monotonic() - begin)
    on = not rig.drive(0.2) and np.isfinite(goal).all()
    return Outcome(told, ms if told else None, ms if told else None, "tracking, rejected", "automatic" if on else "")


def limited(rig: ArmRig, offset: float, kind: str) -> Outcome:
    """Commands at an `offset` (rad) for half a second: the setpoint is limited, and counted."""
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
    words = f"limited by {kind}" if detected is not None else ""
    back = rig.reset() if told else not rig.drive(0.5)
    state = "fault" if told else "tracking, clamped"
    return Outcome(words, detected, detected if kept else None, state, "automatic" if back else "")


FAULTS.case("command out of limits", limited, 20.0, "position")
FAULTS.case("discontinuous command (0.5 rad)", limited, 0.5, "acceleration")
