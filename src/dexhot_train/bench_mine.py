"""`dexhot bench mine`: GRAB's train clips, retargeted, mined and scored again from their files, beside plain replay."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from dexhot.control.pipeline import on_arm
from dexhot.control.sampling import SamplingOptions, base_actions
from dexhot.data.datasets import load_clip, splits
from dexhot.data.files import load, save, write_text
from dexhot.data.object_library import load_object
from dexhot.data.types import Demonstration
from dexhot.errors import UnreachableError
from dexhot.evaluation.metrics import compute
from dexhot.evaluation.score import floating_simulator, run_floating
from dexhot.hands.robot_hand import load_hand
from dexhot.paths import cache_dir
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import retarget
from dexhot.simulation.physics import load_physics
from dexhot_train.clip_job import ClipJob, run_clip
from dexhot_train.executor import run_jobs
from dexhot_train.mining import MineOptions, placed
from dexhot_train.refine import draw_worlds, object_relative, replay, success_rate
from dexhot_train.search import SearchOptions

ROBUST_SEED, ROBUST_WORLDS = 424242, 20  # the perturbed replays that robust_fraction counts
FULL = MineOptions(attempts=1, arm=False)
QUICK = MineOptions(
    sampling=SamplingOptions(horizon=0.8, replan=0.3),
    repair=SearchOptions(rounds=((32, 2),), rewinds=1),
    attempts=1,
    worlds=1,
    trials=1,
    arm=False,
)


def run(
    quick: bool = False,
    workers: int = 0,
    executor: str = "process",
    out: Path | None = None,
    options: MineOptions | None = None,
    clips: list[str] | None = None,
) -> dict[str, Any]:
    """Mine the clips (results of an earlier run with the same key are kept) and measure: metrics and a row per clip.

    out: the folder of references and demonstrations, by default in the cache.
    """
    options = options or (QUICK if quick else FULL)
    clips = clips or splits("grab")["quick" if quick else "train"]
    out = out or cache_dir() / "mined" / ("quick" if quick else "train")
    rows, failed = [], {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("mining", total=len(clips))
        jobs = [(clip, out, options) for clip in clips]
        for (clip, *_), result in run_jobs(measure, jobs, workers, executor):
            if isinstance(result, Exception):
                failed[clip] = f"{type(result).__name__}: {result}"
            else:
                rows.append(result)
            progress.advance(task)
    rows.sort(key=lambda row: row["clip"])
    metrics = figures(rows, len(clips))
    return {"metrics": metrics, "subset": clips, "options": asdict(options), "clips": rows, "failed": failed}


def measure(job: tuple[str, Path, MineOptions]) -> dict[str, Any]:
    """Retarget and mine one clip, then score its file again: as it is, bare, on the arm, perturbed, object-relative.

    The reference is made anew: the benchmark measures today's retargeting. A clip mined from the same one is kept.
    """
    clip, out, options = job
    trajectory, hand, physics = load_clip(f"grab/{clip}"), load_hand("leap_right"), load_physics()
    asset = load_object(trajectory.object_name)
    reference = retarget(trajectory, hand, asset)
    with suppress(UnreachableError):  # then it is mined where it was recorded, and not tried on the arm
        reference = place(reference, hand)
    mining = ClipJob(save(reference, out / f"{clip}.reference.npz"), out / f"{clip}.npz", options)
    demonstration = load(run_clip(mining), Demonstration)
    simulator = floating_simulator(reference, asset, hand, physics)
    mined = compute(run_floating(reference, demonstration.actions, simulator), asset, hand)
    bare = compute(run_floating(reference, base_actions(reference, physics), simulator), asset, hand)
    row = {"clip": clip, **mined, "replay_success_strict": bare["success_strict"]}
    row |= {"replay_success_10cm_20deg": bare["success_10cm_20deg"], "chosen": demonstration.provenance["chosen"]}
    row |= {name: demonstration.provenance[name] for name in ("seconds_cpu", "seconds_wall", "candidates")}
    row["reachable"] = placed(reference)
    if mined["success_strict"]:
        if row["reachable"]:
            row["arm_success_strict"] = on_arm(demonstration).metrics["success_strict"]
        worlds = draw_worlds(reference, simulator, ROBUST_WORLDS, ROBUST_SEED)
        row["robust"] = success_rate(replay(reference, demonstration.actions, worlds, simulator))
        moved = [object_relative(demonstration, simulator.object_pose(world.state)) for world in worlds]
        row["robust_object_relative"] = success_rate(replay(reference, np.stack(moved), worlds, simulator))
    write_text(out / f"{clip}.json", json.dumps(row, indent=1))
    return row


def figures(rows: list[dict[str, Any]], clips: int) -> dict[str, float | None]:
    """The benchmark's ids. A clip that failed to run counts as no success."""

    def share(name: str) -> float:
        return sum(bool(row[name]) for row in rows) / clips

    def over(function, name: str) -> float | None:
        values = [row[name] for row in rows if row.get(name) is not None]
        return float(function(values)) if values else None

    successes = ("success_10cm_20deg", "success_10cm_40deg", "success_strict", "success_strict_raw")
    replays = ("replay_success_strict", "replay_success_10cm_20deg")
    return {
        **{name: share(name) for name in (*successes, *replays)},
        "reachable": share("reachable"),
        "arm_success_strict": over(np.mean, "arm_success_strict"),
        "robust_fraction": over(np.mean, "robust"),
        "robust_fraction_object_relative": over(np.mean, "robust_object_relative"),
        **{name: over(np.median, name) for name in ("T_err_cm", "R_err_rad", "penetration_mm", "hold_rate")},
        "seconds_per_clip": over(np.median, "seconds_cpu"),
        "seconds_per_clip_max": over(np.max, "seconds_cpu"),
        "seconds_per_clip_wall": over(np.median, "seconds_wall"),
    }
