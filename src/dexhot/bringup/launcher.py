"""Start a plan's processes, show their output, and shut all of them down together."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import IO

from dexhot.bringup.graph import Plan, Process
from dexhot.errors import import_error

GRACE = {signal.SIGINT: 5.0, signal.SIGTERM: 5.0}  # s after each signal until the next, then SIGKILL: as ros2 launch
COLOURS = (36, 32, 33, 35, 34, 31)
POLL = 0.05


@dataclass
class Running:
    """One process of a plan."""

    process: Process
    popen: subprocess.Popen[str]
    reader: threading.Thread


def require_ros() -> None:
    """Raise DexhotError if ROS 2 cannot be imported, before files are made for nodes that could not start."""
    try:
        import rclpy  # noqa: F401
    except ImportError as e:
        raise import_error(e) or e from e


def command(process: Process, plan: Plan) -> list[str]:
    """The argument vector that runs `process`, with this interpreter."""
    call = [sys.executable, "-m", "dexhot.ros.core.process", *process.targets]
    names = ["-r", f"__ns:={plan.namespace}"] if plan.namespace else []
    for topic, name in plan.remappings:
        names += ["-r", f"{topic}:={name}"]
    return [*call, "--ros-args", "--params-file", str(plan.parameters_file), *names]


def start(plan: Plan, output: IO[str]) -> list[Running]:
    """Start every process, each in its own session so that Ctrl-C reaches only us."""
    running = []
    for k, process in enumerate(plan.processes):
        popen = subprocess.Popen(
            command(process, plan),
            env=os.environ | plan.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        colour = COLOURS[k % len(COLOURS)] if output.isatty() else 0
        reader = threading.Thread(target=_show, args=(process.name, popen, output, colour), daemon=True)
        reader.start()
        running.append(Running(process, popen, reader))
    return running


def stop(running: list[Running]) -> list[str]:
    """Shut everything down: SIGINT, then SIGTERM and SIGKILL to whatever outlives the grace periods.

    Returns the names of processes that had to be killed.
    """
    killed = []
    for number in (*GRACE, signal.SIGKILL):
        alive = [r for r in running if r.popen.poll() is None]
        for r in alive:
            r.popen.send_signal(number)
            if number == signal.SIGKILL:
                killed.append(r.process.name)
        deadline = time.monotonic() + GRACE.get(number, 0.0)
        while time.monotonic() < deadline and any(r.popen.poll() is None for r in alive):
            time.sleep(POLL / 5)
    for r in running:
        r.popen.wait()
        r.reader.join(timeout=0.2)
    return killed


def run(plan: Plan, output: IO[str] = sys.stderr, goes_on: bool = False) -> int:
    """Run until Ctrl-C, SIGTERM, or the end of a vital process or of all processes; then shut everything down.

    Returns 0 when it was stopped or a node finished its work, 1 when a process died or had to be killed. Raises
    DexhotError without ROS 2; KeyboardInterrupt when it was stopped and the caller `goes_on` after a run.
    """
    require_ros()
    stopping: list[int] = []
    previous = {
        n: signal.signal(n, lambda number, frame: stopping.append(number)) for n in (signal.SIGINT, signal.SIGTERM)
    }
    for warning in plan.warnings:
        print(warned(warning, output.isatty()), file=output, flush=True)
    running = start(plan, output)
    ended: dict[str, int] = {}
    try:
        while not stopping and len(ended) < len(running):
            for r in running:
                if r.process.name not in ended and (code := r.popen.poll()) is not None:
                    ended[r.process.name] = code
                    if r.process.ends_graph(code):
                        stopping.append(0)
                    else:
                        then = "the others continue, Ctrl-C stops them."
                        print(ended_with(r.process.name, code, then), file=output, flush=True)
            time.sleep(POLL)
        forced = stop(running)
    finally:
        stop(running)
        for number, handler in previous.items():
            signal.signal(number, handler)
    deaths = {name: code for name, code in ended.items() if code}
    for name, code in deaths.items():
        print(died(name, code), file=output, flush=True)
    for name in forced:
        print(killed(name), file=output, flush=True)
    if goes_on and any(stopping):
        raise KeyboardInterrupt
    return 1 if deaths or forced else 0


def died(name: str, code: int) -> str:
    """Message for a process that ended by itself, or that a node ended with a failure."""
    return ended_with(name, code, "the graph was shut down.")


def ended_with(name: str, code: int, then: str) -> str:
    """Exit code 1 is a node's own, with its reason in the log, such as an interruption; another is a crash."""
    return f"[{name}] {'ended' if code == 1 else 'died'} with exit code {code}; {then}"


def killed(name: str) -> str:
    """Message for a process that did not stop when asked to."""
    return f"[{name}] did not stop within {sum(GRACE.values()):.0f} s and was killed."


def warned(warning: str, colour: bool = False) -> str:
    """A warning before the start, as a line that stands out."""
    return f"\033[1;33mWARNING: {warning}\033[0m" if colour else f"WARNING: {warning}"


def _show(name: str, popen: subprocess.Popen[str], output: IO[str], colour: int) -> None:
    """Copy a process's lines to `output` with its name before each."""
    prefix = f"\033[{colour}m[{name}]\033[0m " if colour else f"[{name}] "
    assert popen.stdout is not None
    for line in popen.stdout:
        output.write(prefix + line)
        output.flush()
