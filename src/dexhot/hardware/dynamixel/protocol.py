"""Dynamixel Protocol 2.0 as bytes: FF FF FD 00 | id | length | instruction | parameters | CRC16, all little endian."""

import struct
from enum import IntEnum

HEADER = b"\xff\xff\xfd\x00"
BROADCAST = 0xFE
LONGEST = 1024  # bytes, maximum length field of a packet
ALERT = 0x80  # bit of a status packet's error byte: hardware_error_status is not zero


class Instruction(IntEnum):
    """Instruction byte of a packet; STATUS for replies."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92


class Refusal(IntEnum):
    """Error byte of a status packet, without the alert bit."""

    NONE = 0
    RESULT = 1
    INSTRUCTION = 2
    CRC = 3
    RANGE = 4
    LENGTH = 5
    LIMIT = 6
    ACCESS = 7


def _crc_row(value: int) -> int:
    crc = value << 8
    for _ in range(8):
        crc = (crc << 1) ^ 0x8005 if crc & 0x8000 else crc << 1
    return crc & 0xFFFF


_CRC = tuple(_crc_row(value) for value in range(256))


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16 with polynomial 0x8005, most significant bit first; `crc`: value so far."""
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC[crc >> 8 ^ byte]
    return crc


def packet(ident: int, body: bytes) -> bytes:
    """The packet around `body`: the instruction byte and its parameters."""
    body = body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")  # byte stuffing: no header inside
    head = HEADER + struct.pack("<BH", ident, len(body) + 2) + body
    return head + struct.pack("<H", crc16(head))


def status(ident: int, error: int, data: bytes = b"") -> bytes:
    """The status packet of servo `ident`: its error byte and its data."""
    return packet(ident, bytes([Instruction.STATUS, error]) + data)


def fast_status(answers: list[tuple[int, int, bytes]], asked: int) -> bytes:
    """The single packet that servos write jointly: (id, error, data) of each; every CRC covers all bytes before it.

    `asked` servos were addressed; if fewer reply, the packet is truncated.
    """
    length = 1 + asked * (len(answers[0][2]) + 4) if answers else 0
    text = HEADER + struct.pack("<BHB", BROADCAST, length, Instruction.STATUS)
    crc = crc16(text)
    for ident, error, data in answers:
        part = bytes([error, ident]) + data
        tail = struct.pack("<H", crc16(part, crc))
        text += part + tail
        crc = crc16(part + tail, crc)
    return text if answers else b""


class Decoder:
    """Extracts packets from a byte stream; noise is skipped, packets with a wrong CRC are counted."""

    def __init__(self) -> None:
        self.buffer = b""
        self.crc_errors = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(id, body) of every packet that `data` completes."""
        self.buffer += data
        found: list[tuple[int, bytes]] = []
        while True:
            begin = self.buffer.find(HEADER)
            self.buffer = self.buffer[begin:] if begin >= 0 else self.buffer[-3:]
            if begin < 0 or len(self.buffer) < 7:
                return found
            ident, length = struct.unpack_from("<BH", self.buffer, 4)
            if 3 <= length <= LONGEST and len(self.buffer) < 7 + length:
                return found
            text = self.buffer[: 7 + length]
            if not 3 <= length <= LONGEST or crc16(text[:-2]) != struct.unpack("<H", text[-2:])[0]:
                self.crc_errors += 1
                self.buffer = self.buffer[len(HEADER) :]  # there may be a packet inside
                continue
            self.buffer = self.buffer[7 + length :]
            found.append((ident, text[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")))
