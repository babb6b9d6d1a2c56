"""A simulated bus in its own process: `serve` runs in it, `BusProcess` starts it and communicates with it.

Manually: `dexhot leap simulate`, or `python -m dexhot.hardware.dynamixel.simulator`.
"""

import json
import signal
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Any, Literal, Self

from dexhot.errors import DexhotError
from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.hardware.dynamixel.faults import NAMES
from dexhot.hardware.dynamixel.registers import BAUD, MODELS
from dexhot.hardware.line_process import LineProcess


def serve(
    hand: Literal["full", "lite"] = "full",
    baud: int = BAUD,
    fast: bool = True,
    latency_ms: float = 0.0,
    torque: bool = False,
    link: str = "",
) -> None:
    """Simulate a LEAP hand's servo bus until the input ends, or SIGINT. Runs in the main thread.

    The first line of output is the path to open as its serial port. Type faults to inject, one per line; `help` lists
    them, `state` prints the servos as one JSON line, `quit` exits.

    Args:
        hand: Motor type.
        baud: Servo baud rate.
        fast: Simulate firmware that supports fast sync read.
        latency_ms: Latency timer of a simulated FTDI adapter, ms; none by default.
        torque: Start with torque on, as after a driver crash.
        link: Path of the port; it persists when the cable is unplugged and replugged. Default: a new one.
    """
    model = next(m for m in MODELS.values() if m.hand == hand)
    bus = ServoBus(model=model, baud=baud, fast=fast, latency=latency_ms / 1e3, link=link or None)
    if torque:
        bus.faults.inject("torque 1")
    # A shell starts what runs in its background with SIGINT ignored; Ctrl-C ends this one all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with bus:
        print(bus.path, flush=True)
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            try:
                print(_answer(bus, line.strip()), flush=True)
            except DexhotError as e:
                print(f"error: {e}", flush=True)


def _answer(bus: ServoBus, line: str) -> str:
    if line in ("", "help"):
        return "\n".join(f"{name:9s} {fault.__doc__}" for name, fault in NAMES.items())
    if line == "state":
        return json.dumps(state(bus))
    bus.faults.inject(line)
    return "ok"


def state(bus: ServoBus) -> dict[str, Any]:
    """State of the servos for tests; `goals`: the goals sent to each (`Goals`), `moved`: monotonic time
    of the last change of a goal, `still_since`: monotonic time since which no joint moves, regardless of readings."""
    with bus.lock:
        servos = bus.servos.items()
        return {
            "torque": [i for i, s in servos if s.on],
            "position": [s.get("present_position") for _, s in servos],
            "moved": max((goals.moved for goals in bus.goals.values()), default=0.0),
            "still_since": bus.still_since,
            "goal": [s.get("goal_position") for _, s in servos],
            "goals": {ident: asdict(goals) for ident, goals in bus.goals.items()},
            "hardware_error": {i: e for i, s in servos if (e := s.get("hardware_error_status"))},
            "watchdog": [s.get("bus_watchdog") for _, s in servos],
            "packets": bus.packets,
            "crc_errors": bus.decoder.crc_errors,
        }


class BusProcess:
    """Context manager: a simulated bus in its own process; `options` are those of `serve`, `path` its port."""

    def __init__(self, **options: Any):
        flags = [f"--{'' if value is not False else 'no-'}{name.replace('_', '-')}" for name, value in options.items()]
        values = [[] if isinstance(value, bool) else [str(value)] for value in options.values()]
        self.command = [sys.executable, "-m", "dexhot.hardware.dynamixel.simulator"]
        self.command += [word for flag, value in zip(flags, values) for word in (flag, *value)]

    def __enter__(self) -> Self:
        self.lines = LineProcess(self.command, "servo bus")
        self.path = self.lines.read()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.lines.end()

    def inject(self, line: str) -> None:
        """Inject a fault (faults.py). Raises DexhotError."""
        self.lines.order(line)

    def state(self) -> dict[str, Any]:
        """The result of `state` in the bus's process, as JSON."""
        found: dict[str, Any] = json.loads(self.lines.ask("state"))
        return found


if __name__ == "__main__":
    import tyro

    tyro.cli(serve)
