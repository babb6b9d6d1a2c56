"""Starts Warp without its banner, and on a machine without a GPU without its warning that there is none."""

import os
import sys
import tempfile
from functools import cache

import warp as wp

NO_DRIVER = b"Could not find or load the NVIDIA CUDA driver"  # a normal machine of a user, not a fault


@cache
def start_warp() -> None:
    """Initialise Warp, once; what else it writes to stderr is passed on."""
    wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)  # its banner would mix with the output of commands
    sys.stderr.flush()
    kept = os.dup(2)  # its library writes there, past sys.stderr
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            os.write(2, b"".join(line for line in written if NO_DRIVER not in line))
