"""The servos of one bus by register name, over the vendor's SDK. Importing it needs the extra `hardware`.

The SDK's group reads discard each servo's error byte and stop at the first bad packet; these do neither.
"""

import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import gcd
from typing import Any

import numpy as np

from dexhot.hardware.dynamixel.errors import BusError, SilenceError, UnpluggedError
from dexhot.hardware.dynamixel.port import Port
from dexhot.hardware.dynamixel.protocol import ALERT, Refusal
from dexhot.hardware.dynamixel.registers import Block, register
from dexhot.hardware.dynamixel.sdk import sdk, serial

TRIES = 5
ID, LENGTH, DATA = 4, 5, 9  # offsets in a status packet
STATUS_OVERHEAD = 4  # counted in its length in addition to the data: instruction, error, CRC
PING_DATA, PING_ANSWER = 3, 14  # bytes of model and firmware, and of the whole reply
STALE = 3  # unrelated replies without a good one in between that indicate a fault
FAST_OVERHEAD = 4  # bytes around each servo's data in a fast sync read: error, id, CRC


@cache
def _strides(n: int) -> list[int]:
    """Step sizes that visit n positions once each."""
    return [step for step in range(1, max(n, 2)) if gcd(step, n) == 1]


def in_order(ids: list[int], number: int) -> list[int]:
    """`ids` in an order that depends on `number`: with 16 ids it repeats after 128."""
    n, steps = len(ids), _strides(len(ids))
    step = steps[number // n % len(steps)]
    return [ids[(number + step * k) % n] for k in range(n)]


class Servos:
    """Registers of the servos `ids` behind an open port, in counts. Every call raises BusError.

    `alerts`: ids whose last packet had the alert bit. `garbled`: ids whose reply to a ping was corrupt.
    `failures`: bad or missing packets so far. `stale`: valid packets that do not match the last request.
    """

    def __init__(self, port: Port, ids: Sequence[int]):
        self.port, self.ids = port, list(ids)
        self.fast = True  # the firmware is assumed to support fast sync reads
        self.alerts: set[int] = set()
        self.failures = self.stale = 0
        self.garbled: set[int] = set()
        self._asked = self._stale_when_good = 0  # group reads so far; `stale` at the last one with a reply
        self._result = sdk.COMM_SUCCESS
        self._handler = sdk.PacketHandler(2.0)

    def ping(self, ident: int, tries: int = 2) -> int | None:
        """Model number of a servo; None without a reply."""

        def ask() -> tuple[int, int, int]:
            text = [0] * 4 + [ident, 3, 0, sdk.INST_PING, 0, 0]
            if result := self._handler.txPacket(self.port, text):
                return 0, result, 0
            self.port.setPacketTimeout(PING_ANSWER)
            data, result, error = self._receive(ident, PING_DATA)
            return int.from_bytes(data[:2], "little"), result, error

        with self._link():
            number: int | None = self._tried(ask, tries)[0]
        if number is None and self._result == sdk.COMM_RX_CORRUPT:
            self.garbled.add(ident)
        elif number is not None:
            self.garbled.discard(ident)
        return number

    def read(self, ident: int, name: str) -> int:
        row = register(name)
        return row.unpack(self.read_block(ident, Block((name,))))

    def read_block(self, ident: int, block: Block) -> bytes:
        def ask() -> tuple[bytes, int, int]:
            result = self._handler.readTx(self.port, ident, block.address, block.length)
            return self._receive(ident, block.length) if result == sdk.COMM_SUCCESS else (b"", result, 0)

        data: bytes | None
        with self._link():
            data, error = self._tried(ask)
        if data is None:
            raise SilenceError(self.silence([ident]))
        self._note(ident, error)
        return data

    def write(self, ident: int, name: str, value: int) -> None:
        """Write one register and check its acknowledgement."""
        row = register(name)
        data = list(row.pack(value))
        with self._link():
            answer, error = self._tried(
                lambda: (True, *self._handler.writeTxRx(self.port, ident, row.address, row.size, data))
            )
        if answer is None:
            raise SilenceError(self.silence([ident]))
        self._note(ident, error)
        if error & ~ALERT:
            raise BusError(f"servo {ident} rejects {name} = {value}: {Refusal(error & ~ALERT).name.lower()} error.")

    def reboot(self, ident: int) -> None:
        """Reboot a servo, the only way to clear an overload; its RAM is reset and its torque off."""
        with self._link():
            self._handler.reboot(self.port, ident)
        self.alerts.discard(ident)

    def read_all(self, name: str) -> np.ndarray:
        """(n,) counts of one register of all servos."""
        row = register(name)
        return np.array([row.unpack(data) for data in self.read_blocks(Block((name,)))])

    def read_blocks(self, block: Block) -> list[bytes]:
        """Bytes of a block of all servos. A retry first waits until late replies must have arrived."""
        got = self.poll(block, TRIES, settle=True)
        if len(got) < len(self.ids):
            raise SilenceError(self.silence([i for i in self.ids if i not in got]))
        return [got[i] for i in self.ids]

    def poll(self, block: Block, tries: int, settle: bool = False) -> dict[int, bytes]:
        """Bytes of a block of the servos with a valid reply within `tries` attempts."""
        got = self.group_read(block, self.ids)
        for _ in range(tries - 1):
            if len(got) < len(self.ids):
                if settle:
                    self.port.settle()
                got |= self.group_read(block, [i for i in self.ids if i not in got])
        return got

    def read_once(self, name: str) -> bool:
        """Whether one group read of `name` reaches all servos."""
        return len(self.group_read(Block((name,)), self.ids)) == len(self.ids)

    def set_all(self, name: str, values: int | np.ndarray) -> None:
        """Set one register of all servos to `values`, acknowledged; only differing values are written."""
        wanted = np.broadcast_to(values, len(self.ids))
        for ident, found, value in zip(self.ids, self.read_all(name), wanted):
            if found != value:
                self.write(ident, name, int(value))

    def write_all(self, name: str, values: Sequence[int]) -> None:
        """One sync write, which is not acknowledged."""
        row = register(name)
        text = [byte for ident, value in zip(self.ids, values) for byte in (ident, *row.pack(value))]
        with self._link():
            self._handler.syncWriteTxOnly(self.port, row.address, row.size, text, len(text))

    def group_read(self, block: Block, ids: list[int]) -> dict[int, bytes]:
        """One sync read; bytes of the servos with a valid reply.

        Every read uses another order of ids, which the replies must keep: this detects late and repeated replies.
        """
        self._asked += 1
        ids = in_order(ids, self._asked)
        with self._link():
            if self._handler.syncReadTx(self.port, block.address, block.length, ids, len(ids), self.fast):
                return {}
            got = self._fast_answers(block, ids) if self.fast else self._answers(block, ids)
        if len(got) == len(ids):
            self._stale_when_good = self.stale
        return got

    def _answers(self, block: Block, ids: list[int]) -> dict[int, bytes]:
        got, stale = {}, self.stale
        for ident in ids:
            data, result, error = self._receive(ident, block.length)
            if result == sdk.COMM_SUCCESS and self.stale == stale:
                got[ident] = data
                self._note(ident, error)
                continue
            self.failures += 1
            if self.stale > stale:
                return {}  # it is unknown which of them reply to this request
            if result == sdk.COMM_RX_TIMEOUT:
                break  # those after a silent one do not reply either
        return got

    def _receive(self, ident: int, length: int) -> tuple[bytes, int, int]:
        """(data, result, error) of the next status packet with this id and length; late ones are skipped."""
        while True:
            text, result = self._handler.rxPacket(self.port, False)
            if result != sdk.COMM_SUCCESS:
                return b"", result, 0
            if text[ID] == ident and text[LENGTH] + 256 * text[LENGTH + 1] == length + STATUS_OVERHEAD:
                return bytes(text[DATA : DATA + length]), result, text[DATA - 1]
            self.stale += 1

    def _fast_answers(self, block: Block, ids: list[int]) -> dict[int, bytes]:
        size = block.length + FAST_OVERHEAD
        while True:
            data, result, _ = self._handler.fastSyncReadRx(self.port, sdk.BROADCAST_ID, size * len(ids))
            if result:
                self.failures += 1
                return {}
            parts = [bytes(data[at : at + size]) for at in range(0, len(data), size)]
            if len(data) == size * len(ids) and [part[1] for part in parts] == ids:
                break
            self.stale += 1  # the reply to another request: the right one may follow
        for part in parts:
            self._note(part[1], part[0])
        return {part[1]: part[2 : 2 + block.length] for part in parts}

    def silence(self, ids: list[int]) -> str:
        """Error message for servos that did not reply; pings each of them."""
        if self.stale - self._stale_when_good >= STALE:
            return (
                "the replies on the bus do not match the requests: they are repeated or late. Unplug the adapter and "
                "plug it in again; is it connected through a network or a second program?"
            )
        self.garbled.clear()
        dead = [i for i in ids if self.ping(i, tries=1) is None]
        if len(dead) < len(self.ids):
            dead = [i for i in dead if self.ping(i) is None]
        if self.garbled:
            return f"servos {sorted(self.garbled)} send garbled replies: duplicate ids on the bus, or a bad cable."
        if len(dead) == len(self.ids):
            return f"no servo replies on {self.port.port_name}: is the hand powered, and the bus cable connected?"
        if dead:
            return f"servos {dead} do not reply, the others do: check their cables and ids."
        return f"servos {ids} reply individually, but their group reads fail: noise on the bus, or duplicate ids."

    def _note(self, ident: int, error: int) -> None:
        if error & ALERT:
            self.alerts.add(ident)
        else:
            self.alerts.discard(ident)

    def _tried(self, ask: Callable[[], tuple[Any, int, int]], tries: int = TRIES) -> tuple[Any, int]:
        """Repeat `ask()` -> (reply, result, error) until the result is good: (reply, error), or (None, 0)."""
        for left in reversed(range(tries)):
            answer, self._result, error = ask()
            if self._result == sdk.COMM_SUCCESS:
                return answer, error
            self.failures += 1
            if left:
                self.port.settle()
        return None, 0

    @contextmanager
    def _link(self) -> Iterator[None]:
        """Convert errors of an unplugged port into one; clear the SDK's busy flag."""
        try:
            yield
        except (serial.SerialException, OSError, termios.error) as e:
            raise UnpluggedError(self.port.port_name, e) from e
        finally:
            self.port.is_using = False
