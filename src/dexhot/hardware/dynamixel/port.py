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
INSTRUCTION_AT = 7  # offset of the instruction in a packet
TALK = 1.0  # s, maximum time of discarding incoming bytes when the port is opened


def find_port() -> str:
    """The one USB serial adapter of this machine. Raises BusError if there is none, or several."""
    found = sorted(str(p) for p in BY_ID.glob("*")) if BY_ID.is_dir() else []
    if len(found) != 1:
        raise BusError(
            f"{len(found)} USB serial adapters found ({', '.join(found) or 'none'}): plug in the hand or give its port."
        )
    return found[0]


def latency_timer(path: str) -> int | None:
    """The FTDI latency timer behind `path` in ms, set to 1 if permitted; None for a port without one."""
    file = USB_SERIAL / Path(os.path.realpath(path)).name / "latency_timer"
    if not file.exists():
        return None
    with suppress(OSError):  # no permission: the timeouts use the present value
        file.write_text("1")
    return int(file.read_text())


def foreign_packets(heard: bytes, sent: bytes) -> int:
    """Number of complete instruction packets in the bytes `heard`, except the echo of the last `sent` packet.

    Servos only reply, so instructions come from another master.
    """
    at = heard.find(HEADER)
    while at >= 0:  # cheap: usually there is only the expected reply
        if heard[at + INSTRUCTION_AT : at + INSTRUCTION_AT + 1] not in (b"", bytes([Instruction.STATUS])):
            packets = Decoder().feed(heard)
            return sum(body[0] != Instruction.STATUS and packet(ident, body) != sent for ident, body in packets)
        at = heard.find(HEADER, at + len(HEADER))
    return 0


class Port(sdk.PortHandler):  # type: ignore[misc]  # the SDK has no types
    """The SDK's port with five changes.

    It sleeps until bytes arrive, where the SDK busy-waits; its timeouts use the adapter's actual latency, where the SDK
    assumes 16 ms (LATENCY_TIMER) and waits 34 ms for a lost packet; they run on the monotonic clock; the port is locked
    to one process; and it counts the instructions of other masters, which the SDK skips (`foreign`).
    """

    def __init__(self, path: str, baud: int):
        super().__init__(path)
        self.baudrate = baud
        self.latency = latency_timer(path) or 1  # ms
        self.slack = 2.0 * self.latency + 2.0  # ms, reply timeout beyond the transmission time
        self.foreign = 0  # complete packets from another master
        self._heard, self._sent = bytearray(), b""

    def open(self) -> None:
        """Open the port. Raises BusError."""
        try:
            self.openPort()
        except (serial.SerialException, OSError) as e:
            raise BusError(
                f"the serial port {self.port_name} cannot be opened ({e}); is it plugged in, is your user in the group "
                "`dialout`, and is no other driver using it?"
            ) from e
        end = time.monotonic() + TALK
        while time.monotonic() < end and select.select([self.ser.fd], [], [], UNHURRIED / 1e3)[0]:
            os.read(self.ser.fd, 4096)  # replies to the previous user of the port

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
        """Before sending: inspect and discard unsolicited bytes."""
        with suppress(BlockingIOError):
            while data := os.read(self.ser.fd, 4096):
                self._heard += data
        self.foreign += foreign_packets(bytes(self._heard), self._sent)
        self._heard.clear()

    def settle(self) -> None:
        """Wait for a late reply; sending the next packet discards it."""
        time.sleep(self.slack / 1e3)

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Context manager with long reply timeouts, for checks that must not depend on the machine's load."""
        slack, self.slack = self.slack, max(self.slack, UNHURRIED)
        try:
            yield
        finally:
            self.slack = slack

    def writePort(self, text: list[int]) -> int:
        if not select.select([], [self.ser.fd], [], WRITE_TIMEOUT)[1]:
            raise OSError("the output buffer is full")
        self._sent = bytes(text)
        return os.write(self.ser.fd, self._sent)

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + self.slack)

    def getCurrentTime(self) -> float:
        return time.monotonic() * 1e3
