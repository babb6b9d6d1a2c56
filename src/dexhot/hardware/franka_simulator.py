"""A simulated FR3 behind the robot's own network protocol, as a process of its own: franky-sim, with faults.

`serve` is what the process runs, `ArmProcess` what starts one and talks to it. The simulation has no collision reflexes
of its own and enforces no limits: it records what it was told instead. Needs the extra `dev`.
"""

import importlib.util
import json
import queue
import signal
import sys
import threading
from math import inf, isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dexhot.errors import MissingExtraError
from dexhot.hardware.line_process import LineProcess

if TYPE_CHECKING:
    from franky_sim.franka_robot_server import FrankaRobotServer

# libfranka's port 1337 cannot be chosen, so every robot has an address of its own
LOOPBACK = [f"127.0.{i}.1" for i in range(1, 200)]


def serve(address: str = "") -> None:
    """Simulate an FR3 until the input ends. The first line of output is its address.

    Lines of input: `state` prints the robot as a JSON line, `reflex` aborts the motion as a collision would, `quit`.

    Args:
        address: Loopback address to serve at. Default: a free one.
    """
    _need_franky_sim()
    from franky_sim import SimulationServer
    from franky_sim.mujoco_simulator import MujocoSimulator

    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    with MujocoSimulator(enable_visualization=False) as simulator:
        simulator.add_robot()
        with SimulationServer(simulator, hostname_candidates=[address] if address else LOOPBACK) as server:
            robot = server.robot_servers[0]
            thresholds, torques = _remember_thresholds(), _remember_torques()
            print(robot.hostname, flush=True)
            while True:
                server.run_once()
                if lines.empty():
                    continue
                line = lines.get()
                if line == "quit":
                    return
                print(_answer(robot, thresholds, torques, line), flush=True)


def _need_franky_sim() -> None:
    if importlib.util.find_spec("franky_sim") is None:
        raise MissingExtraError("the simulated Franka arm", "dev")


def _listen(lines: "queue.Queue[str]") -> None:
    for line in sys.stdin:
        lines.put(line.strip())
    lines.put("quit")


def _remember_thresholds() -> dict[str, list[float]]:
    """What collision thresholds come in, which franky-sim only acknowledges."""
    from franky_sim.franka_robot_protocol import SetCollisionBehaviorCommand as Command

    heard: dict[str, list[float]] = {}
    acknowledge = Command.handle

    def handle(command: Command, server: "FrankaRobotServer") -> None:
        heard.update(torque=command.upper_torque_thresholds_nominal, force=command.upper_force_thresholds_nominal)
        acknowledge(command, server)

    Command.handle = handle
    return heard


def _remember_torques() -> list[float]:
    """The largest torque (N m) that ever came for each joint, as the bytes have it; inf for one that is no number."""
    from franky_sim.franka_robot_protocol import UDPCommand

    largest = [0.0] * 7
    parse = UDPCommand.from_bytes.__func__

    def from_bytes(kind: type, data: bytes) -> UDPCommand:
        command = parse(kind, data)
        largest[:] = [max(a, abs(b) if isfinite(b) else inf) for a, b in zip(largest, command.tau_J_d)]
        return command

    UDPCommand.from_bytes = classmethod(from_bytes)
    return largest


def _answer(robot: "FrankaRobotServer", thresholds: dict[str, list[float]], torques: list[float], line: str) -> str:
    if line == "reflex" and robot.current_motion_id:
        _reflex(robot)
        return "ok"
    if line == "state":
        state = robot.robot_state
        found = {"q": state.q, "dq": state.dq, "mode": state.robot_mode.name, "motion": robot.current_motion_id}
        found |= {"load": state.m_load, "com": state.F_x_Cload, "inertia": state.I_load, "collision": thresholds}
        found |= {"largest_torque": torques}
        return json.dumps(found)
    return "error: it takes state, quit and, when it moves, reflex."


def _reflex(robot: "FrankaRobotServer") -> None:
    """End the present motion as the robot does when it feels a collision."""
    from franky_sim.franka_robot_protocol import BaseCommand, MoveStatus, RobotCommand

    motion = robot.current_motion_id
    robot.stop_motion(send_preemption_signal=False)
    robot.reset_current_motion_id()
    BaseCommand.send_response(robot._tcp_socket, RobotCommand.kMove, motion, MoveStatus.kReflexAborted)


class ArmProcess:
    """A simulated FR3 beside this process, while the block runs, at `address`."""

    def __init__(self, address: str = ""):
        self.address = address

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Also again after `kill`: at the same address. Raises DexhotError, MissingExtraError."""
        _need_franky_sim()
        command = [sys.executable, "-m", "dexhot.hardware.franka_simulator", "--address", self.address]
        self.lines = LineProcess(command, "arm")
        self.address = self.lines.read()

    def kill(self) -> None:
        """As when the robot loses power."""
        self.lines.popen.kill()
        self.lines.end()

    def freeze(self) -> None:
        """The robot's controller stands still; its connections stay open."""
        self.lines.popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.lines.popen.send_signal(signal.SIGCONT)

    def reflex(self) -> None:
        """The arm feels a collision."""
        self.lines.order("reflex")

    def state(self) -> dict[str, Any]:
        """The robot as it is: q, dq, mode, motion (its number, 0 for none), load, com, inertia, collision thresholds,
        largest_torque (asked for)."""
        return json.loads(self.lines.ask("state"))


if __name__ == "__main__":
    import tyro

    tyro.cli(serve)
