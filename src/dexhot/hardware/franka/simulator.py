"""A simulated FR3 with the robot's own network protocol, in its own process: franky-sim, with fault injection.

`serve` runs in the process, `ArmProcess` starts it and communicates with it. The simulation has no collision reflexes
of its own and enforces no limits: it records its commands instead. Needs the extra `dev`.
"""

import importlib.util
import json
import queue
import random
import select
import signal
import struct
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dexhot.errors import MissingExtraError
from dexhot.hardware.line_process import LineProcess

if TYPE_CHECKING:
    from franky_sim.franka_robot_server import FrankaRobotServer

# libfranka's port 1337 is fixed, so every robot has its own address
TOGETHER = 10  # states: commands in reply to states further apart belong to separate motions
LOOPBACK = [f"127.0.{i}.1" for i in range(1, 200)]
PATIENCE = 0.05  # s, longest wait of a cycle for the client's torques


def serve(address: str = "", version: int = 0) -> None:
    """Simulate an FR3 until the input ends. The first line of output is its address.

    Input lines: `state` prints the robot as a JSON line, `reflex` aborts the motion like a collision, `stop` presses
    the user stop, `unstop` releases it, `quit` exits.

    Args:
        address: Loopback address to listen on. Default: a free one.
        version: Simulate a robot with another protocol version, which refuses the connection. Default: ours.
    """
    _need_franky_sim()
    if version:
        _refuse_connections(version)
    from franky_sim import SimulationServer
    from franky_sim.mujoco_simulator import MujocoSimulator

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    _quit_on_ctrl_c(lines)
    with MujocoSimulator(enable_visualization=False) as simulator:
        simulator.add_robot()
        anywhere = random.sample(LOOPBACK, len(LOOPBACK))  # random: a released address is rarely reused at once
        with SimulationServer(simulator, hostname_candidates=[address] if address else anywhere) as server:
            robot = server.robot_servers[0]
            thresholds, torques, user_stop = _remember_thresholds(), _remember_torques(), UserStop()
            print(robot.hostname, flush=True)
            while True:
                if (
                    robot.current_motion_id
                ):  # with a CPU-starved client the robot slows down instead of becoming unstable
                    select.select([robot._FrankaServer__udp_socket], [], [], PATIENCE)
                server.run_once()
                if lines.empty():
                    continue
                line = lines.get()
                if line == "quit":
                    return
                if line in ("stop", "unstop"):
                    user_stop.pressed = line == "stop"
                    if user_stop.pressed and robot.current_motion_id:
                        _abort(robot, "kEmergencyAborted")
                    print("ok", flush=True)
                else:
                    print(_answer(robot, thresholds, torques, line), flush=True)


def _quit_on_ctrl_c(lines: "queue.SimpleQueue[str]") -> None:
    """Ctrl-C also queues `quit`: an exception in the middle of the server's code may be swallowed there."""

    def press(number: int, frame: object) -> None:
        lines.put("quit")  # a SimpleQueue may be filled within a signal handler
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)


def _need_franky_sim() -> None:
    if importlib.util.find_spec("franky_sim") is None:
        raise MissingExtraError("the simulated Franka arm", "dev")


def _listen(lines: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line.strip())
    lines.put("quit")


def _refuse_connections(version: int) -> None:
    """Reply to every client like a robot with another server version."""
    from franky_sim.franka_server import Command, ConnectCommand, ConnectStatus, MessageHeader

    def handle(command: ConnectCommand, server: "FrankaRobotServer", command_type_struct: str = "I") -> None:
        header = MessageHeader(Command.kConnect, command.command_id, 8).to_bytes(command_type_struct)
        answer = struct.pack("<BH5x", ConnectStatus.kIncompatibleLibraryVersion, version)
        command.client_socket.sendall(header + answer)

    ConnectCommand.handle = handle


class UserStop:
    """The user stop, shown in the robot's state while `pressed`."""

    def __init__(self) -> None:
        from franky_sim.franka_robot_server import FrankaRobotServer
        from franky_sim.franka_robot_state import RobotMode

        self.pressed = False
        state = FrankaRobotServer.robot_state.fget

        def shown(server: FrankaRobotServer) -> Any:
            found = state(server)
            return found.replace(robot_mode=RobotMode.kUserStopped) if self.pressed else found

        FrankaRobotServer.robot_state = property(shown)


def _remember_thresholds() -> dict[str, list[float]]:
    """Record received collision thresholds, which franky-sim only acknowledges."""
    from franky_sim.franka_robot_protocol import SetCollisionBehaviorCommand as Command

    heard: dict[str, list[float]] = {}
    acknowledge = Command.handle

    def handle(command: Command, server: "FrankaRobotServer") -> None:
        heard.update(torque=command.upper_torque_thresholds_nominal, force=command.upper_force_thresholds_nominal)
        acknowledge(command, server)

    Command.handle = handle
    return heard


class Torques:
    """Statistics of the commanded torques, per joint: the `largest` (N m; inf for a non-finite one), and the largest
    rate of change, `steep` (N m per cycle)."""

    def __init__(self) -> None:
        self.largest, self.steep = np.zeros(7), np.zeros(7)
        self._last: tuple[int, np.ndarray] | None = None  # number of the state replied to, torques

    def see(self, number: int, torques: tuple[float, ...]) -> None:
        """Add one command. Several replies to one state, or a long gap, give no rate of change."""
        asked = np.where(np.isfinite(torques), torques, np.inf)
        self.largest = np.maximum(self.largest, np.abs(asked))
        if self._last is not None and 0 < (passed := number - self._last[0]) <= TOGETHER:
            self.steep = np.maximum(self.steep, np.abs(asked - self._last[1]) / passed)
        self._last = number, asked


def _remember_torques() -> Torques:
    """Start recording received torques."""
    from franky_sim.franka_robot_protocol import UDPCommand

    heard = Torques()
    parse = UDPCommand.from_bytes.__func__

    def from_bytes(kind: type, data: bytes) -> UDPCommand:
        command = parse(kind, data)
        heard.see(command.message_id, command.tau_J_d)
        return command

    UDPCommand.from_bytes = classmethod(from_bytes)
    return heard


def _answer(robot: "FrankaRobotServer", thresholds: dict[str, list[float]], torques: Torques, line: str) -> str:
    if line == "reflex" and robot.current_motion_id:
        _abort(robot, "kReflexAborted")
        return "ok"
    if line == "state":
        state = robot.robot_state
        found = {"q": state.q, "dq": state.dq, "mode": state.robot_mode.name, "motion": robot.current_motion_id}
        found |= {"load": state.m_load, "com": state.F_x_Cload, "inertia": state.I_load, "collision": thresholds}
        found |= {"largest_torque": torques.largest.tolist(), "steepest_torque": torques.steep.tolist()}
        return json.dumps(found)
    return "error: commands are state, stop, unstop, quit and, while moving, reflex."


def _abort(robot: "FrankaRobotServer", status: str) -> None:
    """Abort the present motion, as the robot does on a collision (kReflexAborted)."""
    from franky_sim.franka_robot_protocol import BaseCommand, MoveStatus, RobotCommand

    motion = robot.current_motion_id
    robot.stop_motion(send_preemption_signal=False)
    robot.reset_current_motion_id()
    BaseCommand.send_response(robot._tcp_socket, RobotCommand.kMove, motion, MoveStatus[status])


class ArmProcess:
    """Context manager: a simulated FR3 in its own process, at `address`."""

    def __init__(self, address: str = "", version: int = 0):
        self.address, self.version = address, version
        self._frozen = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, also after `kill`, at the same address. Raises DexhotError, MissingExtraError."""
        _need_franky_sim()
        command = [sys.executable, "-m", "dexhot.hardware.franka.simulator", "--address", self.address]
        command += ["--version", str(self.version)]
        self.lines = LineProcess(command, "arm")
        self.address = self.lines.read()

    def kill(self) -> None:
        """Kill it, as if the robot lost power."""
        self.lines.popen.kill()
        self.lines.end()

    def freeze(self) -> None:
        """Freeze the robot's controller; its connections stay open."""
        self.lines.popen.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        self.lines.popen.send_signal(signal.SIGCONT)
        self._frozen = False

    @property
    def answers(self) -> bool:
        """Whether it runs and is not frozen."""
        return not self._frozen and self.lines.popen.poll() is None

    def reflex(self) -> None:
        """Simulate a collision reflex."""
        self.lines.order("reflex")

    def stop(self, pressed: bool = True) -> None:
        """Press or release the user stop."""
        self.lines.order("stop" if pressed else "unstop")

    def state(self) -> dict[str, Any]:
        """State of the robot: q, dq, mode, motion (its number, 0 for none), load, com, inertia, collision thresholds,
        largest_torque and steepest_torque (commanded; N m, N m per cycle)."""
        found: dict[str, Any] = json.loads(self.lines.ask("state"))
        return found


if __name__ == "__main__":
    import tyro

    tyro.cli(serve)
