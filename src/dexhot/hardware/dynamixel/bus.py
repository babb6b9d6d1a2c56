"""A bus of simulated servos behind a pseudo terminal, a byte-level simulation of a LEAP hand behind its USB adapter.

Replies take the transmission time of a real bus: 10 bits per byte at the port's baud rate, plus each servo's return
delay. With `latency` the adapter holds back the last, partial USB packet of a reply that long, as an FTDI chip does
(16 ms by default). servo.py simulates one servo, plant.py the joints, faults.py the faults.
"""

import os
import select
import struct
import tempfile
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from dexhot.hardware.dynamixel import protocol
from dexhot.hardware.dynamixel.errors import BusError
from dexhot.hardware.dynamixel.faults import Faults
from dexhot.hardware.dynamixel.plant import Drive, Joints, Plant
from dexhot.hardware.dynamixel.protocol import BROADCAST, Instruction, Refusal
from dexhot.hardware.dynamixel.registers import BAUD, BAUD_RATES, FULL, RAM, REGISTERS, Model
from dexhot.hardware.dynamixel.servo import SimulatedServo
from dexhot.robots.joint_table import joint_table

GAP = 0.02  # s, timeout within a packet, after which servos expect a new one
IDLE = 0.01  # s, maximum simulation interval of the joints
STILL = 0.1  # rad/s, speed below which a joint counts as at rest
USB_PACKET = 510  # bytes of payload in a high-speed FTDI chip's USB packet
BITS = 10  # per byte on the wire: start, eight, stop
SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in BAUD_RATES}


@dataclass
class Goals:
    """Goal positions sent to a servo, accepted or not, counts. `step`: the largest change between two, under
    torque; `moved`: monotonic time (s) of the last change."""

    last: int
    lowest: int
    highest: int
    step: int = 0
    moved: float = 0.0

    def see(self, goal: int, servo: SimulatedServo) -> None:
        step = abs(goal - self.last)
        if step > self.step and servo.on:
            self.step = step
        if step:
            self.moved = time.monotonic()
        self.last, self.lowest, self.highest = goal, min(self.lowest, goal), max(self.highest, goal)


class ServoBus:
    """Sixteen servos (or `ids`) and their plant. As a context manager it runs in a thread; or call `run`."""

    def __init__(
        self,
        plant: Plant | None = None,
        ids: Iterable[int] | None = None,
        model: Model = FULL,
        baud: int = BAUD,
        fast: bool = True,
        latency: float = 0.0,
        link: str | Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """`plant`: the simulated joints, by default a LEAP hand's. `fast`: the firmware supports fast sync reads.
        `link`:
        path of the port, which persists when unplugged (default: a new one). `clock`: s, for servos and watchdogs.
        """
        table = joint_table("leap_right")
        ids = [j.motor_id for j in table] if ids is None else list(ids)
        self.plant = plant or Joints(tuple(j for j in table if j.motor_id in ids), servo=model.profile)
        self.servos = {ident: SimulatedServo(ident, model, baud) for ident in ids}
        self.fast, self.latency, self.clock = fast, latency, clock
        self.faults = Faults(self)
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.goals: dict[int, Goals] = {}  # id -> goals sent to it
        self.packets: dict[str, int] = {}  # number of packets per instruction
        self.now = self.last_heard = clock()
        self.still_since = time.monotonic()  # monotonic time since which no joint moves
        self.arrived = self.wire_free = (
            0.0  # monotonic times: of the last bytes received, of the end of the current transmission
        )
        self._folder = None if link else tempfile.TemporaryDirectory(prefix="dexhot-leap-")
        self.path = str(link or Path(self._folder.name) / "bus")  # type: ignore[union-attr]
        self.master: int | None = None
        self._drive: Drive | None = None
        self._listeners: dict[int, SimulatedServo] | None = (
            None  # cache by id, cleared when ids or baud rates may have changed
        )
        self._speed = 0
        self.plug()
        self._sense(0.0)
        for servo in self.servos.values():
            servo.start()

    # The cable

    def plug(self) -> None:
        """Make a new pseudo terminal at `path`. Raises BusError if `path` exists and is not a link to one."""
        self._unlink()
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.decoder = protocol.Decoder()
        os.symlink(os.ttyname(self._slave), self.path)

    def unplug(self) -> None:
        """Remove the port; the servos stay powered."""
        if self.master is not None:
            os.close(self.master)
            os.close(self._slave)
            self._unlink()
        self.master = None

    def _unlink(self) -> None:
        """Remove the link to a pseudo terminal at `path`, ours or a killed simulation's; nothing else."""
        path = Path(self.path)
        if path.is_symlink() and os.readlink(path).startswith("/dev/pts/"):
            path.unlink()
        elif path.is_symlink() or path.exists():
            raise BusError(f"{path} exists and is not the link of a simulated bus; choose another path.")

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="servo bus", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._thread.join()
        self.unplug()
        if self._folder:
            self._folder.cleanup()

    def run(self) -> None:
        """Serve until `stopped` is set."""
        while not self.stopped.is_set():
            master = self.master
            if master is None:
                self.stopped.wait(IDLE)
            else:
                with suppress(OSError, ValueError):  # unplugged in the meantime
                    select.select([master], [], [], IDLE)
            with self.lock:
                self._advance()
                if self.master is None or self.master != master:
                    continue
                if foreign := self.faults.foreign_bytes():
                    self._emit(foreign)
                try:
                    data = os.read(self.master, 4096)
                except BlockingIOError:
                    continue
                now = time.monotonic()
                if now - self.arrived > GAP:
                    self.decoder.buffer = b""
                self.arrived = now
                for ident, body in self.decoder.feed(data):
                    self._serve(ident, body)

    # The servos

    def _advance(self) -> None:
        """Advance the plant to the present, under the previous commands."""
        now = self.clock()
        dt, self.now = now - self.now, now
        if self._drive is None:
            self._drive = Drive(*np.array([s.drive() for s in self.servos.values()]).T.copy())
        self.plant.advance(dt, self._drive)
        if np.abs(self.plant.velocity).max() > STILL:
            self.still_since = time.monotonic()
        self._sense(dt)

    def _sense(self, dt: float) -> None:
        states = zip(self.plant.angle.tolist(), self.plant.velocity.tolist(), self.plant.torque.tolist())
        for servo, state in zip(self.servos.values(), states):
            servo.sense(*state)
            if servo.due(dt) and servo.housekeeping(self.now - self.last_heard):
                self._drive = None

    def listening(self, ident: int) -> SimulatedServo | None:
        """The live servo with this id and the port's baud rate. (`servos` is ordered by joint.)"""
        if self._listeners is None:
            alive = [servo for place, servo in self.servos.items() if place not in self.faults.dead]
            heard = [servo for servo in alive if BAUD_RATES[servo.get("baud_rate")] == self.speed()]
            self._listeners = {servo.get("id"): servo for servo in heard}
        return self._listeners.get(ident)

    def speed(self) -> int:
        """Baud rate of the open port."""
        return SPEEDS.get(termios.tcgetattr(self.master)[4], 0) if self.master is not None else 0

    # The wire

    def _serve(self, ident: int, body: bytes) -> None:
        """Execute one instruction packet and reply."""
        speed = self.speed()
        if speed != self._speed:
            self._speed, self._listeners = speed, None
        if speed not in {BAUD_RATES[s.get("baud_rate")] for s in self.servos.values()}:
            return  # noise to every servo
        self.last_heard = self.now
        code, parameters = body[0], body[1:]
        name = Instruction(code).name if code in set(Instruction) else "unknown"
        self.packets[name] = self.packets.get(name, 0) + 1
        try:
            answers = self.faults.on_the_wire(self._answers(ident, code, parameters))
        except struct.error:  # parameters are missing
            answers = [] if ident == BROADCAST else [protocol.status(ident, Refusal.LENGTH)]
        length = len(body) + 9 + sum(map(len, answers))
        delay = sum(self._return_delay() for _ in answers)
        begin = max(self.arrived, self.wire_free)
        self.wire_free = begin + length * BITS / speed + delay
        self._send(b"".join(answers))

    def _return_delay(self) -> float:
        row = REGISTERS["return_delay_time"]
        return max(servo.get(row.name) for servo in self.servos.values()) * row.scale

    def _send(self, data: bytes) -> None:
        """Send after the transmission time; the adapter may hold back a partial USB packet."""
        full = len(data) // USB_PACKET * USB_PACKET if self.latency else len(data)
        for part, due in ((data[:full], self.wire_free), (data[full:], self.wire_free + self.latency)):
            if part:
                time.sleep(max(0.0, due - time.monotonic()))
                self._emit(part)

    def _emit(self, data: bytes) -> None:
        assert self.master is not None
        with suppress(BlockingIOError):  # no reader: the bytes are lost, as on a real bus
            os.write(self.master, data)

    def _answers(self, ident: int, code: int, parameters: bytes) -> list[bytes]:
        """Status packets in reply to the instruction, in order."""
        if code == Instruction.PING:
            return [self._ping(s) for i in self._addressed(ident) if (s := self.listening(i))]
        if code in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
            return self._sync_read(parameters, code == Instruction.FAST_SYNC_READ)
        if code == Instruction.SYNC_WRITE:
            self._sync_write(parameters)
            return []
        replies = []
        for i in self._addressed(ident):
            if servo := self.listening(i):
                error, data = self._single(servo, code, parameters)
                if ident != BROADCAST:
                    replies.append(protocol.status(i, servo.error | error, data))
        return replies

    def _addressed(self, ident: int) -> list[int]:
        return [servo.get("id") for servo in self.servos.values()] if ident == BROADCAST else [ident]

    def _ping(self, servo: SimulatedServo) -> bytes:
        data = struct.pack("<HB", servo.get("model_number"), servo.get("firmware_version"))
        return protocol.status(servo.get("id"), servo.error, data)

    def _single(self, servo: SimulatedServo, code: int, parameters: bytes) -> tuple[int, bytes]:
        if code == Instruction.READ:
            data = servo.read(*struct.unpack("<HH", parameters[:4]))
            return (Refusal.NONE, data) if data is not None else (Refusal.RANGE, b"")
        if code == Instruction.WRITE:
            return self._write(servo, int.from_bytes(parameters[:2], "little"), parameters[2:]), b""
        if code == Instruction.REBOOT:
            servo.start()
            self._drive = None
            return Refusal.NONE, b""
        return Refusal.INSTRUCTION, b""

    def _write(self, servo: SimulatedServo, address: int, data: bytes) -> Refusal:
        self._drive = None
        if address < RAM:
            self._listeners = None
        row = REGISTERS["goal_position"]
        if address == row.address and len(data) == row.size:
            goal, ident = row.unpack(data), servo.get("id")
            if ident not in self.goals:
                self.goals[ident] = Goals(goal, goal, goal)
            self.goals[ident].see(goal, servo)
            if ident in self.faults.deaf:
                return Refusal.NONE
        return servo.write(address, data)

    def _sync_write(self, parameters: bytes) -> None:
        address, length = struct.unpack("<HH", parameters[:4])
        for at in range(4, len(parameters), length + 1):
            if servo := self.listening(parameters[at]):
                self._write(servo, address, parameters[at + 1 : at + 1 + length])

    def _sync_read(self, parameters: bytes, fast: bool) -> list[bytes]:
        """Each servo replies after the previous one: after a silent one, none replies."""
        if fast and not self.fast:
            return []
        address, length = struct.unpack("<HH", parameters[:4])
        answers: list[tuple[int, int, bytes]] = []
        for ident in parameters[4:]:
            servo = self.listening(ident)
            if servo is None:
                break
            answers.append((ident, servo.error, servo.read(address, length) or b""))
        if self.faults.swapped:
            answers.reverse()
        if fast:
            return [protocol.fast_status(answers, len(parameters) - 4)]
        return [protocol.status(*answer) for answer in answers]
