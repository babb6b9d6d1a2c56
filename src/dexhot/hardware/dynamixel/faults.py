"""What can go wrong on a servo bus, to be brought about by name: `inject("overload 3")`."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from dexhot.errors import DexhotError, NotFoundError
from dexhot.hardware.dynamixel.protocol import BROADCAST
from dexhot.hardware.dynamixel.registers import BAUD_RATES

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.bus import ServoBus


class Faults:
    """The faults of one bus. Every method but `inject` and `on_the_wire` is a fault; their arguments are numbers."""

    def __init__(self, bus: "ServoBus"):
        self._bus = bus
        self._random = random.Random(0)
        self.dead: set[int] = set()
        self.doubled: set[int] = set()
        self.noise_fraction = self.drop_fraction = 0.0

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
            self._bus._drive = None

    def on_the_wire(self, answers: list[bytes]) -> list[bytes]:
        """The status packets as they arrive: some lost, some with a wrong bit, collided ones garbled."""
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

    def torque(self, on: float) -> None:
        """1 or 0: all torque on or off behind the driver's back."""
        for servo in self._bus.servos.values():
            servo.put("torque_enable", int(on))

    def unplug(self) -> None:
        """Pull the USB cable."""
        self._bus.unplug()

    def replug(self) -> None:
        """Put the USB cable back."""
        if self._bus.master is None:
            self._bus.plug()


NAMES: dict[str, Callable[..., None]] = {
    name: fault for name, fault in vars(Faults).items() if name[0] != "_" and name not in ("inject", "on_the_wire")
}
