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

FOREIGN_STEP = 5  # counts between successive goals of another program


class Faults:
    """The faults of one bus. Every public method except `inject`, `on_the_wire` and `foreign_bytes` is a fault; their
    arguments are numbers."""

    def __init__(self, bus: "ServoBus"):
        self._bus = bus
        self._random = random.Random(0)
        self.dead: set[int] = set()
        self.doubled: set[int] = set()
        self.deaf: set[int] = set()
        self.swapped = False
        self.noise_fraction = self.drop_fraction = 0.0
        self._repeated: list[bytes] | None = None  # reply sent in place of all others
        self._late: deque[list[bytes]] = deque()  # replies delayed until the next request
        self._foreign_period = self._foreign_due = 0.0  # s, and monotonic time
        self._foreign_goals = False

    def inject(self, line: str) -> None:
        """Inject the fault `line`: a name in NAMES and its numbers. Raises NotFoundError, DexhotError."""
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
        """The status packets as received: some lost, some with a flipped bit, some collided, or from another
        request."""
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
                data = data[:5] + bytes(a & b for a, b in zip(data[5:], data[4:]))  # wired-AND of two transmitters
            if data and self._random.random() < self.noise_fraction:
                at = self._random.randrange(8, len(data))
                data = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
            arrived.append(data)
        return arrived

    def foreign_bytes(self) -> bytes:
        """Bytes of a second master received by our adapter; a program that shares our adapter is not received."""
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
        """ID: the servo is dead: no replies, no torque."""
        self.dead.add(int(ident))
        self._bus.servos[int(ident)].start()

    def revive(self, ident: float) -> None:
        """ID: a dead servo works again, as after power-on."""
        self.dead.discard(int(ident))

    def double(self, ident: float) -> None:
        """ID: a second servo with this id replies at the same time."""
        self.doubled.add(int(ident))

    def single(self, ident: float) -> None:
        """ID: remove the second servo with this id."""
        self.doubled.discard(int(ident))

    def noise(self, fraction: float) -> None:
        """FRACTION of the status packets with a flipped bit."""
        self.noise_fraction = fraction

    def drop(self, fraction: float) -> None:
        """FRACTION of the status packets that are lost."""
        self.drop_fraction = fraction

    def overload(self, ident: float) -> None:
        """ID: the servo shuts down with an overload error."""
        self._bus.servos[int(ident)].fail("overload")

    def heat(self, ident: float, celsius: float) -> None:
        """ID CELSIUS: set the servo's temperature; afterwards it follows the motor current."""
        self._bus.servos[int(ident)].temperature = celsius

    def voltage(self, volts: float) -> None:
        """VOLTS: set the supply voltage."""
        for servo in self._bus.servos.values():
            servo.voltage = volts

    def baud(self, rate: float) -> None:
        """RATE: set the baud rate of all servos."""
        for servo in self._bus.servos.values():
            servo.put("baud_rate", BAUD_RATES.index(int(rate)))

    def torque(self, on: float, ident: float | None = None) -> None:
        """1 or 0 [ID]: switch torque on or off without the driver, for one servo or all."""
        for servo in self._bus.servos.values() if ident is None else [self._bus.servos[int(ident)]]:
            servo.put("torque_enable", int(on))

    def poke(self, ident: float, address: float, value: float) -> None:
        """ID ADDRESS VALUE: change a register without the driver."""
        row = next(row for row in REGISTERS.values() if row.address == int(address))
        self._bus.servos[int(ident)].put(row.name, int(value))

    def limp(self, ident: float) -> None:
        """ID: the motor gives no torque, regardless of its registers."""
        self._bus.servos[int(ident)].torqueless = True

    def brownout(self, ident: float) -> None:
        """ID: a supply dip restarts the servo."""
        self._bus.servos[int(ident)].start()

    def turn(self, ident: float, counts: float) -> None:
        """ID COUNTS: add an encoder offset; 4096 counts are one turn."""
        self._bus.servos[int(ident)].turned = int(counts)

    def freeze(self, ident: float) -> None:
        """ID: the encoder freezes at its present reading."""
        place = list(self._bus.servos).index(int(ident))
        self._bus.servos[int(ident)].frozen = float(self._bus.plant.angle[place])

    def slip(self, ident: float, angle: float) -> None:
        """ID RAD: the horn slips; the shaft turns by this angle in the closing direction."""
        self._joints.slip(list(self._bus.servos).index(int(ident)), angle)

    def block(self, ident: float) -> None:
        """ID: an object blocks the finger from closing further."""
        self._joints.block(list(self._bus.servos).index(int(ident)))

    @property
    def _joints(self) -> Joints:
        if not isinstance(self._bus.plant, Joints):
            raise ValueError("the joints of this bus belong to another simulation")
        return self._bus.plant

    def cure(self, ident: float) -> None:
        """ID: clear the encoder and motor faults of the servo."""
        servo = self._bus.servos[int(ident)]
        servo.turned, servo.frozen, servo.torqueless = 0, None, False

    def ignore(self, ident: float) -> None:
        """ID: the servo acknowledges goals without executing them."""
        self.deaf.add(int(ident))

    def swap(self, on: float) -> None:
        """1 or 0: servos reply to group reads in reverse order."""
        self.swapped = bool(on)

    def repeat(self, on: float) -> None:
        """1 or 0: repeat an old reply to every request."""
        self._repeated = [] if on else None

    def late(self, requests: float) -> None:
        """REQUESTS: delay every reply by this many requests."""
        self._late = deque([[]] * int(requests))

    def master(self, rate: float) -> None:
        """HZ: a second master with its own adapter reads a servo's position; 0: remove it."""
        self._foreign_period, self._foreign_goals = 1.0 / rate if rate else 0.0, False

    def steer(self, rate: float) -> None:
        """HZ: another program on the same adapter sends goals; 0: remove it."""
        self.master(rate)
        self._foreign_goals = True

    def replace(self, ident: float) -> None:
        """ID: replace the servo by a factory-new one: id 1 and 57600 baud."""
        model = self._bus.servos[int(ident)].model
        self._bus.servos[int(ident)] = SimulatedServo(FACTORY_ID, model, FACTORY_BAUD)

    def unplug(self) -> None:
        """Unplug the USB cable."""
        self._bus.unplug()

    def replug(self) -> None:
        """Plug the USB cable in again."""
        if self._bus.master is None:
            self._bus.plug()


NAMES: dict[str, Callable[..., None]] = {
    name: fault
    for name, fault in vars(Faults).items()
    if name[0] != "_" and name not in ("inject", "on_the_wire", "foreign_bytes")
}
