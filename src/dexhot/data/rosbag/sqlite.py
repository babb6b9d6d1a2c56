"""sqlite3 bags (.db3 of rosbag2 and of librealsense), opened without creating or changing any file.

The file is opened as immutable, without locks. The write-ahead log of a recorder that still runs or was killed is
applied to the file in memory.
"""

import struct
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
from rosbags.interfaces import Connection, MessageDefinition

from dexhot.data.rosbag.compressed import ZstdStream
from dexhot.data.rosbag.part import FORMATS, NO_DEFINITION, Channel, Inventory, parse_qos
from dexhot.errors import FileFormatError

MAGIC = b"SQLite format 3\0"
MEMORY = 1 << 30  # bytes, maximum size of a compressed file or a write-ahead log, which are held in memory
LOG_HEAD = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
FRAME_HEAD = struct.Struct(">6I")  # page, pages of the file after a commit or 0, two salts, two checksums
LOG_MAGIC = 0x377F0682  # last bit set: checksums over big-endian words
UNFINISHED = "is still being recorded, or its recorder was killed"
SOUND = "typeof(topic_id) = 'integer' AND typeof(timestamp) = 'integer' AND typeof(data) = 'blob'"
BROKEN = (apsw.Error, ValueError, MemoryError)  # raised by SQLite and by decoding text in a damaged file
NAMES = (f"dexhot-{number}" for number in count())  # names of in-memory files for SQLite


class SqliteFile:
    """One .db3 file, or one compressed as a whole (.db3.zstd). Raises FileFormatError, OSError."""

    def __init__(self, path: Path, compressed: bool = False):
        self.path, self.inventory = path, Inventory()
        log = path.with_name(path.name + "-wal")
        try:
            self.files: Files | None = None
            if compressed:
                self.files = Files(_decompressed(path), {})
            elif log.is_file() and log.stat().st_size > LOG_HEAD.size:
                self.inventory.notes.append(f"{path} {UNFINISHED}: {log.name} is read with it")
                self.files = Files(path, read_log(log))
            elif whole_pages(path) < path.stat().st_size:
                self.files = Files(path, {})
            if path.with_name(path.name + "-journal").is_file():
                self.inventory.notes.append(f"{path} {UNFINISHED}: its last messages may be incomplete")
            where = self.files.name if self.files else quote(str(path))
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            self.database = apsw.Connection(
                f"file:{where}?immutable=1", flags=flags, vfs=self.files.name if self.files else None
            )
            self.database.execute("PRAGMA temp_store=MEMORY; PRAGMA writable_schema=ON")  # the latter: read cut files
            self._take_topics()
            self._count()
        except BROKEN as e:
            raise FileFormatError(
                f"{path} is a damaged sqlite3 file, or not a bag ({e}); "
                f"`sqlite3 {path.name} .recover | sqlite3 new.db3` recovers what is readable."
            ) from e

    def close(self) -> None:
        self.database.close()

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self.database.execute(f"PRAGMA table_info({table})")}

    def _take_topics(self) -> None:
        columns = self._columns("topics")
        if not {"id", "name", "type"} <= columns or not {"topic_id", "timestamp", "data"} <= self._columns("messages"):
            raise FileFormatError(
                f"{self.path} is a sqlite3 file, but not a bag: it lacks the tables topics and messages."
            )
        definitions = {}
        if self._columns("message_definitions"):
            rows = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            for msgtype, encoding, text in self.database.execute(rows):
                if encoding in FORMATS and text:
                    definitions[msgtype] = MessageDefinition(FORMATS[encoding], text)
        wanted = ("serialization_format", "offered_qos_profiles", "type_description_hash")
        extra = ", ".join(name if name in columns else "''" for name in wanted)
        rows = f"SELECT id, name, type, {extra} FROM topics WHERE typeof(name) = 'text' AND typeof(type) = 'text'"
        for number, topic, msgtype, encoding, qos, digest in self.database.execute(f"{rows} ORDER BY id"):
            msgdef = definitions.get(msgtype, NO_DEFINITION)
            self.inventory.channels[number] = Channel(
                topic, msgtype, msgdef, digest or "", encoding or "cdr", parse_qos(qos or "")
            )

    def _count(self) -> None:
        found, self.order = self.inventory, "id"
        try:
            rows = list(
                self.database.execute(
                    "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages "
                    f"WHERE {SOUND} GROUP BY topic_id"
                )
            )
            [[total]] = self.database.execute("SELECT count(*) FROM messages NOT INDEXED")
            if unsound := total - sum(count for _, count, _, _ in rows):
                found.lost(f"{self.path} is damaged: {unsound} of its {total} rows are not messages")
            for name in [row[1] for row in self.database.execute("PRAGMA index_list(messages)")]:
                [[_, _, column], *_] = self.database.execute(f"PRAGMA index_info('{name}')")
                [[indexed]] = self.database.execute(f"SELECT count(timestamp) FROM messages INDEXED BY '{name}'")
                if column == "timestamp" and indexed == total:
                    self.order = "timestamp, id"
        except BROKEN as e:
            self._lost(e)
            rows = self._counted_singly()
        for number, total, first, last in rows:
            if number in found.channels:
                found.counts[number] = total
                found.start, found.end = min(found.start, first), max(found.end, last)
            else:
                found.lost(f"{self.path}: {total} messages are of undefined topics")

    def _counted_singly(self) -> list[tuple[int, int, int, int]]:
        rows: dict[int, tuple[int, int, int, int]] = {}
        try:
            for number, time in self.database.execute(
                f"SELECT topic_id, timestamp FROM messages WHERE {SOUND} ORDER BY id"
            ):
                _, total, first, last = rows.get(number, (number, 0, time, time))
                rows[number] = number, total + 1, min(first, time), max(last, time)
        except BROKEN:
            pass
        return list(rows.values())

    def _lost(self, error: Exception) -> None:
        self.inventory.lost(f"{self.path} is truncated or damaged: it is read as far as possible ({error})")

    def messages(self, wanted: Mapping[int, Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """In order of receive time; without a time index in the file, in order of recording."""
        numbers = ", ".join(str(int(number)) for number in wanted)
        try:
            for number, time, data in self.database.execute(
                f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({numbers}) AND {SOUND} "
                f"ORDER BY {self.order}"
            ):
                yield wanted[number], time, data
        except BROKEN as e:
            self._lost(e)


def _decompressed(path: Path) -> bytes:
    """The decompressed content. Raises FileFormatError above MEMORY bytes: SQLite cannot read a stream."""
    with ZstdStream(path) as stream:
        pieces, size = [], 0
        while piece := stream.read(1 << 20):
            pieces.append(piece)
            size += len(piece)
            if size > MEMORY:
                raise FileFormatError(
                    f"{path} holds more than {MEMORY >> 20} MB, and a compressed sqlite3 bag is read in memory; "
                    f"decompress a copy first: zstd -d {path.name} -o FOLDER/{path.stem}."
                )
        if stream.fault and not pieces:
            raise FileFormatError(f"{path} cannot be decompressed: {stream.fault}; get another copy.")
    return b"".join(pieces)


def read_log(path: Path) -> dict[int, bytes]:
    """page (from 0) -> its content, as committed in a write-ahead log (https://sqlite.org/fileformat2.html)."""
    if path.stat().st_size > MEMORY:
        raise FileFormatError(
            f"{path} has more than {MEMORY >> 20} MB; stop its recorder, or copy both files and try the copy."
        )
    log = path.read_bytes()
    magic, _, page_size, _, *salts_and_sums = LOG_HEAD.unpack_from(log)
    salts, sums = salts_and_sums[:2], (0, 0)
    if magic & ~1 != LOG_MAGIC or page_size == 0:
        return {}
    order = ">" if magic & 1 else "<"
    sums = _checksum(order, log[:24], sums)
    if list(sums) != salts_and_sums[2:]:
        return {}
    committed: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    for begin in range(LOG_HEAD.size, len(log) - FRAME_HEAD.size - page_size + 1, FRAME_HEAD.size + page_size):
        page, commit, *rest = FRAME_HEAD.unpack_from(log, begin)
        content = log[begin + FRAME_HEAD.size : begin + FRAME_HEAD.size + page_size]
        sums = _checksum(order, content, _checksum(order, log[begin : begin + 8], sums))
        if rest[:2] != salts or rest[2:] != list(sums):
            break  # from before a log reset, or incomplete
        pending[page - 1] = content
        if commit:
            committed |= pending
            pending.clear()
    return committed


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2]):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


class Files(apsw.VFS):
    """SQLite's view of one file: its bytes, from memory or disk, with replaced pages."""

    def __init__(self, source: Path | bytes, pages: dict[int, bytes]):
        self.source, self.pages, self.name = source, pages, next(NAMES)
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _OpenFile(self.source, self.pages)

    def xAccess(self, pathname: str, flags: int) -> bool:
        return False

    def xFullPathname(self, name: str) -> str:
        return name


class _OpenFile(apsw.VFSFile):
    def __init__(self, source: Path | bytes, pages: dict[int, bytes]):
        self.stream = None if isinstance(source, bytes) else source.open("rb")
        self.content = source if isinstance(source, bytes) else b""
        self.pages = pages
        self.page_size = len(next(iter(pages.values()))) if pages else 0
        self.size = whole_pages(source)

    def xRead(self, amount: int, offset: int) -> bytes:
        if self.page_size:
            page, begin = divmod(offset, self.page_size)
            if (over := self.pages.get(page)) is not None:
                return _not_a_log(over[begin : begin + amount], offset)
        if offset + amount > self.size:
            return b""
        if self.stream is None:
            return _not_a_log(self.content[offset : offset + amount], offset)
        self.stream.seek(offset)
        return _not_a_log(self.stream.read(amount), offset)

    def xFileSize(self) -> int:
        return max(self.size, (max(self.pages, default=-1) + 1) * self.page_size)

    def xClose(self) -> None:
        if self.stream is not None:
            self.stream.close()

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 0

    def xDeviceCharacteristics(self) -> int:
        return 0


def whole_pages(source: Path | bytes) -> int:
    """Bytes of a sqlite3 file up to its last complete page: the missing part of a page must not be read as zeros."""
    if isinstance(source, bytes):
        head, size = source[:18], len(source)
    else:
        with source.open("rb") as stream:
            head, size = stream.read(18), source.stat().st_size
    page_size = int.from_bytes(head[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    return size - size % page_size if page_size else size


def _not_a_log(data: bytes, offset: int) -> bytes:
    """Clear the first page's flag for a write-ahead log, which is already applied."""
    if offset == 0 and len(data) >= 20 and data[18:20] == b"\x02\x02":
        return data[:18] + b"\x01\x01" + data[20:]
    return data
