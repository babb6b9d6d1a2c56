"""Bring-up and take-down: clean stops, deaths, orphans, and the same again and again.

DEXHOT_START_STOP=20 pytest tests/bringup/test_bringup.py -k full_graph: the full graph twenty times in a row.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dexhot.bringup import launcher

pytestmark = pytest.mark.ros

HERE = Path(__file__).parents[1]  # of the helpers
PATH = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
CYCLES = int(os.environ.get("DEXHOT_START_STOP", "3"))  # of the full graph; the release check does 20
DRIVER = """
import os, sys
from pathlib import Path
from dexhot.bringup import launcher
from dexhot.bringup.graph import Argument, Graph, NodeSpec, Prepared, Process, plan
def process(text):
    names = text.strip("~").split("+")
    nodes = tuple(NodeSpec(name.lower(), target=f"probe_nodes:{name}", schema="base") for name in names)
    return Process(nodes[0].name, nodes, vital="~" not in text)
processes = tuple(map(process, sys.argv[2:]))
graph = Graph("light", "", (), lambda a: processes, lambda a: Prepared(Path(sys.argv[1]), {}))
code = launcher.run(plan(graph, {}, os.environ), goes_on="GOES_ON" in os.environ)
print("went on", file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def light(ros_domain, tmp_path):
    """A function that starts `launcher.run` on a light graph, one process per argument.

    "Probe+Second" share one; "~Probe" is not vital.
    """
    started = []

    def start(*processes: str, **given: str) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"} | given
        arguments = [sys.executable, "-c", DRIVER, str(tmp_path), *processes]
        started.append(subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for popen in started:
        popen.kill()
        popen.wait()
        popen.stderr.close()


def children(popen: subprocess.Popen, count: int, seconds: float = 60.0) -> list[psutil.Process]:
    """The node processes below `popen`, once there are `count` of them that spin."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = psutil.Process(popen.pid).children(recursive=True)
        if len(found) == count and all(p.num_threads() > 4 for p in found):  # the middleware's threads are there
            return found
        time.sleep(0.05)
    pytest.fail(f"the {count} processes did not come up")


def gone(processes: list[psutil.Process], seconds: float = 60.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def test_a_caller_that_goes_on_after_a_run_is_interrupted_with_it(light):
    """`dexhot demo` must not start its next run after Ctrl-C."""
    up = light("Probe", GOES_ON="1")
    nodes = children(up, 1)
    up.send_signal(signal.SIGINT)
    said = up.communicate(timeout=60)[1]
    assert "KeyboardInterrupt" in said and "went on" not in said and gone(nodes)


def test_an_interrupt_takes_everything_down_with_exit_code_0(light):
    up = light("Probe+Second", "Source")
    nodes = children(up, 2)
    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=60) == 0 and gone(nodes)


def test_a_process_that_dies_takes_the_graph_down_and_is_named(light):
    up = light("Probe", "Suicide")
    assert up.wait(timeout=60) == 1
    assert "[suicide] died with exit code 3" in up.stderr.read()


def test_a_node_that_ends_on_purpose_has_not_died():
    """As the rig does after an interruption: its own exit code is 1."""
    assert launcher.died("rig", 1) == "[rig] ended with exit code 1; the graph was shut down."
    assert launcher.died("rig", -9) == "[rig] died with exit code -9; the graph was shut down."


def test_a_process_that_is_not_vital_dies_alone(light):
    up = light("Probe", "~Suicide")
    assert any("the others continue" in line for line in up.stderr)
    [probe] = psutil.Process(up.pid).children()
    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=60) == 1 and gone([probe])


def test_a_node_that_cannot_be_configured_gives_the_reason(light):
    up = light("Probe", "Broken")
    assert up.wait(timeout=60) == 1
    assert "a wheel is missing" in up.stderr.read()


def test_a_node_that_finishes_ends_the_graph_with_exit_code_0(light):
    assert light("Probe", "Finisher").wait(timeout=60) == 0


def test_no_orphan_when_the_bring_up_is_killed(light):
    up = light("Probe", "Second")
    nodes = children(up, 2)
    up.kill()
    assert gone(nodes)


def listens(popen: subprocess.Popen) -> None:
    """Wait until the process handles SIGTERM itself."""
    deadline = time.monotonic() + 60.0
    while not caught(popen.pid) >> (signal.SIGTERM - 1) & 1:
        assert popen.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def caught(pid: int) -> int:
    """The signals that a process handles, as the kernel's mask."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigCgt:")[2].split()[0], 16)


def test_one_process_starts_and_stops_twenty_times(ros_domain):
    environment = os.environ | {"PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}
    call = [
        sys.executable,
        "-m",
        "dexhot.ros.core.process",
        "probe_nodes:Probe",
        "probe_nodes:Second",
        "probe_nodes:Source",
    ]
    codes = []
    for k in range(20):
        popen = subprocess.Popen(call, env=environment, stderr=subprocess.DEVNULL)
        listens(popen)
        time.sleep(0.02 * k)  # interrupted while starting as well as while running
        popen.send_signal((signal.SIGINT, signal.SIGTERM)[k % 2])
        codes.append(popen.wait(timeout=60))
    assert set(codes) == {0}, codes


def test_an_interrupt_while_it_imports_ends_it(tmp_path):
    """As an exception it would be lost in whatever of an import swallows exceptions."""
    swallows = "try:\n    print('importing', flush=True)\n    input()\nexcept KeyboardInterrupt:\n    input()\n"
    (tmp_path / "rclpy.py").write_text(swallows)
    call = [sys.executable, "-m", "dexhot.ros.core.process", "probe_nodes:Probe"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(call, env=os.environ | {"PYTHONPATH": str(tmp_path)}, **pipes) as popen:
        assert popen.stdout.readline() == b"importing\n"
        popen.send_signal(signal.SIGINT)
        assert popen.wait(timeout=60) == -signal.SIGINT


def test_the_full_graph_starts_and_stops_again_and_again(ros_domain, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for k in range(CYCLES):
        call = [sys.executable, "-m", "dexhot", "up", "real_track", "rig:=sim", f"record:={tmp_path / str(k)}"]
        up = subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            told = ""
            while "tracking: started" not in told:
                line = up.stderr.readline()
                assert line, told
                told += line
            nodes = psutil.Process(up.pid).children(recursive=True)
            up.send_signal(signal.SIGINT)
            told += up.stderr.read()
            assert up.wait(timeout=60) == 0, told
            assert len(nodes) == 4 and gone(nodes)
            assert "fault: " not in told, told  # all ends were asked for
        finally:
            up.kill()
            up.wait()
            up.stderr.close()
