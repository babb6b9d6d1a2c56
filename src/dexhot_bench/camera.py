"""`dexhot bench camera`: mined GRAB clips tracked live with the loop closed on a simulated camera, beside the truth.

Each clip runs once with `perception:=truth` and once with `perception:=camera` on the embedded rig (`--rig sim-wire`:
with the real drivers) and is judged from its bag. A run can be stopped: each live run's row is kept, and the next run
goes on with the rest.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dexhot.data.files import load
from dexhot.data.types import Demonstration
from dexhot.datasets import splits
from dexhot.errors import DexhotError
from dexhot.evaluation.score import rejudge
from dexhot.paths import cache_dir, share_dir
from dexhot.progress import progress
from dexhot.rollouts.live import live_rollout
from dexhot_bench.kept import Deadline, Kept, Row, code_key
from dexhot_bench.mine import FULL, mine_clip, mined_dir
from dexhot_train.mining.mine import placed

PERCEPTIONS = ("truth", "camera")
LIVE = (
    "bringup",
    "bringup/graphs",
    "perception",
    "ros/core",
    "ros/see",
    "ros/track",
    "ros/rig",
    "ros/drivers",
)  # packages that a row depends on beside those of simulation
ATTEMPTS = 2  # of a graph that dies, as under load
LIMIT = 400.0  # s, for one clip from the start to the end; a run that never tracks is no success
NOT_RUN, SHIPPED = "not run", "shipped lift"


def run(
    quick: bool = False, minutes: float | None = None, rig: str = "sim", clips: list[str] | None = None
) -> dict[str, Any]:
    """Metrics over the clips that are measured, and a row per clip: six quick ones first, then the other train clips.

    Clips that the arm does not reach are left out. `minutes`: after these nothing more is begun; what is missing then
    is "not run". quick: the shipped demonstration alone.
    """
    from dexhot.bringup.launcher import require_ros
    from dexhot.ros.core.claim import own_domain

    require_ros()
    own_domain()
    named = splits("grab") if not quick else {}
    names = [SHIPPED] if quick else clips or list(dict.fromkeys([*named["quick"], *named["train"]]))
    rows = Kept(cache_dir() / "bench" / "camera.json", code_key(LIVE, __file__))
    late, left_out, failed = Deadline(minutes), {}, {}
    with progress("tracking live, runs", len(PERCEPTIONS) * len(names), counted=True) as job:
        for done, (name, perception) in enumerate((name, p) for name in names for p in PERCEPTIONS):
            job(done, len(PERCEPTIONS) * len(names))
            if name in left_out or name in failed:
                continue
            if late.over:
                continue
            kept = rows.get(label(name, rig, perception))
            try:
                demonstration = plan_of(name)
                if not placed(load(demonstration, Demonstration).reference):
                    left_out[name] = "the arm does not reach it"
                elif kept is None or quick or kept["demonstration"] != digest(demonstration):
                    rows.put(label(name, rig, perception), tracked(demonstration, rig, perception))
            except DexhotError as e:
                failed[name] = f"{perception}: {str(e).splitlines()[0]}"
    found = {name: {p: rows.get(label(name, rig, p)) for p in PERCEPTIONS} for name in names if name not in left_out}
    return told(found, rig) | {"left_out": left_out, "failed": failed}


def label(name: str, rig: str, perception: str) -> str:
    """The row's name."""
    return f"{name}, {rig}, {perception}"


def plan_of(name: str) -> Path:
    """The demonstration of a clip: that of `dexhot bench mine`, which is made where there is none."""
    if name == SHIPPED:
        return share_dir() / "policies" / "lift_box.npz"
    file = mined_dir("train", None) / f"{name}.npz"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        mine_clip((name, file.parent, FULL, None, "leap_right"))
    return file


def digest(file: Path) -> str:
    """Of its content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def tracked(demonstration: Path, rig: str, perception: str) -> Row:
    """The row of one live run. Raises DexhotError for a graph that dies each time."""
    for attempt in range(1, ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="dexhot-bench-") as scratch:
            row = {"demonstration": digest(demonstration), "attempt": attempt, "success": False}
            code, said = _live(demonstration, rig, perception, Path(scratch))
            if code is None:
                return row | {"why": f"it did not end within {LIMIT:g} s"}
            if code:
                continue
            try:
                metrics = rejudge(live_rollout(Path(scratch) / "run")).metrics
            except DexhotError as e:
                return row | {"why": str(e).replace(f"{scratch}/", "").splitlines()[0]}
            figures = {name: metrics[name] for name in ("T_err_cm", "R_err_rad", "hold_rate")}
            return row | {"success": bool(metrics["success_strict"]), "why": "", **figures}
    raise DexhotError(f"the graph died in {ATTEMPTS} attempts: {' '.join(said.split())[-400:]}")


def _live(demonstration: Path, rig: str, perception: str, scratch: Path) -> tuple[int | None, str]:
    """Exit code of the graph, None if it was ended at the limit, and its log."""
    arguments = {
        "reference": demonstration,
        "rig": rig,
        "perception": perception,
        "record": scratch / "run",
        "exit_when_done": "true",
    }
    command = [sys.executable, "-m", "dexhot", "up", "real_track", *(f"{k}:={v}" for k, v in arguments.items())]
    with open(scratch / "log", "w+") as log:
        graph = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ)
        try:
            code: int | None = graph.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if graph.poll() is None:
                graph.send_signal(signal.SIGINT)
                graph.wait()
        log.seek(0)
        return code, log.read()


def told(found: dict[str, dict[str, Row | None]], rig: str) -> dict[str, Any]:
    """Metrics over the clips of which both runs are measured, and the rows."""
    both = {name: (t, c) for name, row in found.items() if (t := row["truth"]) and (c := row["camera"])}
    metrics: dict[str, float | None] = {"clips": len(both), "clips_not_run": len(found) - len(both)}
    if both:
        truth, camera = (sum(pair[k]["success"] for pair in both.values()) / len(both) for k in (0, 1))
        metrics |= {"truth_success_strict": truth, "camera_success_strict": camera}
        metrics["points_behind_truth"] = 100.0 * (truth - camera)
    lines = [[name, *(said(row[p]) for p in PERCEPTIONS)] for name, row in found.items()]
    printed = {f"rig:={rig}": {"columns": ["clip", *(f"perception:={p}" for p in PERCEPTIONS)], "rows": lines}}
    return {"metrics": metrics, "subset": sorted(both), "rig": rig, "clips": found, "printed": printed}


def said(row: Row | None) -> str:
    """A cell of the printed table."""
    if row is None:
        return NOT_RUN
    errors = f" ({row['T_err_cm']:.1f} cm, {row['R_err_rad']:.2f} rad)" if "T_err_cm" in row else ""
    return ("strict" if row["success"] else row["why"] or "not strict") + errors
