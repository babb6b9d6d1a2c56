"""Progress: a bar on a terminal, plain lines in a log."""

import os
import pty
import re
import subprocess
import sys

from dexhot.progress import Progress, duration

JOB = """
import time
from dexhot import progress
progress.INTERVAL = 0.2
for _ in progress.track(range(4), "clips"):
    time.sleep(0.2)
"""


TIMED = f"""import time; began = time.monotonic()
{JOB.replace("time.sleep(0.2)", "time.sleep(0.4)")}
print(time.monotonic() - began)
"""


def on_pseudo_terminal(program: str, **environment: str) -> str:
    """What the program writes to a terminal."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"TERM": "xterm"} | environment
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 4096):
                written += chunk
        except OSError:  # the other end is closed
            pass
        assert process.wait(60) == 0, written
    os.close(ours)
    return written.decode()


def test_a_log_gets_plain_lines_with_the_time_left():
    for environment in ({}, {"FORCE_COLOR": "1", "TERM": "xterm"}):
        reply = subprocess.run(
            [sys.executable, "-c", TIMED], capture_output=True, text=True, env=os.environ | environment
        )
        lines = reply.stderr.splitlines()
        assert reply.returncode == 0 and 2 <= len(lines) <= float(reply.stdout) / 0.2  # a busy machine takes longer
        assert all(re.fullmatch(r"clips: \d of 4, \d s(, \d s left)?", line) for line in lines), lines
        assert lines[-1].endswith("left")


def test_a_short_job_writes_no_line_into_a_log():
    program = JOB.replace("progress.INTERVAL = 0.2", "")
    assert not subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stderr


def test_a_terminal_gets_a_bar_that_goes_away():
    written = on_pseudo_terminal(JOB)
    assert re.search(r"clips: \d of 4, \d s, \d s left", written) and "\x1b[" in written and "━" in written
    assert written.rstrip("\x1b[?25h\r").endswith("\x1b[2K"), "the bar is cleared at the end"


def test_a_dumb_terminal_gets_lines():
    assert "\x1b" not in on_pseudo_terminal(JOB, TERM="dumb")


def test_the_job_s_error_is_not_swallowed():
    program = JOB.replace("time.sleep(0.2)", "raise SystemExit(3)")
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 3


def test_time_left_supposes_that_the_rest_goes_as_fast(monkeypatch):
    now = 100.0
    monkeypatch.setattr("dexhot.progress.time.monotonic", lambda: now)
    job, timed = Progress("frames", 8), Progress("tracking", 40.0, by_clock=True)
    now = 110.0
    assert job.line() == "frames: 10 s"
    job(2)
    assert job.line() == "frames: 25 %, 10 s, 30 s left"
    assert timed.line() == "tracking: 25 %, 10 s, 30 s left"
    clips = Progress("mining", 8, counted=True)
    assert clips.line() == "mining: 0 of 8, 0 s"
    job(6, what="repair")
    now = 112.0
    assert job.line() == "repair: 75 %, 2 s, 1 s left"
    now = 1000.0
    assert timed.fraction == 1.0


def test_a_search_shows_no_time_left(monkeypatch):
    """Its fraction is of the clip: it may rewind, end early, or be followed by others."""
    now = 100.0
    monkeypatch.setattr("dexhot.progress.time.monotonic", lambda: now)
    job = Progress("mining", 1)
    job(0.48, 1.0, "mining, robust search", "of the clip, rewound 1 of at most 2 times")
    now = 110.0
    assert job.line() == "mining, robust search: 48 % of the clip, rewound 1 of at most 2 times, 10 s"
    job(0.5, 1.0, "panel")
    now = 120.0
    assert job.line() == "panel: 50 %, 10 s, 10 s left"


def test_durations_are_short():
    assert [duration(s) for s in (0.4, 59.4, 65, 3720)] == ["0 s", "59 s", "1 min 05 s", "1 h 02 min"]


def test_a_run_that_goes_on_does_not_take_the_rate_of_what_was_done_before(monkeypatch):
    now = 100.0
    monkeypatch.setattr("dexhot.progress.time.monotonic", lambda: now)
    job = Progress("demonstrations", counted=True)
    show = job.says()
    now = 110.0
    show(201, 220, "made")
    assert job.line() == "made: 201 of 220, 10 s"
    now = 130.0
    show(205, 220, "made")  # 4 in 20 s
    assert job.line() == "made: 205 of 220, 30 s, 1 min 15 s left"
