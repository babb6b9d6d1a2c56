"""Tolerant decompression: truncated or damaged data ends early, with a reason."""

import io
from pathlib import Path
from typing import Any

from backports import zstd
from lz4.frame import LZ4FrameDecompressor

ZSTD = b"\x28\xb5\x2f\xfd"  # magic number of zstd; no CDR message starts with it
PIECE = 1 << 20
SMALL = 1 << 10


def inflate(compression: str, data: bytes, size: int) -> tuple[bytes, str]:
    """(decompressed bytes of a chunk of `size` bytes, "" or the reason why they are incomplete)."""
    if not compression:
        return data, ""
    if compression not in ("zstd", "lz4"):
        return b"", f"its compression {compression!r} is unknown; zstd, lz4 and none are read"
    try:
        if compression == "zstd" and zstd.get_frame_info(data).decompressed_size == size:
            return zstd.decompress(data), ""  # in one call, into a buffer of the right size
        whole = _decompressor(compression).decompress(data, size + 1)  # up to the frame's end, which holds its checksum
        if len(whole) >= size:
            return whole, ""
    except (zstd.ZstdError, RuntimeError, EOFError):
        pass
    decompressor, found = _decompressor(compression), []
    try:
        for begin in range(0, len(data), SMALL):
            if decompressor.eof:
                break
            found.append(decompressor.decompress(data[begin : begin + SMALL]))
    except (zstd.ZstdError, RuntimeError, EOFError) as e:
        return b"".join(found), str(e)
    return b"".join(found), "" if decompressor.eof else "it is truncated"


def _decompressor(compression: str) -> Any:
    return zstd.ZstdDecompressor() if compression == "zstd" else LZ4FrameDecompressor()


class ZstdStream(io.RawIOBase):
    """A file compressed as a whole. It ends where decompression ends; if that is too early, `fault` is the reason.

    Seeking forward decompresses the bytes in between; seeking back starts over.
    """

    def __init__(self, path: Path):
        self.file = path.open("rb")
        self._rewind()

    def _rewind(self) -> None:
        self.file.seek(0)
        self.decompressor, self.position, self.fault = zstd.ZstdDecompressor(), 0, ""
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self.position
        elif whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of a compressed file is unknown")
        if offset < self.position:
            self._rewind()
        while self.position < offset and self.read(min(offset - self.position, PIECE)):
            pass
        return self.position

    def readinto(self, buffer: Any) -> int:
        while not self.ready and not self.fault:
            try:
                if not self._more():
                    return 0
            except (zstd.ZstdError, OSError) as e:
                self.fault = str(e)
        count = min(len(buffer), len(self.ready))
        buffer[:count], self.ready = self.ready[:count], self.ready[count:]
        self.position += count
        return count

    def _more(self) -> bool:
        """Decompress a little more; False at the end."""
        if self.decompressor.eof:
            data = self.decompressor.unused_data or self.file.read(PIECE)
            if not data:
                return False
            self.decompressor = zstd.ZstdDecompressor()
        else:
            data = self.file.read(PIECE // 8) if self.decompressor.needs_input else b""
            if not data and self.decompressor.needs_input:
                self.fault = "the compressed file is truncated"
                return True
        self.ready = memoryview(self.decompressor.decompress(data, PIECE))
        return True

    def close(self) -> None:
        self.file.close()
        super().close()
