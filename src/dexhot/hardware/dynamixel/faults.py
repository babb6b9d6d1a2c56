"""Injectable faults of a servo bus, by name: `inject("overload 3")`."""

import random
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from dexhot.errors import DexhotError, NotFoundError
from dexhot.hardware.dynamixel.plant import Joints
from dexhot.hardware.dynamixel.protocol import BROADCAST, Instruction, packet, status
from dexhot.hardware.dynamixel.registers import BAUD_RATES, FACTORY_BAUD, FACTORY_ID, REGISTERS, register
from dexhot.hardware.dynamixel.servo import SimulatedServo

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.bus import ServoBus

FOREIGN_STEP = 5  # counts by which another program's goals move on


class Faults:
    """The faults of one bus. Every public method is a fault but `inject`, `on_the_wire` and `foreign_bytes`; their
    arguments are numbers."""

    def __init__(self, bus: "ServoBus"):
        self._bus = bus
        self._random = random.Random(0)
        self.dead: set[int] = set()
        self.doubled: set[int] = set()
        self.deaf: set[int] = set()
        self.swapped = False
        self.noise_fraction = self.drop_fraction = 0.0
        self._repeated: list[bytes] | None = None  # answers that come for all others
        self._late: deque[list[bytes]] = deque()  # answers that wait for the next request
        self._foreign_period = self._foreign_due = 0.0  # s, and steady time
        self._foreign_goals = False

    def inject(self, line: str) -> None:
        """Bring about `line`: a name of NAMES and its numbers. Raises NotFoundError, DexhotError."""
        name, *words = line.split()
        if name not in NAMES:
            raise NotFoundError("fault", name, NAMES)
        with self._bus.lock:
            try:
                NAMES[name](self, *map(float, words))
            except (TypeError, ValueError, KeyError) as e:
                raise DexhotError(f"{line!r} cannot be injected ({e}); {name}: {NAMES[name].__doc__}") from e
            self._bus._drive = self._bus._listeners = None

    def on_the_wire(self, answers: list[bytes]) -> list[bytes]:
        """The status packets as they arrive: some lost, some with a wrong bit, collided ones garbled, or not theirs."""
        if self._repeated is not None:
            self._repeated = self._repeated or answers
            answers = self._repeated if answers else []
        elif self._late and answers:
            self._late.append(answers)
            answers = self._late.popleft()
        arrived = []
        for data in answers:
            if self._random.random() < self.drop_fraction:
                continue
            if self.doubled and data and data[4] in self.doubled | {BROADCAST}:
                data = data[:5] + bytes(a & b for a, b in zip(data[5:], data[4:]))  # two drivers pull the line low
            if data and self._random.random() < self.noise_fraction:
                at = self._random.randrange(8, len(data))
                data = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
            arrived.append(data)
        return arrived

    def foreign_bytes(self) -> bytes:
        """What a second master now makes of the wire, as our adapter hears it; one that shares ours is not heard."""
        if not self._foreign_period or time.monotonic() < self._foreign_due:
            return b""
        self._foreign_due = time.monotonic() + self._foreign_period
        if self._foreign_goals:
            for servo in self._bus.servos.values():
                servo.put("goal_position", servo.get("goal_position") + FOREIGN_STEP)
            self._bus._drive = None
            return b""
        servo, present = self._bus.servos[0], register("present_position")
        read = struct.pack("<BHH", Instruction.READ, present.address, present.size)
        return packet(0, read) + status(0, servo.error, present.pack(servo.get(present.name)))

    def kill(self, ident: float) -> None:
        """ID: the servo falls silent and limp."""
        self.dead.add(int(ident))
        self._bus.servos[int(ident)].start()

    def revive(self, ident: float) -> None:
        """ID: a silent servo is back, as after power-on."""
        self.dead.discard(int(ident))

    def double(self, ident: float) -> None:
        """ID: a second servo of this id answers at the same time."""
        self.doubled.add(int(ident))

    def single(self, ident: float) -> None:
        """ID: the second servo of this id is gone again."""
        self.doubled.discard(int(ident))

    def noise(self, fraction: float) -> None:
        """FRACTION of the status packets have a wrong bit."""
        self.noise_fraction = fraction

    def drop(self, fraction: float) -> None:
        """FRACTION of the status packets are lost."""
        self.drop_fraction = fraction

    def overload(self, ident: float) -> None:
        """ID: the servo shuts down with an overload."""
        self._bus.servos[int(ident)].fail("overload")

    def heat(self, ident: float, celsius: float) -> None:
        """ID CELSIUS: the servo is that warm; from then on it cools or warms as its current has it."""
        self._bus.servos[int(ident)].temperature = celsius

    def voltage(self, volts: float) -> None:
        """VOLTS of the supply."""
        for servo in self._bus.servos.values():
            servo.voltage = volts

    def baud(self, rate: float) -> None:
        """RATE that all servos listen at."""
        for servo in self._bus.servos.values():
            servo.put("baud_rate", BAUD_RATES.index(int(rate)))

    def torque(self, on: float, ident: float | None = None) -> None:
        """1 or 0 [ID]: torque on or off behind the driver's back, of one servo or all."""
        for servo in self._bus.servos.values() if ident is None else [self._bus.servos[int(ident)]]:
            servo.put("torque_enable", int(on))

    def poke(self, ident: float, address: float, value: float) -> None:
        """ID ADDRESS VALUE: a register is changed behind the driver's back."""
        row = next(row for row in REGISTERS.values() if row.address == int(address))
        self._bus.servos[int(ident)].put(row.name, int(value))

    def limp(self, ident: float) -> None:
        """ID: the motor gives no torque, whatever its registers say."""
        self._bus.servos[int(ident)].torqueless = True

    def brownout(self, ident: float) -> None:
        """ID: the servo's supply breaks down for a moment: it restarts."""
        self._bus.servos[int(ident)].start()

    def turn(self, ident: float, counts: float) -> None:
        """ID COUNTS: from now on the encoder reads so much too much; 4096 are a turn."""
        self._bus.servos[int(ident)].turned = int(counts)

    def freeze(self, ident: float) -> None:
        """ID: the encoder reads what it reads now, whatever moves."""
        place = list(self._bus.servos).index(int(ident))
        self._bus.servos[int(ident)].frozen = float(self._bus.plant.angle[place])

    def slip(self, ident: float, angle: float) -> None:
        """ID RAD: the horn slips on its shaft, which turns on by so much in the closing direction."""
        self._joints.slip(list(self._bus.servos).index(int(ident)), angle)

    def block(self, ident: float) -> None:
        """ID: an object stands in the way of the finger's closing, where it is now."""
        self._joints.block(list(self._bus.servos).index(int(ident)))

    @property
    def _joints(self) -> Joints:
        if not isinstance(self._bus.plant, Joints):
            raise ValueError("what moves behind this bus is another simulation's")
        return self._bus.plant

    def cure(self, ident: float) -> None:
        """ID: encoder and motor of the servo are sound again."""
        servo = self._bus.servos[int(ident)]
        servo.turned, servo.frozen, servo.torqueless = 0, None, False

    def ignore(self, ident: float) -> None:
        """ID: the servo acknowledges goals and does not take them."""
        self.deaf.add(int(ident))

    def swap(self, on: float) -> None:
        """1 or 0: servos answer group reads in the opposite of the order that they were asked in."""
        self.swapped = bool(on)

    def repeat(self, on: float) -> None:
        """1 or 0: whatever is asked, the same old answer comes again and again."""
        self._repeated = [] if on else None

    def late(self, requests: float) -> None:
        """REQUESTS: every answer comes so many requests late."""
        self._late = deque([[]] * int(requests))

    def master(self, rate: float) -> None:
        """HZ: a second master, with an adapter of its own, reads a servo's position; 0: it is gone."""
        self._foreign_period, self._foreign_goals = 1.0 / rate if rate else 0.0, False

    def steer(self, rate: float) -> None:
        """HZ: another program on the same adapter sends the servos goals; 0: it is gone."""
        self.master(rate)
        self._foreign_goals = True

    def replace(self, ident: float) -> None:
        """ID: the servo there is a new one, as it comes: id 1 and 57600 baud."""
        model = self._bus.servos[int(ident)].model
        self._bus.servos[int(ident)] = SimulatedServo(FACTORY_ID, model, FACTORY_BAUD)

    def unplug(self) -> None:
        """Pull the USB cable."""
        self._bus.unplug()

    def replug(self) -> None:
        """Put the USB cable back."""
        if self._bus.master is None:
            self._bus.plug()


NAMES: dict[str, Callable[..., None]] = {
    name: fault
    for name, fault in vars(Faults).items()
    if name[0] != "_" and name not in ("inject", "on_the_wire", "foreign_bytes")
}
