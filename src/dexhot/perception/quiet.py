"""Standard error without the lines that a C++ library writes at each start, for which it has no setting."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_lines(beginning: str) -> Iterator[None]:
    """Leave out the lines that begin so; all others are written when the block ends, also after an exception."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        kept = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written:
                if not line.startswith(beginning.encode()):
                    os.write(2, line)
