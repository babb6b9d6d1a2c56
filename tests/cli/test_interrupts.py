"""Ctrl-C ends a command wherever it arrives, also in an import that catches everything and in a callback."""

import os
import signal
import subprocess
import sys

import pytest

from dexhot.cli.interrupts import keep_interrupts

SWALLOWS = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
except BaseException:
    pass
done = True
"""
IGNORES = """
import os, signal, time

class Gone:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
"""
BEGIN = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from dexhot.cli.interrupts import keep_interrupts
keep_interrupts()
"""
PRESSED = "os.kill(os.getpid(), signal.SIGINT); "
IN_AN_IMPORT = "import swallows; assert swallows.done; time.sleep(20)"
IN_A_CALLBACK = "import ignores; ignores.Gone(); time.sleep(20)"


@pytest.mark.parametrize("program", [PRESSED + "time.sleep(20)", IN_AN_IMPORT, IN_A_CALLBACK])
def test_an_interrupt_is_raised_once_it_cannot_be_swallowed(program, tmp_path):
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    (tmp_path / "ignores.py").write_text(IGNORES)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ended = subprocess.run([sys.executable, "-c", BEGIN + program], env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGINT and "KeyboardInterrupt" in ended.stderr


def test_a_handler_of_others_stays():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        keep_interrupts()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
