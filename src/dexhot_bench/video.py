"""`dexhot bench video`: GRAB's clips mined from an RGB-D video of them, beside the same stretch mined from mocap.

The video is rendered (`dexhot synth`, middle level), seen by the embedded detectors and fitted by the default
recipe; retargeting and mining are the same for both. Where the object cannot be told in the first frame, it is clicked
on. A run can be stopped: each clip's row is kept, its fit and its mined files too, and the next run goes on with what
is missing.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.disk import check_folder
from dexhot.data.files import load, save
from dexhot.data.recording import Recording
from dexhot.data.types import Demonstration, HandObjectTrajectory, Reference
from dexhot.datasets import load_clip, splits
from dexhot.errors import ClipError, DexhotError, UnreachableError
from dexhot.evaluation.score import score, score_on_arm
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.geometry.poses import compose
from dexhot.humans.open_hand import open_hand
from dexhot.metrics.rollout import compute
from dexhot.metrics.tracking_errors import object_errors
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir
from dexhot.perception.hand_landmarks import LandmarkHands
from dexhot.perception.object_track import object_track
from dexhot.perception.perceive import perceive
from dexhot.perception.prompts import click_on
from dexhot.progress import track
from dexhot.retargeting.mending import checked_clip
from dexhot.retargeting.placement import place
from dexhot.retargeting.resampling import resample
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import Setup, load_setup
from dexhot.synthesis.clip import Options, Truth, render
from dexhot_bench.kept import NOT_RUN, Deadline, Kept, Row, code_key
from dexhot_bench.mine import FULL, QUICK
from dexhot_train.mining.clip_job import mine_into
from dexhot_train.mining.executor import run_jobs
from dexhot_train.mining.mine import MineOptions, placed

SEEDS, SIDE = (0, 1, 2), "right"  # of the person, until the motion can be made physical with that hand
QUICK_CLIPS, QUICK_FRAMES = ("cylindersmall_lift",), 60
SEEING = ("fitting", "humans", "perception", "synthesis")  # packages that a row depends on beside those of mining
COLUMNS = {
    "clip": "clip", "frames": "frames", "clicked": "clicked",
    "mpjpe_mm": "hand, mm", "t_err_mm": "object, mm", "r_err_deg": "deg",
    "video_strict": "video", "video_true_strict": "video, true path", "mocap_strict": "mocap",
    "video_arm_strict": "video, arm", "mocap_arm_strict": "mocap, arm", "why": "",
}  # fmt: skip


def run(
    quick: bool = False,
    minutes: float | None = None,
    workers: int = 0,
    clips: list[str] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Metrics over the clips that are measured, and a row per clip: six quick ones first, then the other train clips.

    `minutes`: after these nothing more is begun; what is missing then is "not run". `out`: folder of fits and mined
    files, by default in the cache.
    """
    named = splits("grab")
    names = clips or list(QUICK_CLIPS if quick else dict.fromkeys([*named["quick"], *named["train"]]))
    folder = check_folder(out or cache_dir() / "mined" / ("video-quick" if quick else "video"), "$DEXHOT_CACHE")
    key, late = code_key(SEEING, __file__), Deadline(minutes)
    rows = Kept(folder / "rows.json", key)
    missing = [] if late.over else [name for name in names if rows.get(name) is None]
    options, frames = (QUICK, QUICK_FRAMES) if quick else (FULL, None)
    failed: dict[str, str] = {}
    jobs = run_jobs(measure, [(name, folder, options, frames) for name in missing], workers)
    for (name, *_), result in track(jobs, "from video and from mocap", len(missing)):
        if isinstance(result, Exception):
            failed[name] = f"{type(result).__name__}: {result}"
        else:
            rows.put(name, result)
        if late.over:
            break
    found = [row for name in names if (row := rows.get(name)) is not None]
    done = {row["clip"] for row in found}
    told = {"subset": sorted(done), "left_out": {row["clip"]: row["why"] for row in found if row.get("left_out")}}
    table = [[text(row.get(name)) for name in COLUMNS] for row in found]
    table += [[name, NOT_RUN, *[""] * (len(COLUMNS) - 2)] for name in names if name not in done]
    printed = {"mined from video and from mocap": {"columns": list(COLUMNS.values()), "rows": table}}
    return {"metrics": figures(found, len(names)), **told, "clips": found, "failed": failed, "printed": printed}


def measure(job: tuple[str, Path, MineOptions, int | None]) -> Row:
    """The row of a clip. What cannot be seen, retargeted or mined from the video is no success, and says why; a clip
    that cannot be rendered, or of which the part in view is no whole grasp in mocap either, is left out."""
    clip, folder, options, frames = job
    row: Row = {"clip": clip, "why": ""}
    try:
        fit, truth = seen(f"grab/{clip}", folder / clip, frames)
    except ClipError as e:  # not physical or not in view: nothing is known of perception
        return row | {"left_out": True, "why": one_line(e)}
    except DexhotError as e:
        return (
            row
            | {"frames": 0, "video_strict": False, "video_true_strict": False, "why": one_line(e)}
            | _mocap(load_clip(f"grab/{clip}"), folder / clip, options)
        )
    mocap = same_stretch(load_clip(f"grab/{clip}"), truth)
    asset = load_object(fit.object_name)
    try:
        checked_clip(mocap, SIDE, asset)
    except ClipError as e:  # such as a part in view that begins with the object in the hand
        return row | {"left_out": True, "frames": len(fit.time), "why": f"mocap of the part in view: {one_line(e)}"}
    off = fit.hands[SIDE].keypoints - truth.hands[SIDE].keypoints
    errors = object_errors(asset, fit.object_pose, truth.object_pose)
    row |= {
        "frames": len(fit.time),
        "clicked": fit.provenance["clicked"],
        "mpjpe_mm": 1e3 * float(np.linalg.norm(off, axis=-1).mean()),
        "t_err_mm": 10.0 * float(errors.distance.mean()),
        "r_err_deg": float(np.degrees(errors.reduced.mean())),
    }
    try:
        demonstration, setup = mined(fit, folder / f"{clip}.video.npz", options)
        true_path = on_truth(demonstration.reference, fit, truth)
        row |= scored(demonstration, setup, true_path, "video_")
    except DexhotError as e:
        row |= {"video_strict": False, "video_true_strict": False, "why": one_line(e)}
    return row | _mocap(mocap, folder / clip, options)


def _mocap(clip: HandObjectTrajectory, place: Path, options: MineOptions) -> Row:
    try:
        return scored(*mined(clip, place.with_name(f"{place.name}.mocap.npz"), options), None, "mocap_")
    except DexhotError as e:
        return {"mocap_strict": False, "mocap_why": one_line(e)}


def seen(name: str, place: Path, frames: int | None) -> tuple[HandObjectTrajectory, HandObjectTrajectory]:
    """What is fitted to a rendered video of the clip, and its truth, in the same world. Kept beside `place`.

    Raises ClipError for a clip that cannot be rendered, DexhotError for one in which the object is not found.
    """
    key = code_key(SEEING, mining=False)
    files = [place.with_name(f"{place.name}.{what}.npz") for what in ("fit", "truth")]
    if all(file.is_file() for file in files):
        fit, truth = (load(file, HandObjectTrajectory) for file in files)
        if fit.provenance.get("bench") == key:
            return fit, truth
    clip = load_clip(name)
    asset = load_object(clip.object_name)
    recording, true = first_rendered(clip, asset, frames)
    try:
        evidence, _ = perceive(recording, LandmarkHands(2), object_track(asset, recording.intrinsics), SIDE)
    except DexhotError:  # as its message asks for
        click = click_on(true.evidence.labels[0], recording.depth[0])
        seen_again = object_track(asset, recording.intrinsics, click)
        evidence, _ = perceive(recording, LandmarkHands(2), seen_again, SIDE, prompts={"object": click})
    fit = fit_recording(recording, evidence, asset, load_recipe("default"), open_hand(SIDE)).trajectory
    fit.provenance |= {"bench": key, "clicked": bool(evidence.provenance["prompts"])}
    true.trajectory.provenance |= {"frames": recording.provenance["frames"], "rate": Options.rate}
    save(true.trajectory, files[1])
    save(fit, files[0])
    return fit, true.trajectory


def first_rendered(clip: HandObjectTrajectory, asset: ObjectAsset, frames: int | None) -> tuple[Recording, Truth]:
    """With the first seed whose hand can make the motion. Raises the last one's ClipError."""
    for seed in SEEDS:
        try:
            recording, _, truth = render(clip, asset, Options(seed=seed), frames)
            return recording, truth
        except ClipError:
            if seed == SEEDS[-1]:
                raise
    raise AssertionError


def same_stretch(clip: HandObjectTrajectory, truth: HandObjectTrajectory) -> HandObjectTrajectory:
    """The part of the clip that the video shows."""
    first, stop = truth.provenance["frames"]
    since, rate = clip.time - clip.time[0], truth.provenance["rate"]
    inside = np.flatnonzero((since >= first / rate - 1e-6) & (since <= (stop - 1) / rate + 1e-6))
    return clip.cut(int(inside[0]), int(inside[-1]) + 1)


def mined(clip: HandObjectTrajectory, out: Path, options: MineOptions) -> tuple[Demonstration, Setup]:
    """Retargeted, placed where the arm reaches it, and mined into `out`, unless it has the result."""
    hand, asset = load_hand("leap_right"), load_object(clip.object_name)
    reference = retarget(clip, hand, asset)
    with suppress(UnreachableError):  # then it is mined where it was recorded, and not tried on the arm
        reference = place(reference, hand)
    mine_into(out, reference, load_setup(reference), options)
    return load(out, Demonstration), load_setup(reference)


def on_truth(reference: Reference, fit: HandObjectTrajectory, truth: HandObjectTrajectory) -> Reference:
    """The reference of a fit with the object's true path: what the person did, not what was seen of it."""
    *_, path = resample(replace(fit, object_pose=truth.object_pose), SIDE)
    return replace(reference, object_pose=compose(reference.placement, path))


def scored(demonstration: Demonstration, setup: Setup, true_path: Reference | None, prefix: str) -> Row:
    """Strict successes of a mined file: on the floating hand, against the true path too, and on the arm."""
    rollout = score(demonstration, setup)
    row: Row = {f"{prefix}strict": bool(rollout.metrics["success_strict"])}
    if true_path is not None:
        judged = compute(replace(rollout, reference=true_path), setup.asset, setup.hand)
        row[f"{prefix}true_strict"] = bool(judged["success_strict"])
    if placed(demonstration.reference):
        row[f"{prefix}arm_strict"] = bool(score_on_arm(demonstration, setup).metrics["success_strict"])
    return row | {f"{prefix}seconds": demonstration.provenance["seconds_cpu"]}


def figures(rows: list[Row], clips: int) -> dict[str, float | None]:
    """The benchmark's ids, over the clips that are measured and could be rendered."""
    rows_in = [row for row in rows if not row.get("left_out")]

    def share(name: str) -> float | None:
        return sum(bool(row.get(name)) for row in rows_in) / len(rows_in) if rows_in else None

    def median(name: str) -> float | None:
        values = [row[name] for row in rows_in if name in row]
        return float(np.median(values)) if values else None

    video, mocap = share("video_strict"), share("mocap_strict")
    return {
        "clips": len(rows_in),
        "clips_not_run": clips - len(rows),
        "video_success_strict": video,
        "mocap_success_strict": mocap,
        "points_behind_mocap": None if video is None or mocap is None else 100.0 * (mocap - video),
        "video_success_strict_true_path": share("video_true_strict"),
        "video_arm_strict_fraction": share("video_arm_strict"),
        "mocap_arm_strict_fraction": share("mocap_arm_strict"),
        "clicked_fraction": share("clicked"),
        "unseen_fraction": sum(row.get("frames") == 0 for row in rows_in) / len(rows_in) if rows_in else None,
        **{f"{name}_p50": median(name) for name in ("mpjpe_mm", "t_err_mm", "r_err_deg")},
    }


def text(value: Any) -> str:
    """A cell of the printed table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def one_line(error: Exception) -> str:
    """An error's first line."""
    return str(error).splitlines()[0]
