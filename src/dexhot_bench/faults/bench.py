"""`dexhot bench faults`: a table of injected faults, with time to detection and time to safe state.

Four test rigs: the real hand driver with a simulated servo bus, the real arm driver with a protocol-level simulation, a
monitored camera, and the graph of real_track on the embedded rig. Commands beyond limits are counted from the bytes
received by servos and robot; false stops in a fault-free run of the graph.
"""

import os
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from dexhot.bringup.shared_memory import free
from dexhot.progress import progress
from dexhot_bench.faults import camera, hand, table
from dexhot_bench.faults.table import Fault, Outcome, Result

console = Console(stderr=True, width=None if sys.stderr.isatty() else 160, markup=False, highlight=False)
CLEAN, QUICK_CLEAN, SOAK = 60.0, 8.0, 600.0  # s, duration of the fault-free run
NEEDED = {"hand": ("dynamixel_sdk",), "arm": ("franky", "franky_sim")}  # modules of the extras hardware and dev


def run(quick: bool = False, soak: bool = False) -> dict[str, Any]:
    """Metrics and the table. `soak`: a fault-free run of ten minutes instead of one."""
    began = time.time()
    os.environ["ROS_DOMAIN_ID"] = str(1 + secrets.randbelow(100))  # never the user's domain: it may have a robot
    seconds = QUICK_CLEAN if quick else SOAK if soak else CLEAN
    skipped = {g: f"{m} is not installed" for g, needs in NEEDED.items() for m in needs if find_spec(m) is None}
    notes: dict[str, Any] = {"clean_run_s": seconds, "skipped": skipped}
    runs = {"hand": on_hands, "arm": on_arm, "camera": on_cameras, "graph": on_graph}
    results: list[Result] = []
    for group in (g for g in runs if g not in skipped):
        with progress(f"faults of the {group}", len(chosen(faults_of(group), quick)), counted=True) as job:
            for result in runs[group](quick, notes):
                results.append(result)
                job.advance()
    free(since=began)  # of the processes that were killed: 34 MiB each
    console.print(table.rich_table(results))
    figures = table.metrics(results, notes.get("false_stops", 0))
    return {"metrics": figures, "faults": [r.entries() for r in results], "notes": notes, "subset": {"quick": quick}}


def tried(fault: Fault, rig: Any) -> Outcome:
    """A fault whose trial fails counts as undetected."""
    try:
        return fault.run(rig)
    except Exception as e:
        console.print(f"{fault.group}: {fault.name} could not be injected", style="red")
        console.print(traceback.format_exc())
        return Outcome(f"could not be injected: {e}", None, None, "unknown", "")


def chosen(faults: table.FaultTable, quick: bool) -> list[Fault]:
    """All faults, or those of --quick."""
    return [fault for fault in faults if fault.quick or not quick]


def faults_of(group: str) -> table.FaultTable:
    """All faults of a rig; imports of the arm and the graph are deferred to their use."""
    modules = {"hand": "hand", "camera": "camera", "arm": "arm", "graph": "graph_faults"}
    found: table.FaultTable = import_module(f"dexhot_bench.faults.{modules[group]}").FAULTS
    return found


def on_hands(quick: bool, notes: dict[str, Any]) -> Iterator[Result]:
    """A new bus and driver for each fault."""
    notes["hand_retries"] = 0
    for fault in chosen(hand.FAULTS, quick):
        with hand.HandRig() as rig:
            yield Result(fault, tried(fault, rig), rig.violations())
            notes["hand_retries"] += rig.retries


def on_arm(quick: bool, notes: dict[str, Any]) -> Iterator[Result]:
    """One robot for all faults; commands received are counted after each, but lost when it loses power."""
    from dexhot_bench.faults import arm

    with arm.ArmRig() as rig:
        for fault in chosen(arm.FAULTS, quick):
            rig.renew()
            before = rig.violations()
            outcome = tried(fault, rig)
            rig.arm.disconnect()
            yield Result(fault, outcome, max(rig.violations() - before, 0))
        notes["arm_retries"] = rig.retries


def on_cameras(quick: bool, notes: dict[str, Any]) -> Iterator[Result]:
    """A new synthetic, monitored camera for each fault."""
    for fault in chosen(camera.FAULTS, quick):
        yield Result(fault, tried(fault, camera.CameraRig()))


def on_graph(quick: bool, notes: dict[str, Any]) -> Iterator[Result]:
    """One bring-up for all faults; the fault-free run is first."""
    from dexhot_bench.faults.graph import RunningGraph
    from dexhot_bench.faults.graph_faults import FAULTS, clean_run

    with tempfile.TemporaryDirectory(prefix="dexhot-faults-") as folder, RunningGraph(Path(folder)) as graph:
        notes |= clean_run(graph, notes["clean_run_s"])
        for fault in chosen(FAULTS, quick):
            yield Result(fault, tried(fault, graph))
