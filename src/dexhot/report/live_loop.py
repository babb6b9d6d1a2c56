"""Verdict on the live loop: each metric with its limit, and each node's own measurements."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexhot.data.types import RATE
from dexhot.report.recording import RunRecording, within

STAMP_TO_COMMAND = "stamp_to_command"  # a driver's latency, from a state's stamp to the command based on it
LATENCY_LIMIT = 10.0  # ms, p99; the goal of `dexhot bench loop`
DEADLINE = 1000.0 / RATE  # ms, one tick
RATE_TOLERANCE = 0.01  # of 60 Hz
ON_TIME = 0.995  # of the ticks; the goal of `dexhot bench loop`
STALE = 100.0  # ms: the age at which the supervisor holds (safety.md)
LOOP_NODES = ("rig", "real_rig", "leap_driver", "franka_driver", "object_filter", "controller", "shaper", "supervisor")
BIN = math.log(1.05)  # of the histogram, on a logarithmic scale
MEASURED = ("p50_ms", "p99_ms", "max_ms")


@dataclass(frozen=True)
class Check:
    """One metric of the live loop, its limit, and whether it is within it."""

    name: str
    value: str
    limit: str
    passed: bool
    meaning: str


def checks(recording: RunRecording, seconds: float, damage: list[str]) -> list[Check]:
    """The checks of a clip that lasted `seconds`; `damage`: losses of its bag."""
    nodes, drivers = recording.diagnostics, ("leap_driver", "franka_driver")
    out = []
    if math.isfinite(rate := recording.rate):
        kept = abs(rate - RATE) <= RATE_TOLERANCE * RATE
        limit = f"{RATE:g} Hz ± {100 * RATE_TOLERANCE:g} %"
        out.append(Check("Rate", f"{rate:.2f} Hz", limit, kept, "hand states, as the recorder received them"))
    if "tick_ok_fraction" in (rig := nodes.get("rig", {})):
        share = float(rig["tick_ok_fraction"])
        value, limit = f"{100 * share:.2f} %", f"≥ {100 * ON_TIME:g} %"
        out.append(
            Check("Ticks on time", value, limit, share >= ON_TIME, "started within one period of their due time")
        )
    for driver, device in zip(drivers, ("hand", "arm")):
        values = nodes.get(driver, {})
        if int(values.get(f"{STAMP_TO_COMMAND}.count", 0)):
            p99 = float(values[f"{STAMP_TO_COMMAND}.p99_ms"])
            meaning = f"from a state's stamp to its command at the driver; one tick is {DEADLINE:.1f} ms"
            limit = f"< {LATENCY_LIMIT:g} ms"
            out.append(Check(f"Latency p99, {device}", f"{p99:.2f} ms", limit, p99 < LATENCY_LIMIT, meaning))
    lost = recording.missing + recording.unanswered
    value = f"{recording.missing} states, {recording.unanswered} commands" if lost else "none"
    meaning = "frames without a hand state, hand states without a command"
    out.append(Check("Lost messages", value, "none", not lost, meaning))
    gap = recording.longest_gap
    out.append(Check("Longest gap", f"{gap:.1f} ms", f"< {STALE:g} ms", gap < STALE, "between two hand states"))
    holds = [s for s in within(recording.safety, seconds) if s.state in ("holding", "fault")]
    text = [f"{s.state} at {s.time:.2f} s: {s.reason}" for s in holds]
    out.append(_none("Holds and faults", len(holds), "; ".join(text) or "while the clip ran"))
    for key, name, meaning in (
        ("clamped", "Clamped commands", "joint targets outside position or velocity limits, at the drivers"),
        ("refused", "Refused commands", "stale, non-finite or malformed commands, at the drivers"),
    ):
        out.append(_none(name, sum(int(float(nodes.get(driver, {}).get(key, 0))) for driver in drivers), meaning))
    overruns = sum(int(v) for n in LOOP_NODES for k, v in nodes.get(n, {}).items() if k.endswith(".overruns"))
    out.append(
        _none("Overruns", overruns, "iterations that took longer than their loop's period, except the recorder's")
    )
    value, meaning = ("damaged", "; ".join(damage)) if damage else ("complete", "the bag was closed properly")
    return [*out, Check("Recording", value, "complete", not damage, meaning)]


def _none(name: str, count: int, meaning: str) -> Check:
    """A check of events that must not occur."""
    return Check(name, str(count or "none"), "none", not count, meaning)


def histogram(recording: RunRecording) -> list[tuple[float, int]]:
    """(upper edge in ms, count) of the filled bins, each 5 % wide, of the recorded latencies."""
    bins, counts = np.unique(np.ceil(np.log(recording.latency[:, 1].clip(0.01)) / BIN), return_counts=True)
    return [(float(np.exp(k * BIN)), int(count)) for k, count in zip(bins, counts)]


def loop_table(recording: RunRecording) -> list[dict[str, Any]]:
    """Rows {"node", "measured", "p50_ms", "p99_ms", "max_ms", ...}; rows of loops add rate, ticks on time and
    overruns."""
    return [row for node, values in recording.diagnostics.items() for row in node_rows(node, values)]


def node_rows(node: str, values: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of one node's diagnostic values."""
    rows = []
    for key in values:
        name, _, last = key.rpartition(".")
        if last != "p50_ms" or name.endswith(".body") or values.get(f"{name}.count") == "0":
            continue
        row: dict[str, Any] = {"node": node, "measured": name.replace("_", " ").replace(".", ": ")}
        row |= {column: float(values[f"{name}.{column}"]) for column in MEASURED}
        loop = name.removesuffix(".lateness")
        if loop != name:
            row["rate_hz"] = float(values[f"{loop}.rate_hz"])
            row["ticks_on_time"] = f"{100 * float(values[f'{loop}.tick_ok_fraction']):.2f} %"
            row["overruns"] = int(values[f"{loop}.overruns"])
        rows.append(row)
    return rows
