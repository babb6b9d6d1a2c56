"""`dexhot bench camera`: mined GRAB clips tracked live with the loop closed on a simulated camera, beside the truth.

Each clip runs once with `perception:=truth` and once with `perception:=camera` on the embedded rig (`--rig sim-wire`:
with the real drivers) and is judged from its bag. With the controller `planned` the whole chain is compared, from a
reference alone: real drivers and camera, beside the embedded rig with the truth. A run can be stopped: each live run's
row is kept, and the next run goes on with the rest.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.datasets import load_clip, splits
from dexhot.errors import DexhotError, UnreachableError
from dexhot.evaluation.score import rejudge
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir, share_dir
from dexhot.progress import progress
from dexhot.retargeting.placement import place, with_arm_path
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.live import live_rollout
from dexhot_bench.kept import NOT_RUN, Deadline, Kept, Row, code_key
from dexhot_bench.mine import FULL, mine_clip, mined_dir
from dexhot_train.mining.mine import placed

PERCEPTIONS = ("truth", "camera")
PLAYBACK = "playback"
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
PLANNED = {"controller": "planned", "planning_rollouts": 160}  # a number of rollouts: load does not change the plan
ATTEMPTS = 2  # of a graph that dies or is interrupted, as under load
REFUSED = re.compile(r"the best plan is [^;]*; the limit is [\d.]+\d")  # of RefusedPlanError
INTERRUPTED = re.compile(r"tracking was interrupted \([^)]*\)")  # of the rig's node
LIMIT = 400.0  # s, for one clip from the start to the end; a run that never tracks is no success
SHIPPED = "shipped lift"


def run(
    quick: bool = False,
    minutes: float | None = None,
    rig: str = "sim",
    clips: list[str] | None = None,
    controller: str = PLAYBACK,
) -> dict[str, Any]:
    """Metrics over the clips that are measured, and a row per clip: six quick ones first, then the other train clips.

    Clips that the arm does not reach are left out. `minutes`: after these nothing more is begun; what is missing then
    is "not run". quick: the shipped demonstration alone. controller: playback of mined demonstrations on `rig`, or
    planned, from references, on rig:=sim with the truth beside rig:=sim-wire with the camera.
    """
    from dexhot.bringup.launcher import require_ros
    from dexhot.ros.core.claim import own_domain

    require_ros()
    own_domain()
    named = splits("grab") if not quick else {}
    names = [SHIPPED] if quick else clips or list(dict.fromkeys([*named["quick"], *named["train"]]))
    rows = Kept(cache_dir() / "bench" / "camera.json", code_key(LIVE, __file__))
    late, left_out, failed = Deadline(minutes), {}, {}
    rigs = dict(zip(PERCEPTIONS, ("sim", "sim-wire") if controller == "planned" else (rig, rig)))
    with progress("tracking live, runs", len(PERCEPTIONS) * len(names), counted=True) as job:
        for done, (name, perception) in enumerate((name, p) for name in names for p in PERCEPTIONS):
            job(done, len(PERCEPTIONS) * len(names))
            if name in left_out or name in failed:
                continue
            if late.over:
                continue
            row = label(name, rigs[perception], perception, controller)
            kept = rows.get(row)
            try:
                file, reference = plan_of(name) if controller == PLAYBACK else reference_of(name)
                if not placed(reference):
                    left_out[name] = "the arm does not reach it"
                elif kept is None or quick or kept["demonstration"] != digest(file):
                    rows.put(row, tracked(file, rigs[perception], perception, controller))
            except DexhotError as e:
                failed[name] = f"{perception}: {str(e).splitlines()[0]}"
    found = {
        name: {p: rows.get(label(name, rigs[p], p, controller)) for p in PERCEPTIONS}
        for name in names
        if name not in left_out
    }
    return told(found, rigs, controller) | {"left_out": left_out, "failed": failed}


def label(name: str, rig: str, perception: str, controller: str = PLAYBACK) -> str:
    """The row's name."""
    return ", ".join([name, rig, perception, *([controller] if controller != PLAYBACK else [])])


def plan_of(name: str) -> tuple[Path, Reference]:
    """The demonstration of a clip and its reference: that of `dexhot bench mine`, which is made where there is none."""
    if name == SHIPPED:  # its arm path is made when it is played
        file = share_dir() / "policies" / "lift_box.npz"
        return file, with_arm_path(load(file, Demonstration).reference)
    file = mined_dir("train", None) / f"{name}.npz"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        mine_clip((name, file.parent, FULL, None, "leap_right"))
    return file, load(file, Demonstration).reference


def reference_of(name: str) -> tuple[Path, Reference]:
    """The file of a clip's placed reference, made by today's code, and it; that of the shipped demonstration."""
    file = cache_dir() / "bench" / "references" / f"{name.replace(' ', '_')}-{code_key(LIVE, __file__)}.reference.npz"
    if file.is_file():
        return file, load(file, Reference)
    if name == SHIPPED:
        reference = plan_of(name)[1]
    else:
        trajectory, hand = load_clip(f"grab/{name}"), load_hand("leap_right")
        reference = retarget(trajectory, hand, load_object(trajectory.object_name))
        with suppress(UnreachableError):  # then it is left out
            reference = place(reference, hand)
    return save(reference, file), reference


def digest(file: Path) -> str:
    """Of its content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def tracked(demonstration: Path, rig: str, perception: str, controller: str = PLAYBACK) -> Row:
    """The row of one live run. A controller that refuses its plan has not succeeded, nor has tracking that is
    interrupted each time. Raises DexhotError for a graph that dies each time."""
    for attempt in range(1, ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="dexhot-bench-") as scratch:
            row = {"demonstration": digest(demonstration), "attempt": attempt, "success": False}
            code, said = _live(arguments_of(demonstration, rig, perception, controller), Path(scratch))
            if code is None:
                return row | {"why": f"it did not end within {LIMIT:g} s"}
            if code:
                if refusal := REFUSED.search(said):
                    return row | {"why": f"refused: {refusal[0]}"}
                if (interruption := INTERRUPTED.search(said)) and attempt == ATTEMPTS:
                    return row | {"why": interruption[0]}
                continue
            try:
                metrics = rejudge(live_rollout(Path(scratch) / "run")).metrics
            except DexhotError as e:
                return row | {"why": str(e).replace(f"{scratch}/", "").splitlines()[0]}
            figures = {name: metrics[name] for name in ("T_err_cm", "R_err_rad", "hold_rate")}
            return row | {"success": bool(metrics["success_strict"]), "why": "", **figures}
    raise DexhotError(f"the graph died in {ATTEMPTS} attempts: {' '.join(said.split())[-400:]}")


def arguments_of(file: Path, rig: str, perception: str, controller: str) -> dict[str, Any]:
    """Of the graph real_track; playback is its default for a demonstration."""
    chosen = PLANNED if controller == "planned" else {}
    return {"reference": file, "rig": rig, "perception": perception, "exit_when_done": "true"} | chosen


def _live(arguments: dict[str, Any], scratch: Path) -> tuple[int | None, str]:
    """Exit code of the graph, None if it was ended at the limit, and its log."""
    arguments = arguments | {"record": scratch / "run"}
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


def told(found: dict[str, dict[str, Row | None]], rigs: dict[str, str], controller: str) -> dict[str, Any]:
    """Metrics over the clips of which both runs are measured, and the rows."""
    both = {name: (t, c) for name, row in found.items() if (t := row["truth"]) and (c := row["camera"])}
    metrics: dict[str, float | None] = {"clips": len(both), "clips_not_run": len(found) - len(both)}
    if both:
        truth, camera = (sum(pair[k]["success"] for pair in both.values()) / len(both) for k in (0, 1))
        metrics |= {"truth_success_strict": truth, "camera_success_strict": camera}
        metrics["points_behind_truth"] = 100.0 * (truth - camera)
    lines = [[name, *(said(row[p]) for p in PERCEPTIONS)] for name, row in found.items()]
    columns = ["clip", *(f"rig:={rigs[p]} perception:={p}" for p in PERCEPTIONS)]
    printed = {f"controller:={controller}": {"columns": columns, "rows": lines}}
    chain = {"rigs": rigs, "controller": controller}
    return {"metrics": metrics, "subset": sorted(both), **chain, "clips": found, "printed": printed}


def said(row: Row | None) -> str:
    """A cell of the printed table."""
    if row is None:
        return NOT_RUN
    errors = f" ({row['T_err_cm']:.1f} cm, {row['R_err_rad']:.2f} rad)" if "T_err_cm" in row else ""
    return ("strict" if row["success"] else row["why"] or "not strict") + errors
