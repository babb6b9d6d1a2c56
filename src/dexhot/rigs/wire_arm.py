"""The arm of a MuJoCo world on libfranka's network protocol, with franky-sim's server classes.

franky-sim's own robot computes with Pinocchio what this one reads from the world, and packs a hundred state fields per
cycle of which eight change: this is much cheaper, which leaves CPU time for the world. Needs the extra `dev`.
"""

import select
import socket
import struct
from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np
from franky_sim.base_simulator import BaseRobot, InnerRobotState, RobotParameters
from franky_sim.franka_robot_protocol import BaseCommand, MoveStatus, RobotCommand, SetCollisionBehaviorCommand
from franky_sim.franka_robot_server import FrankaRobotServer
from franky_sim.franka_robot_state import FrankaRobotState
from franky_sim.franka_server import NonBlockingReceiver
from numpy.typing import ArrayLike

from dexhot.errors import DexhotError
from dexhot.robots.arm import FLANGE_SITE, FR3_JOINTS

LOST = 20  # consecutive missing responses after which the arm stops its motion, as Franka's does
FILTER = 0.05  # filter coefficient of the external torques for the reflex: a time constant of 20 ms
FLOATS = {"q": 7, "q_d": 7, "dq": 7, "dq_d": 7, "tau_J": 7, "tau_J_d": 7, "tau_ext_hat_filtered": 7, "O_T_EE": 16}
NOTHING_CARRIED = RobotParameters(ee_mass=1e-6, ee_com=(0.0,) * 3, ee_inertia=(0.0,) * 9, ee_tcp_xyz=(0.0,) * 3)


class WireArm(BaseRobot):  # type: ignore[misc]  # franky-sim has no types
    """Joints FR3_JOINTS of a world whose actuators of these names are torque motors.

    Its state is MuJoCo's: tau_J without gravity, which the world compensates; tau_ext are the contact torques.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, stiffness: np.ndarray, damping: np.ndarray):
        """`stiffness` N m/rad, `damping` N m s/rad (7,): for holding and for tracking commanded positions."""
        super().__init__(NOTHING_CARRIED, tuple(stiffness), tuple(damping), has_gripper=False)
        joints = [model.joint(name) for name in FR3_JOINTS]
        self.q_address = np.array([j.qposadr[0] for j in joints])
        self.v_address = np.array([j.dofadr[0] for j in joints])
        self.actuators = np.array([model.actuator(name).id for name in FR3_JOINTS])
        self.flange = model.site(FLANGE_SITE).id
        self.data = data
        self.torque = np.zeros(7)  # N m, commanded

    def _get_state(self) -> InnerRobotState:
        q, dq = self.data.qpos[self.q_address], self.data.qvel[self.v_address]
        return InnerRobotState(tuple(q.tolist()), tuple(dq.tolist()), tuple(self.torque.tolist()))

    @property
    def state(self) -> FrankaRobotState:
        fields = {name: tuple(value) for name, value in self.fields().items()}
        load = {"m_load": self.m_load, "F_x_Cload": self.F_x_Cload, "I_load": self.I_load}
        return FrankaRobotState(**fields, **load, control_command_success_rate=1.0)

    def fields(self) -> dict[str, list[float]]:
        """The state fields that change every cycle, those of FLOATS."""
        d, v = self.data, self.v_address
        q, dq = d.qpos[self.q_address].tolist(), d.qvel[v].tolist()
        torque, external = self.torque.tolist(), self.external.tolist()
        x, y, z = d.site_xmat[self.flange].reshape(3, 3).T.tolist()
        pose = [*x, 0.0, *y, 0.0, *z, 0.0, *d.site_xpos[self.flange].tolist(), 1.0]
        values = (q, q, dq, dq, torque, torque, external, pose)
        return dict(zip(FLOATS, values))

    @property
    def external(self) -> np.ndarray:
        """(7,) N m, external joint torques due to contact."""
        found: np.ndarray = -self.data.qfrc_constraint[self.v_address]
        return found

    def torque_control(self, torques: ArrayLike, has_new_command: bool = True) -> None:
        """Torques (7,), N m, without gravity; limited by the world's actuators."""
        self._torque_control(np.asarray(torques))

    def _torque_control(self, torques: np.ndarray) -> None:
        self.torque = torques
        self.data.ctrl[self.actuators] = torques

    def joint_position_control(self, target_q: ArrayLike, has_new_command: bool = True) -> None:
        q, dq = self.data.qpos[self.q_address], self.data.qvel[self.v_address]
        self._torque_control(self.kp * (np.asarray(target_q) - q) - self.kv * dq)

    def joint_velocity_control(self, target_dq: ArrayLike, has_new_command: bool = True) -> None:
        self._torque_control(self.kv * (np.asarray(target_dq) - self.data.qvel[self.v_address]))

    def set_hand_goal(self, width: float, max_velocity: float, max_force: float) -> None:
        raise DexhotError("this arm carries a LEAP hand, not Franka's gripper.")

    def _get_hand_width(self) -> float:
        raise DexhotError("this arm carries a LEAP hand, not Franka's gripper.")


class _SetThresholds(SetCollisionBehaviorCommand):  # type: ignore[misc]
    """franky-sim only acknowledges it."""

    def handle(self, server: "ArmServer") -> None:
        server.reflex_at = np.array(self.upper_torque_thresholds_nominal)
        super().handle(server)


class ArmServer(FrankaRobotServer):  # type: ignore[misc]
    """The protocol server of one WireArm: `cycle_begin`, a step of the world, `cycle_end`.

    It waits for the response to each state, so a client starved of CPU time slows the world down instead of making the
    control loop unstable. After LOST missing responses the motion is aborted as by Franka, and with a reflex when
    contact exceeds the client's collision thresholds. `missed` and `reflexes` count these.
    """

    def __init__(self, arm: WireArm, addresses: Iterable[str]):
        self.missed = self._missed_in_row = 0
        self._socket: socket.socket | None = None
        self._template: bytearray | None = None
        self._at = _offsets()
        self._arm = arm
        self.reflex_at = np.full(7, np.inf)  # N m: collision thresholds, None until a client sets them
        self.reflexes = 0
        self.felt = np.zeros(7)  # N m, external torques, filtered
        super().__init__(arm, addresses)
        self._FrankaServer__command_class_map[RobotCommand.kSetCollisionBehavior] = _SetThresholds

    def cycle_begin(self) -> None:
        """Receive the client's messages."""
        self.process_commands()

    def cycle_end(self, patience: float) -> None:
        """Send the state; while a client controls the arm, wait up to `patience` (s) for its torques."""
        self.send_state()
        self.felt += FILTER * (self._arm.external - self.felt)
        if self.controlled and (np.abs(self.felt) > self.reflex_at).any():
            self.reflexes += 1
            self.abort()
        if not self.controlled or self._socket is None:
            return
        if select.select([self._socket], [], [], patience)[0]:
            self._missed_in_row = 0
            return
        self.missed += 1
        self._missed_in_row += 1
        if self._missed_in_row >= LOST:
            self.abort()

    @property
    def controlled(self) -> bool:
        """Whether a client's control loop is running."""
        return bool(self.current_motion_id > 0)

    def abort(self) -> None:
        """Abort the current motion as a reflex does; the arm holds its pose."""
        motion, self._missed_in_row = self.current_motion_id, 0
        self.stop_motion(send_preemption_signal=False)
        self.reset_current_motion_id()
        if motion:
            BaseCommand.send_response(self._tcp_socket, RobotCommand.kMove, motion, MoveStatus.kReflexAborted)

    # Calls that change the slow part of the state

    def start_motion(self, *arguments: Any) -> None:
        super().start_motion(*arguments)
        self._template = None

    def stop_motion(self, send_preemption_signal: bool = True) -> None:
        super().stop_motion(send_preemption_signal)
        self._template = None

    def _reset_state(self) -> None:
        super()._reset_state()
        self._template, self._socket = None, None

    def _setup_udp_connection(self, network_udp_port: int) -> None:
        """franky-sim's own socket listens on all interfaces; this one only on the server's address."""
        super()._setup_udp_connection(network_udp_port)
        self._FrankaServer__udp_socket.close()  # type: ignore[has-type]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.hostname, 0))
        self._socket.setblocking(False)
        self._FrankaServer__udp_socket = self._socket
        self._FrankaServer__udp_receiver = NonBlockingReceiver(self._socket)
        self._template = None

    def _get_state_bytes(self) -> bytes:
        if self._template is None:
            self._template = bytearray(self.robot_state.pack_state())
            if self.controlled:
                return bytes(self._template)
            data, self._template = bytes(self._template), None  # the load may change while nothing moves
            return data
        for name, values in self._arm.fields().items():
            struct.pack_into(f"<{FLOATS[name]}f", self._template, self._at[name], *values)
        return bytes(self._template)


def _offsets() -> dict[str, int]:
    """Offset of each of FLOATS in a packed state: searched, so that another version may order them differently."""
    found = {}
    for name, count in FLOATS.items():
        mark = tuple(float(1000 + i) for i in range(count))
        packed = FrankaRobotState(**{name: mark}).pack_state()
        found[name] = packed.index(struct.pack(f"<{count}f", *mark))
    return found
