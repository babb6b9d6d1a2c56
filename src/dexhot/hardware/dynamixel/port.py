"""The serial port under the vendor's SDK. Importing it needs the extra `hardware`."""

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dexhot.hardware.dynamixel.errors import BusError
from dexhot.hardware.dynamixel.protocol import HEADER, Decoder, Instruction, packet
from dexhot.hardware.dynamixel.sdk import sdk, serial

BY_ID = Path("/dev/serial/by-id")
USB_SERIAL = Path("/sys/bus/usb-serial/devices")
WRITE_TIMEOUT = 0.05  # s
UNHURRIED = 60.0  # ms
INSTRUCTION_AT = 7  # of a packet's bytes
TALK = 1.0  # s that a line may go on talking when it is opened


def find_port() -> str:
    """The one USB serial adapter of this machine. Raises BusError when there is none, or several."""
    found = sorted(str(p) for p in BY_ID.glob("*")) if BY_ID.is_dir() else []
    if len(found) != 1:
        raise BusError(
            f"{len(found)} USB serial adapters found ({', '.join(found) or 'none'}): plug in the hand or name its port."
        )
    return found[0]


def latency_timer(path: str) -> int | None:
    """The FTDI latency timer behind `path` in ms, set to 1 if we may; None for a port that has none."""
    file = USB_SERIAL / Path(os.path.realpath(path)).name / "latency_timer"
    if not file.exists():
        return None
    with suppress(OSError):  # not ours to write: the timeouts follow what it is
        file.write_text("1")
    return int(file.read_text())


def foreign_packets(heard: bytes, sent: bytes) -> int:
    """How many whole packets in the bytes `heard` are instructions, and not the echo of what was `sent` last.

    Servos only ever answer, so these are another master's.
    """
    at = heard.find(HEADER)
    while at >= 0:  # cheap: nearly always the one answer that was asked for
        if heard[at + INSTRUCTION_AT : at + INSTRUCTION_AT + 1] not in (b"", bytes([Instruction.STATUS])):
            packets = Decoder().feed(heard)
            return sum(body[0] != Instruction.STATUS and packet(ident, body) != sent for ident, body in packets)
        at = heard.find(HEADER, at + len(HEADER))
    return 0


class Port(sdk.PortHandler):  # type: ignore[misc]  # the SDK has no types
    """The SDK's port with five differences.

    It sleeps until bytes come, where the SDK spins; its timeouts know the adapter's own latency, where the SDK reckons
    with 16 ms (LATENCY_TIMER) and waits 34 for a lost packet; they run on the steady clock; one process alone has
    the port; and it counts the instructions of others on the bus, which the SDK skips (`foreign`).
    """

    def __init__(self, path: str, baud: int):
        super().__init__(path)
        self.baudrate = baud
        self.latency = latency_timer(path) or 1  # ms
        self.slack = 2.0 * self.latency + 2.0  # ms that an answer may take beyond its time on the wire
        self.foreign = 0  # whole packets that only another master can have sent
        self._heard, self._sent = bytearray(), b""

    def open(self) -> None:
        """Open the port. Raises BusError."""
        try:
            self.openPort()
        except (serial.SerialException, OSError) as e:
            raise BusError(
                f"the serial port {self.port_name} cannot be opened ({e}); is it plugged in, is your user in the group "
                "`dialout`, and does no other driver hold it?"
            ) from e
        end = time.monotonic() + TALK
        while time.monotonic() < end and select.select([self.ser.fd], [], [], UNHURRIED / 1e3)[0]:
            os.read(self.ser.fd, 4096)  # answers to whoever had the port before

    def setupPort(self, cflag_baud: int) -> bool:
        self.ser = serial.Serial(self.port_name, self.baudrate, timeout=0, exclusive=True)
        self.is_open = True
        self.ser.reset_input_buffer()
        self.tx_time_per_byte = 10e3 / self.baudrate  # ms
        return True

    def readPort(self, length: int) -> bytes:
        left = self.packet_timeout - self.getTimeSinceStart()
        if length == 0 or not select.select([self.ser.fd], [], [], max(left, 0.0) / 1e3)[0]:
            return b""
        data = os.read(self.ser.fd, length)
        if not data:
            raise OSError("end of file")
        self._heard += data
        return data

    def clearPort(self) -> None:
        """Before a packet is sent: throw away what came unasked, after a look at it."""
        with suppress(BlockingIOError):
            while data := os.read(self.ser.fd, 4096):
                self._heard += data
        self.foreign += foreign_packets(bytes(self._heard), self._sent)
        self._heard.clear()

    def settle(self) -> None:
        """Let an answer that is late come; the next packet sent throws it away."""
        time.sleep(self.slack / 1e3)

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Within, answers may take long: what is found out now must not be a matter of the machine's load."""
        slack, self.slack = self.slack, max(self.slack, UNHURRIED)
        try:
            yield
        finally:
            self.slack = slack

    def writePort(self, text: list[int]) -> int:
        if not select.select([], [self.ser.fd], [], WRITE_TIMEOUT)[1]:
            raise OSError("it takes no more bytes")
        self._sent = bytes(text)
        return os.write(self.ser.fd, self._sent)

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + self.slack)

    def getCurrentTime(self) -> float:
        return time.monotonic() * 1e3
