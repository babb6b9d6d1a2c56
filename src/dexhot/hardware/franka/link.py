"""The connection to a Franka arm: the only module that calls franky. Importing it needs the extra `hardware`.

Three pitfalls of franky: connecting to a robot that accepts and then does not respond never returns; a reference for a
motion that has ended is silently ignored; and the reason of its end is available only by joining the motion.
"""

import re
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import numpy as np

from dexhot.hardware.franka.load import Load, hand_load
from dexhot.hardware.franka.sdk import franky
from dexhot.hardware.franka.settings import ArmError, ArmSettings
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import load_hand

COMPATIBILITY = "https://frankarobotics.github.io/docs/libfranka/docs/compatibility_with_images.html"
PATIENCE = 2.0  # s for the tracker to take control, and for a motion to end
RAMP = 0.1  # s from the tracker's torque to damping alone
LOOK = 0.002  # s


class ArmLink:
    """A robot that is connected and set up: thresholds and load. No motion. Every call raises ArmError."""

    def __init__(self, address: str, settings: ArmSettings):
        self.settings = settings
        self.robot = _connect(address, settings)
        load = hand_load(load_hand(settings.hand)) if settings.hand else Load(0.0, np.zeros(3), np.zeros((3, 3)))
        try:
            self.robot.set_collision_behavior(
                list(settings.contact_torque),
                list(settings.collision_torque),
                list(settings.contact_force),
                list(settings.collision_force),
            )
            self.robot.set_load(load.mass, load.com.tolist(), load.inertia.flatten(order="F").tolist())
        except franky.Exception as e:
            raise ArmError(f"the arm rejects its thresholds or load ({e}): clear its errors in Franka Desk.") from e

    @property
    def in_control(self) -> bool:
        """Whether our control loop runs. The robot executes its commands only in mode Move: see `obeys`."""
        return bool(self.robot.is_in_control)

    @staticmethod
    def obeys(state: franky.RobotState) -> bool:
        return bool(state.robot_mode == franky.RobotMode.Move)

    def state(self) -> franky.RobotState:
        """The last state received while in control, else the next one."""
        try:
            return self.robot.state
        except (franky.Exception, RuntimeError) as e:
            raise ArmError(f"the connection to the arm is lost ({e}); remove the cause, then reset.") from e

    @staticmethod
    def errors(state: franky.RobotState) -> list[str]:
        """The robot's present errors, by their libfranka names."""
        found = state.current_errors
        return [name for name in dir(found) if getattr(found, name) is True]

    def start(self, q: np.ndarray) -> None:
        """The joint impedance tracker takes control, with its reference at q (7,)."""
        joints = joint_table("fr3")
        self._motion = franky.JointImpedanceTrackingMotion(
            stiffness=np.array(self.settings.stiffness),
            damping=np.array(self.settings.damping),
            lower_joint_limits=np.array([j.lower for j in joints]),
            upper_joint_limits=np.array([j.upper for j in joints]),
        )
        self.send(q, np.zeros(7), np.zeros(7))
        end = time.monotonic() + PATIENCE
        try:
            self.robot.move(self._motion, asynchronous=True)
            while not (self.in_control and self.obeys(self.state())):
                self.robot.poll_motion()
                if time.monotonic() > end:
                    self.let_go()  # if it starts later, it must not run unmonitored
                    raise ArmError(
                        f"the arm does not accept control within {PATIENCE:g} s: see the message in Franka Desk."
                    )
                time.sleep(LOOK)
        except franky.Exception as e:
            raise ArmError(
                f"the arm rejects control ({e}): remove the cause, then reset (without a graph: `dexhot "
                "franka recover`)."
            ) from e

    def send(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """The tracker's reference (7,): rad, rad/s, and feed-forward torques in N m."""
        self._motion.set_reference(franky.JointReference(q=q, dq=qd, tau_ff=effort))

    def let_go(self) -> None:
        """If the tracker still runs, replace it by damping until the arm rests; then the robot holds itself."""
        with suppress(franky.Exception):  # control was lost: the robot has stopped by itself
            if self.in_control:
                self.robot.move(franky.TorqueStopMotion(ramp_duration=RAMP), asynchronous=True)

    def join(self, timeout: float = PATIENCE) -> str:
        """Wait `timeout` s for the motion's end. Returns the reason, "" if it goes on or ended as commanded."""
        try:
            self.robot.join_motion(timeout=timeout)
        except franky.Exception as e:
            return str(e).splitlines()[0]
        return ""

    def works(self) -> bool:
        """Whether the robot responds over this connection. A frozen one is detected after a second."""
        self.join()
        try:
            self.state()
        except ArmError:
            return False
        return not self.in_control

    def close(self) -> None:
        """Close the connection (franky does so when its last reference is dropped); the robot accepts only one."""
        del self.robot

    def clear_errors(self) -> None:
        try:
            cleared = self.robot.recover_from_errors() and not self.robot.has_errors
        except franky.Exception as e:
            raise ArmError(f"the arm could not be recovered: {e}") from e
        if not cleared:
            raise ArmError("the arm's error persists: see the message in Franka Desk, clear it there, and reset again.")


def _connect(address: str, settings: ArmSettings) -> franky.Robot:
    config = franky.RealtimeConfig.Enforce if settings.realtime else franky.RealtimeConfig.Ignore
    made: list[Any] = []

    def make() -> None:
        try:
            made.append(franky.Robot(address, realtime_config=config))
        except franky.Exception as e:
            made.append(e)

    thread = threading.Thread(target=make, name="franka connect", daemon=True)  # it may never return
    thread.start()
    thread.join(settings.connect_timeout)
    if not made:
        raise ArmError(f"the arm at {address} accepts the connection but does not respond: restart its control unit.")
    if isinstance(made[0], franky.RealtimeException):
        raise ArmError(
            "this kernel has no real-time support: see docs/franka.md; realtime = false is for simulation only."
        )
    if isinstance(made[0], franky.IncompatibleVersionException):
        raise ArmError(_versions(address, str(made[0])))
    if isinstance(made[0], franky.Exception):
        raise ArmError(
            f"no Franka arm at {address} ({made[0]}): is it switched on, FCI activated, the cable connected?"
        )
    return made[0]


def _versions(address: str, message: str) -> str:
    """Error message if the arm's server and libfranka have different versions; `message` is libfranka's own."""
    found = dict(re.findall(r"(server|library) version: (\d+)", message))
    server, library = found.get("server", "unknown"), found.get("library", "unknown")
    older = server.isdigit() and library.isdigit() and int(server) < int(library)
    need = "an older" if older else "a newer"
    return (
        f"the arm at {address} and this computer have different protocol versions: the arm's server version is "
        f"{server}, that of libfranka in franky-control {version('franky-control')} is {library}. Update the arm's "
        f"system in Franka Desk, or install {need} franky-control with a libfranka for the arm: {COMPATIBILITY}"
    )
