"""`dexhot bench loop`: latencies, timing and resource use of the live graph tracking on the embedded rig.

Playback, camera off, recording on, clips looped with marked resets. The metrics are measured by the nodes, from the
bag's /diagnostics: `latency_ms` is the real time from a tick, whose stamp is copied to object pose, object state and
target, to the hand command at the driver; a tick is ok if it starts within one period of its due time.
"""

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.diagnostics import by_node
from dexhot.data.topics import DIAGNOSTICS
from dexhot.errors import DexhotError

DURATION, QUICK_DURATION = 30.0, 15.0  # s of tracking
LATENCY = "stamp_to_command"


def run(quick: bool = False, demonstration: str | None = None) -> dict[str, Any]:
    """Metrics, and each node's and process's diagnostics. `demonstration`: a file (default: the shipped)."""
    from dexhot.bringup import launcher
    from dexhot.bringup.graph import plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.data.run import read_run
    from dexhot.progress import progress
    from dexhot.ros.core.claim import own_domain

    seconds = QUICK_DURATION if quick else DURATION
    with tempfile.TemporaryDirectory(prefix="dexhot-bench-") as scratch:
        given = {"reference": demonstration or "", "loop": "true", "duration": str(seconds), "record": f"{scratch}/run"}
        own_domain()
        planned = plan(load_graph("real_track"), given, os.environ)
        with open(f"{scratch}/log", "w+") as log, progress("tracking", seconds, by_clock=True):
            if launcher.run(planned, log):
                log.seek(0)
                raise DexhotError(f"the graph died during the measurement:\n{log.read()[-2000:]}")
        statuses, clip = diagnostics(planned.folder / "bag"), read_run(planned.folder)["name"]
    processes = {p.name: [n.name for n in p.nodes] for p in planned.processes}
    return summarise(statuses, processes) | {"subset": {"seconds": seconds, "clip": clip}}


def diagnostics(bag: Path) -> dict[str, list[dict[str, str]]]:
    """node -> its diagnostic values, in the order of time."""
    found = defaultdict(list)
    for _, _, message in bags.messages(bag, {DIAGNOSTICS}):
        for node, status in by_node(message).items():
            found[node].append(status.values)
    return dict(found)


def summarise(statuses: dict[str, list[dict[str, str]]], processes: dict[str, list[str]]) -> dict[str, Any]:
    """The metrics of a run. Raises DexhotError if nothing was tracked."""
    hand, rig = statuses["leap_driver"][-1], statuses["rig"][-1]
    if not int(hand.get(f"{LATENCY}.count", 0)):
        raise DexhotError("no hand command was executed: check the graph's output with `dexhot up real_track`.")
    metrics = {
        "latency_ms_p50": float(hand[f"{LATENCY}.p50_ms"]),
        "latency_ms_p99": float(hand[f"{LATENCY}.p99_ms"]),
        "latency_ms_max": float(hand[f"{LATENCY}.max_ms"]),
        "tick_ok_fraction": float(rig["tick_ok_fraction"]),
        "commands": int(hand[f"{LATENCY}.count"]),
        "slipped_s": float(rig["slipped_s"]),
    }
    nodes = {name: loops(values[-1]) for name, values in statuses.items()}
    use = {name: resources([statuses[n] for n in names if n in statuses]) for name, names in processes.items()}
    metrics["cpu_percent"] = round(sum(u["cpu_percent"] for u in use.values()), 1)
    metrics["memory_mib"] = round(sum(u["memory_mib"] for u in use.values()), 1)
    return {"metrics": metrics, "nodes": nodes, "processes": use}


def loops(values: dict[str, str]) -> dict[str, dict[str, float]]:
    """Rate and overruns of each loop of a node, count and percentiles of each latency."""
    found: dict[str, dict[str, float]] = {}
    for key in values:
        name, _, field = key.rpartition(".")
        if field == "rate_hz":
            found[name] = {f: float(values[f"{name}.{f}"]) for f in ("rate_hz", "overruns", "tick_ok_fraction")}
        elif field == "p99_ms" and not name.endswith((".lateness", ".body")):
            found[name] = {f: float(values[f"{name}.{f}"]) for f in ("count", "p50_ms", "p99_ms")}
    return found


def resources(of_nodes: list[list[dict[str, str]]]) -> dict[str, float]:
    """Mean CPU (percent of one core) and peak memory of the process of these nodes."""
    cpu = [float(v["process.cpu_percent"]) for values in of_nodes for v in values[2:]]
    memory = [float(v["process.rss_mib"]) for values in of_nodes for v in values]
    return {"cpu_percent": round(float(np.mean(cpu)), 1), "memory_mib": round(max(memory), 1)}
