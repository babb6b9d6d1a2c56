"""MCAP files, intact, truncated, damaged or still being written.

Records are skipped by their length: a chunk index is built in memory without reading the chunks. The summary at the
end of an intact file saves most of that; it is optional, and where the two differ the records count. Format:
https://mcap.dev/spec
"""

import io
import struct
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

from rosbags.interfaces import Connection, MessageDefinition

from dexhot.data.rosbag.compressed import ZstdStream, inflate
from dexhot.data.rosbag.part import FORMATS, NO_DEFINITION, Channel, Inventory, parse_qos
from dexhot.errors import FileFormatError

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX, STATISTICS, DATA_END = 2, 3, 4, 5, 6, 7, 8, 11, 15
PRIVATE = 0x80  # first record type of the private range
HEAD = struct.Struct("<BQ")  # head of every record: type, length of the content
MESSAGE_HEAD = struct.Struct("<BQHIQQ")  # with channel, sequence, receive time and publish time
CHUNK_HEAD = struct.Struct("<BQQQQII")  # with first and last time, size, checksum, length of the compression's name
TAIL = HEAD.size + 20 + len(MAGIC)  # bytes of the footer and the closing magic
PIECE = 1 << 16  # bytes of read-back buffer
LONGEST_NAME = 64  # bytes, of a compression's name
STRETCH = 4 << 20  # bytes of messages outside chunks that are read at once
WINDOW = 256 << 20  # bytes of messages buffered for sorting by time
SUMMARY = 256 << 20  # bytes, maximum plausible size of an index or a definition
LARGEST = 2 << 30  # bytes, maximum plausible size of a chunk


class MessageBlock(NamedTuple):
    """A chunk, or a run of messages outside chunks: the unit of reading."""

    start: int  # ns, receive time of its first message
    offset: int
    length: int  # of the part that exists
    chunk: bool
    channels: frozenset[int]  # channels with messages in it


class Known(NamedTuple):
    """A chunk's entry in the index at the end of the file."""

    start: int  # ns
    end: int
    length: int
    index_length: int  # of the message indexes after it
    counts: dict[int, int]


class McapFile:
    """One file. `path`: .mcap, or compressed as a whole (.mcap.zstd). Raises FileFormatError, OSError."""

    def __init__(self, path: Path, compressed: bool = False):
        stat = path.stat()
        self.stream = _open(path, compressed)
        try:
            blocks, found = _indexed(path, compressed, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        except BaseException:
            self.close()
            raise
        self.blocks, self.forward = blocks, compressed
        self.inventory = Inventory(
            found.channels, found.counts, found.start, found.end, [*found.damage], [*found.notes]
        )
        self.path = path

    def close(self) -> None:
        self.stream.close()

    def messages(self, wanted: Mapping[int, Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """In the order of receive time.

        If more than WINDOW bytes are out of order (a clock set far back), the order is approximate.
        """
        blocks = [b for b in self.blocks if not b.channels.isdisjoint(wanted)]
        if not self.forward:
            blocks.sort()
        later = [*accumulate((b.start for b in reversed(blocks)), min)][-2::-1] + [
            2**64
        ]  # earliest start of all later blocks
        waiting: list[tuple[int, int, int, int, int, bytes]] = []
        missing = sum(self.inventory.counts.get(channel, 0) for channel in wanted)
        for block, limit in zip(blocks, later):
            records = self._records(block)
            entries, whole = _messages(records, self.inventory.channels, wanted)
            if not (whole or self.inventory.damage):
                self.inventory.lost(_damaged(self.path, block.offset, "messages in it are incomplete"))
            missing -= len(entries)
            waiting += [(time, block.offset, begin, end, channel, records) for time, begin, end, channel in entries]
            waiting.sort()
            due = bisect_left(waiting, (limit,))
            if sum(map(len, {id(row[-1]): row[-1] for row in waiting[due:]}.values())) > WINDOW:
                due += (len(waiting) - due + 1) // 2
            for time, _, begin, end, channel, content in waiting[:due]:
                yield wanted[channel], time, content[begin:end]
            del waiting[:due]
        if missing and not self.inventory.damage:
            self.inventory.lost(f"{self.path} is damaged: {missing} of the messages in its index are missing")

    def _records(self, block: MessageBlock) -> bytes:
        try:
            self.stream.seek(block.offset)
            data = self.stream.read(block.length)
        except OSError as e:  # a disk error
            self.inventory.lost(_damaged(self.path, block.offset, str(e)))
            return b""
        if not block.chunk:
            return data
        records, why = unpacked(data)
        if why and not (len(data) == block.length and _cut(data)):  # already reported by the index
            self.inventory.lost(_damaged(self.path, block.offset, why))
        return records


def _cut(data: bytes) -> bool:
    """Whether a record continues past the end of `data`."""
    return len(data) < HEAD.size or len(data) < HEAD.size + HEAD.unpack_from(data)[1]


def unpacked(chunk: bytes) -> tuple[bytes, str]:
    """(the readable records in a chunk, "" or the reason why some are missing)."""
    if len(chunk) < CHUNK_HEAD.size or chunk[0] != CHUNK:
        return b"", "it is cut" if len(chunk) < CHUNK_HEAD.size else "the index points to a chunk that does not exist"
    _, length, _, _, size, checksum, name_length = CHUNK_HEAD.unpack_from(chunk)
    begin = CHUNK_HEAD.size + name_length + 8
    compression = chunk[CHUNK_HEAD.size : CHUNK_HEAD.size + name_length].decode(errors="replace")
    records, why = inflate(compression, chunk[begin : HEAD.size + length], size)
    if why or len(records) != size:
        return records, why or "it is cut"
    if checksum and crc32(records) != checksum:
        return records, "its checksum is wrong, so its messages may have wrong values"
    return records, ""


def _messages(
    records: bytes, channels: dict[int, Channel], wanted: Mapping[int, object] | None = None
) -> tuple[list[tuple[int, int, int, int]], bool]:
    """([receive time, first and last byte of the content, channel] of the complete messages, whether these are all).

    Of all channels, or of those `wanted`.
    """
    found = []
    position, size = 0, len(records)
    unpack, head = MESSAGE_HEAD.unpack_from, MESSAGE_HEAD.size
    while position + head <= size:
        kind, length, channel, _, time, _ = unpack(records, position)
        end = position + HEAD.size + length
        if kind != MESSAGE:  # for other record types only the first two fields apply
            position = end
            continue
        if end > size or length < head - HEAD.size:
            break
        if channel in channels if wanted is None else channel in wanted:
            found.append((time, position + head, end, channel))
        position = end
    while position + HEAD.size <= size:
        position += HEAD.size + HEAD.unpack_from(records, position)[1]
    return found, position == size


@lru_cache(maxsize=16)
def _indexed(
    path: Path, compressed: bool, size: int, modified: int, inode: int
) -> tuple[list[MessageBlock], Inventory]:
    """The blocks of a file in file order, and its inventory; cached until the file changes."""
    with _open(path, compressed) as stream:
        index = _Index(path, stream, None if compressed else size)
        index.scan()
        if compressed and (fault := index.fault()):
            index.inventory.lost(f"{path} ends early: {fault}")
    return index.blocks, index.inventory


def _open(path: Path, compressed: bool) -> BinaryIO:
    return io.BufferedReader(ZstdStream(path), 1 << 20) if compressed else path.open("rb")


def _damaged(path: Path, offset: int, why: str) -> str:
    return f"{path} is damaged at byte {offset}: {why}"


class _Index:
    """Builds the index: blocks in file order, channels, counts and damage."""

    def __init__(self, path: Path, stream: BinaryIO, size: int | None):
        self.path, self.stream, self.size = path, stream, size
        self.blocks: list[MessageBlock] = []
        self.inventory = Inventory()
        self.schemas: dict[int, tuple[str, MessageDefinition]] = {}
        self.counts: Counter[int] = Counter()
        self.sets: dict[frozenset[int], frozenset[int]] = {}  # equal channel sets share one object
        self.stated: int | None = None  # message count stated by the index
        self.known: dict[int, Known] = {}
        self.unread: list[tuple[int, int]] = []  # offset and length of chunks whose definitions were not needed yet
        self.open: tuple[int, int, int, int, Counter[int]] | None = (
            None  # chunk or run of messages that has not ended yet
        )
        self.loose = False  # it is a run of messages outside chunks
        self.last = (0, b"")  # offset and content of the last read

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes, reusing the last read: a compressed file cannot seek back."""
        at, content = self.last
        if at != offset or not content:
            self.stream.seek(offset)
            content = b""
        content += self.stream.read(max(0, count - len(content)))
        self.last = (offset, content) if len(content) < PIECE else (0, b"")
        return content[:count]

    def fault(self) -> str:
        """Why a compressed file ended early."""
        return getattr(getattr(self.stream, "raw", None), "fault", "")

    def scan(self) -> None:
        """Scan every record outside chunks. Raises FileFormatError if nothing can be read."""
        if self.read(0, len(MAGIC)) != MAGIC:
            raise FileFormatError(f"{self.path} is not an MCAP file: it lacks the magic number at its start.")
        finished = closed = self.size is not None and self._summary()
        offsets, position = sorted(self.known), len(MAGIC)
        while True:
            if chunk := self.known.get(position):
                self._end_block()
                self.counts.update(chunk.counts)
                self._add_block(
                    MessageBlock(chunk.start, position, chunk.length, True, frozenset(chunk.counts)), chunk.end
                )
                position += chunk.length + chunk.index_length
                continue
            head = self.read(position, MESSAGE_HEAD.size)
            if len(head) < HEAD.size:
                whole = finished or not head
                break
            kind, length = HEAD.unpack_from(head)
            end = position + HEAD.size + length
            if kind == FOOTER or (kind == DATA_END and self.size is not None):
                whole = finished = True
                break
            finished |= kind == DATA_END  # for a compressed file, whose index has not been read
            valid = 0 < kind <= DATA_END or kind >= PRIVATE
            if valid and self._record(kind, position, end, head):
                position = end
                continue
            behind = bisect_right(offsets, position)
            if behind == len(offsets):
                whole = finished and self.size is None
                if not valid and not whole:
                    self.inventory.lost(_damaged(self.path, position, "what follows is not a record"))
                break
            self.inventory.lost(_damaged(self.path, position, f"unreadable up to byte {offsets[behind]}"))
            self._end_block(sure=False)
            position = offsets[behind]
        self._end_block(sure=whole and finished)
        self.inventory.counts = dict(self.counts)
        if finished and not (closed or self.size is None):
            self.inventory.notes.append(f"{self.path} has lost the index at its end; its messages are intact")
        self._judge(finished, whole, position)

    def _judge(self, finished: bool, whole: bool, position: int) -> None:
        found = sum(self.counts.values())
        if not whole and not self.inventory.damage:
            self.inventory.lost(
                f"{self.path} is truncated in the record at byte {position}: what came after {found} complete "
                "messages is lost, or still being written"
            )
        elif not finished:
            self.inventory.notes.append(
                f"{self.path} has no end record: it is still being recorded, or its recorder was killed; "
                "existing records are read"
            )
        elif self.stated is not None and self.stated > found:
            self.inventory.lost(f"{self.path} lacks {self.stated - found} of the {self.stated} messages in its index")

    def _record(self, kind: int, position: int, end: int, head: bytes) -> bool:
        """Process one record; False if it is incomplete."""
        if kind == MESSAGE:
            if len(head) < MESSAGE_HEAD.size or not self._reaches(end):
                return False
            self._message(position, end, head)
        elif kind == CHUNK:
            self._end_block()
            return self._chunk(position, end)
        elif kind in (SCHEMA, CHANNEL):
            self._end_block()
            if end - position > SUMMARY or (self.size is not None and end > self.size):
                return False
            content = self.read(position, end - position)
            if len(content) < end - position:
                return False
            self._define(kind, content[HEAD.size :])
        elif not self._reaches(end):
            return False
        elif kind == MESSAGE_INDEX and self.open and not self.loose and end - position >= HEAD.size + 6:
            channel, length = struct.unpack_from("<HI", head, HEAD.size)
            self.open[4][channel] += length // 16
        else:
            self._end_block()
            if kind == STATISTICS and self.size is None and len(head) >= HEAD.size + 8:
                self.stated = struct.unpack_from("<Q", head, HEAD.size)[0]
        return True

    def _reaches(self, end: int) -> bool:
        """Whether the file has the bytes up to `end`."""
        if self.size is not None:
            return end <= self.size
        self.last = (0, b"")
        return end < 2**62 and self.stream.seek(end) == end

    def _message(self, position: int, end: int, head: bytes) -> None:
        _, _, channel, _, time, _ = MESSAGE_HEAD.unpack(head)
        if self.open and not (self.loose and end - self.open[0] < STRETCH):
            self._end_block()
        begin, _, start, last, counts = self.open or (position, 0, time, time, Counter[int]())
        counts[channel] += 1
        self.open, self.loose = (begin, end, min(start, time), max(last, time), counts), True

    def _chunk(self, position: int, end: int) -> bool:
        head = self.read(position, CHUNK_HEAD.size)
        if len(head) < CHUNK_HEAD.size:
            return False
        _, length, start, last, _, _, name_length = CHUNK_HEAD.unpack(head)
        if name_length > LONGEST_NAME or length < CHUNK_HEAD.size - HEAD.size + name_length + 8:
            return False  # not a chunk
        if self.size is None:  # a compressed file is decompressed anyway, so count now
            return self._decode(position, min(end, position + LARGEST)) and end - position <= LARGEST
        if end > self.size:
            self._decode(position, min(self.size, position + LARGEST))
            return False
        if end - position > LARGEST:
            self.inventory.lost(_damaged(self.path, position, f"a chunk of more than {LARGEST >> 20} MB is not read"))
            return True
        self.open, self.loose = (position, end, start, last, Counter()), False
        return True

    def _end_block(self, sure: bool = True) -> None:
        """End the chunk or run before this record; `sure`: all message indexes after the chunk exist."""
        if self.open is None:
            return
        (begin, end, start, last, counts), self.open = self.open, None
        if self.loose:
            self.counts.update(counts)
            self._add_block(MessageBlock(start, begin, end - begin, False, frozenset(counts)), last)
        elif not counts or not sure:
            self._decode(begin, end)
        else:
            self.counts.update(counts)
            self._add_block(MessageBlock(start, begin, end - begin, True, frozenset(counts)), last)

    def _decode(self, begin: int, end: int) -> bool:
        """Process a chunk by its content; False if it is incomplete."""
        data = self.read(begin, end - begin)
        records, why = unpacked(data)
        self._learn(records)
        entries, _ = _messages(records, self.inventory.channels)
        if why and not _cut(data):
            self.inventory.lost(_damaged(self.path, begin, why))
        if entries:
            counts = Counter(channel for _, _, _, channel in entries)
            self.counts.update(counts)
            times = [time for time, _, _, _ in entries]
            self._add_block(
                MessageBlock(min(times), begin, len(data), True, frozenset(counts)), max(times), learned=True
            )
        return len(data) == end - begin

    def _add_block(self, block: MessageBlock, last: int, learned: bool = False) -> None:
        """Add a block. Messages of an undefined channel cannot be read and are reported as lost.

        `learned`: the definitions in the chunk are known.
        """
        if not block.channels:
            return
        if block.chunk and not learned:
            self.unread.append((block.offset, block.length))
            if not block.channels <= self.inventory.channels.keys():
                self._look_back()
        if unknown := block.channels - self.inventory.channels.keys():
            count = sum(self.counts.pop(channel, 0) for channel in unknown)
            what = f"{count} messages are of undefined topics"
            self.inventory.lost(_damaged(self.path, block.offset, what))
            block = block._replace(channels=block.channels - unknown)
        channels = self.sets.setdefault(block.channels, block.channels)
        self.blocks.append(block._replace(channels=channels))
        self.inventory.start = min(self.inventory.start, block.start)
        self.inventory.end = max(self.inventory.end, last)

    def _look_back(self) -> None:
        """Find definitions of topics in this chunk, or in earlier chunks that were skipped."""
        for offset, length in self.unread:
            self._learn(unpacked(self.read(offset, length))[0])
        self.unread.clear()

    def _learn(self, records: bytes) -> None:
        """Read the schemas and channels among records."""
        position = 0
        while position + HEAD.size <= len(records):
            kind, length = HEAD.unpack_from(records, position)
            begin, position = position + HEAD.size, position + HEAD.size + length
            if kind in (SCHEMA, CHANNEL) and position <= len(records):
                self._define(kind, records[begin:position])

    def _define(self, kind: int, content: bytes) -> None:
        try:
            fields = _Fields(content)
            if kind == SCHEMA:
                number, name, encoding, text = fields.number(), fields.text(), fields.text(), fields.text()
                form = FORMATS.get(encoding)
                self.schemas[number] = name, MessageDefinition(form, text) if form and text else NO_DEFINITION
                return
            number, schema, topic, encoding = fields.number(), fields.number(), fields.text(), fields.text()
            entries = _Fields(fields.raw()).mapping()
        except (struct.error, UnicodeDecodeError) as e:
            self.inventory.lost(f"{self.path} is damaged: one of its topics cannot be read ({e})")
            return
        msgtype, msgdef = self.schemas.get(schema, ("", NO_DEFINITION))
        digest, qos = entries.get("topic_type_hash", ""), parse_qos(entries.get("offered_qos_profiles", ""))
        self.inventory.channels.setdefault(number, Channel(topic, msgtype, msgdef, digest, encoding, qos))

    def _summary(self) -> bool:
        """Read the index at the end. Returns whether the file has an end; a faulty index is ignored."""
        assert self.size is not None
        tail = self.read(max(0, self.size - TAIL), TAIL)
        if not tail.endswith(MAGIC) or tail[: HEAD.size] != HEAD.pack(FOOTER, 20):
            return False
        begin = struct.unpack_from("<Q", tail, HEAD.size)[0]
        if not begin or not 0 < self.size - TAIL - begin < SUMMARY:
            return True
        records = self.read(begin, self.size - TAIL - begin)
        try:
            self._learn(records)
            position = 0
            while position + HEAD.size <= len(records):
                kind, length = HEAD.unpack_from(records, position)
                if kind == CHUNK_INDEX:
                    self._know(_Fields(records, position + HEAD.size))
                elif kind == STATISTICS:
                    self.stated = struct.unpack_from("<Q", records, position + HEAD.size)[0]
                position += HEAD.size + length
        except (struct.error, UnicodeDecodeError):
            self.known.clear()
        return True

    def _know(self, fields: "_Fields") -> None:
        """Add a chunk of the index; its messages are counted from the lengths of its message indexes."""
        assert self.size is not None
        start, end, offset, length = fields.unpack("<QQQQ")
        starts = fields.raw()
        [index_length] = fields.unpack("<Q")
        stop = offset + length + index_length
        order = sorted((at, channel) for channel, at in struct.iter_unpack("<HQ", starts))
        ends = [at for at, _ in order[1:]] + [stop]
        counts = {channel: (behind - at - 15) // 16 for (at, channel), behind in zip(order, ends)}
        exact = all((behind - at - 15) % 16 == 0 for (at, _), behind in zip(order, ends))
        if counts and exact and order[0][0] == offset + length and stop <= self.size and min(counts.values()) >= 0:
            self.known[offset] = Known(start, end, length, index_length, counts)


class _Fields:
    """Reads the fields of a record in order. Raises struct.error at its end."""

    def __init__(self, content: bytes, position: int = 0):
        self.content, self.position = content, position

    def unpack(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(form, self.content, self.position)
        self.position += struct.calcsize(form)
        return found

    def number(self) -> int:
        number: int = self.unpack("<H")[0]
        return number

    def raw(self) -> bytes:
        [length] = self.unpack("<I")
        begin, self.position = self.position, self.position + length
        if self.position > len(self.content):
            raise struct.error("a field is longer than its record")
        return self.content[begin : self.position]

    def text(self) -> str:
        return self.raw().decode()

    def mapping(self) -> dict[str, str]:
        found = {}
        while self.position < len(self.content):
            name = self.text()
            found[name] = self.text()
        return found
