"""`dexhot bench mine`: GRAB's clips, retargeted, mined and scored again from their files, beside plain replay, and
beside plain CEM and MPPI (sampling_peers.py)."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.sampling import SamplingOptions, base_actions
from dexhot.data.disk import check_folder
from dexhot.data.files import load, save, write_text
from dexhot.data.types import Demonstration
from dexhot.datasets import load_clip, split_clips, splits, unseen_halves
from dexhot.errors import DexhotError, UnreachableError
from dexhot.evaluation.panel import NOMINAL, PANEL, of_demonstration, play_panel
from dexhot.evaluation.score import score_on_arm
from dexhot.evaluation.verify import verify
from dexhot.metrics.rollout import compute
from dexhot.metrics.success import SUCCESSES
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir
from dexhot.progress import track
from dexhot.retargeting.grasp_sequence import is_in_hand
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import RetargetOptions, reference_kind, retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator, run_floating
from dexhot.simulation.perturbation import worlds as named_worlds
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup, load_setup
from dexhot.versions import source_hash
from dexhot_bench.sampling_peers import PEERS, peer_clip
from dexhot_train.mining.clip_job import mine_into
from dexhot_train.mining.executor import run_jobs
from dexhot_train.mining.mine import MineOptions, placed
from dexhot_train.mining.search import SearchOptions
from dexhot_train.mining.worlds import draw_worlds, object_relative, replay, success_rate

ROBUST_SEED, ROBUST_WORLDS = 424242, 20  # the scored perturbed replays; no search uses this seed
FULL = MineOptions(attempts=1)
ON_HALVES = (*SUCCESSES, "success_panel", "arm_strict_fraction", "robust_fraction_all", "replay_success_strict")
QUICK_PEERS = ("cylindersmall_lift", "duck_lift")  # all six take CEM and MPPI half a minute more
QUICK = MineOptions(
    sampling=SamplingOptions(horizon=0.8, replan=0.3),
    repair=SearchOptions(rounds=((32, 2),), rewinds=1),
    attempts=1,
    worlds=1,
    trials=1,
    arm=False,
    structured=48,
)


def run(
    quick: bool = False,
    workers: int = 0,
    executor: str = "process",
    out: Path | None = None,
    options: MineOptions | None = None,
    clips: list[str] | None = None,
    profile: str | None = None,
    split: str = "train",
    peers: bool = False,
    structured: bool = True,
    homotopy: int = 0,
    hand: str = "leap_right",
) -> dict[str, Any]:
    """Mine the clips (results of an earlier run with the same key are kept) and measure: metrics and a row per clip.

    out: the folder of references and demonstrations, by default in the cache. split: "train", or "test" for the clips
    that nothing is chosen by. peers: plan the clips with CEM and MPPI too; `quick` does so for the two shortest.
    structured: False mines by free knots alone. homotopy: tasks of the path on which a clip that fails is tried last.
    """
    options = with_ways(options or (QUICK if quick else FULL), structured, homotopy)
    clips = clips or clips_of("quick" if quick else split)
    folder = out or mined_dir("quick" if quick else split, profile, structured, homotopy, hand)
    out = check_folder(folder, "$DEXHOT_CACHE")
    rows, failed, kept = [], {}, {}
    mined = run_jobs(mine_clip, [(clip, out, options, profile, hand) for clip in clips], workers, executor)
    for (clip, *_), result in track(mined, "mining", len(clips)):
        if isinstance(result, Exception):
            failed[clip] = f"{type(result).__name__}: {result}"
        else:
            kept[clip] = result
    scored = run_jobs(score_clip, [(clip, out) for clip in kept], workers, executor)
    for (clip, _), result in track(scored, "scoring", len(kept)):
        if isinstance(result, Exception):
            failed[clip] = f"{type(result).__name__}: {result}"
        else:
            rows.append({**result, "kept": kept[clip]})
    rows.sort(key=lambda row: row["clip"])
    if peers or quick:
        _add_peers([r for r in rows if peers or r["clip"] in QUICK_PEERS], out, options, workers, executor, failed)
    metrics = figures(rows, len(clips)) | on_halves(rows, clips)
    named = load_physics(profile=profile).named(hand)
    told = {
        "split": "quick" if quick else split,
        "reference_kind": ", ".join(dict.fromkeys(row.get("reference_kind", "") for row in rows)),
        "options": asdict(options),
        "panel": panel_fractions(rows, len(clips)),
        "mujoco_mpc": "installed, not measured" if importlib.util.find_spec("mujoco_mpc") else "not installed",
    }
    return {"metrics": metrics, "subset": clips, **named, **told, "clips": rows, "failed": failed}


def _add_peers(
    rows: list[dict[str, Any]], out: Path, options: MineOptions, workers: int, executor: str, failed: dict[str, str]
) -> None:
    """Add the baselines' results to the rows."""
    by_clip = {row["clip"]: row for row in rows}
    planned = run_jobs(peer_clip, [(clip, out, options) for clip in by_clip], workers, executor)
    for (clip, *_), result in track(planned, "CEM and MPPI", len(rows)):
        if isinstance(result, Exception):
            failed[f"{clip}, CEM and MPPI"] = f"{type(result).__name__}: {result}"
            by_clip[clip] |= {f"{name}_success_strict": False for name in PEERS}
        else:
            by_clip[clip] |= result


def clips_of(split: str) -> list[str]:
    """GRAB's clips of a split; "test" is both test splits, of unseen objects and of unseen clips."""
    return split_clips(split, splits("grab"))


def with_ways(options: MineOptions, structured: bool = True, homotopy: int = 0) -> MineOptions:
    """`options` without structured plans, or with a homotopy path of so many tasks."""
    return replace(options, structured=options.structured if structured else 0, homotopy=homotopy or options.homotopy)


def mined_dir(
    split: str, profile: str | None, structured: bool = True, homotopy: int = 0, hand: str = "leap_right"
) -> Path:
    """Folder of the benchmark's plans; those of other ways to mine, or of another hand, have one of their own."""
    ways = ([] if structured else ["no-structured"]) + ([f"homotopy{homotopy}"] if homotopy else [])
    ways += [] if hand == "leap_right" else [hand]
    return cache_dir() / "mined" / split / "-".join([profile or load_hand(hand).servo, *ways])


def mine_clip(job: tuple[str, Path, MineOptions, str | None, str]) -> bool:
    """Retarget and mine one clip into `<out>/<clip>.npz`. Returns whether an earlier run's file was kept.

    The reference is made anew: the benchmark measures today's retargeting. A clip mined from the same one is kept.
    """
    clip, out, options, profile, hand = job
    trajectory = load_clip(f"grab/{clip}")
    setup = Setup(load_hand(hand), load_object(trajectory.object_name), load_physics(profile=profile))
    reference = retarget(trajectory, setup.hand, setup.asset, RetargetOptions(profile=profile))
    with suppress(UnreachableError):  # then it is mined where it was recorded, and not tried on the arm
        reference = place(reference, setup.hand)
    save(reference, out / f"{clip}.reference.npz")
    return mine_into(out / f"{clip}.npz", reference, setup, options)


def score_clip(job: tuple[str, Path]) -> dict[str, Any]:
    """Score a mined file in a process that did not make it, against its verified reference: as it is, in the worlds of
    the panel, on the arm, perturbed, object-relative; beside it plain replay of the reference, and a hand that stays
    where it begins, which the lenient successes let pass. An earlier row of the same file, by the same code, is kept.
    Raises DexhotError for a reference that is not the clip's.
    """
    clip, out = job
    key, kept = score_key(out / f"{clip}.npz"), out / f"{clip}.json"
    if kept.is_file():
        row: dict[str, Any] = json.loads(kept.read_text())
        if row.get("key") == key:
            return row
    demonstration = load(out / f"{clip}.npz", Demonstration)
    setup = load_setup(demonstration.reference)
    verification = verify(demonstration.reference, setup, load_clip(f"grab/{clip}"))
    if not verification.whole:
        raise DexhotError(f"{verification.name} ({verification.why}) does not count for {clip}; mine it again.")
    reference = verification.reference
    demonstration = replace(demonstration, reference=reference)
    simulator = floating_simulator(reference, setup)
    plans = {
        "": demonstration.actions,
        "replay_": base_actions(reference, setup.physics),
        "frozen_": np.repeat(reference.q[:1], len(reference.q), axis=0),
    }
    rollouts = {who: run_floating(reference, plan, simulator) for who, plan in plans.items()}
    found = {who: compute(rollout, setup.asset, setup.hand) for who, rollout in rollouts.items()}
    mined = found.pop("")
    row = {"clip": clip, "key": key, **mined, "chosen": demonstration.provenance["chosen"]}
    row |= {who + success: metrics[success] for who, metrics in found.items() for success in SUCCESSES}
    row |= {
        name: demonstration.provenance[name] for name in ("seconds_cpu", "seconds_wall", "control_steps", "candidates")
    }
    row["reachable"] = placed(reference)
    row |= {"in_hand": is_in_hand(reference), "in_hand_deg": reference.provenance.get("in_hand_deg")}
    row["reference_kind"] = reference_kind(reference)
    if row["reachable"]:
        row["speed_factor"] = reference.speed_factor
        row["arm_strict"] = score_on_arm(demonstration, setup).metrics["success_strict"]

    def robust(set_name: str, relative: bool) -> float:
        worlds = draw_worlds(reference, simulator, ROBUST_WORLDS, ROBUST_SEED, named_worlds(set_name))
        starts = [simulator.object_pose(world.state) for world in worlds]
        moved = [object_relative(demonstration, start) for start in starts]
        return success_rate(
            replay(reference, np.stack(moved) if relative else demonstration.actions, worlds, simulator)
        )

    row["robust_v2"] = robust("worlds_v2", relative=True)
    row["success_panel"] = False
    if mined["success_strict"]:
        panel = play_panel(of_demonstration(demonstration, setup), setup)
        row |= {"success_panel": panel.success, "panel": panel.as_json()}
        row["robust"], row["robust_object_relative"] = (robust("worlds_v1", relative) for relative in (False, True))
        if row["reachable"]:
            row["arm_success_strict"] = row["arm_strict"]
    write_text(kept, json.dumps(row, indent=1))
    return row


def score_key(path: Path) -> str:
    """Hash of all that a row depends on: the file's content, the code that simulates and judges, and this module."""
    parts = path.read_bytes(), source_hash().encode(), Path(__file__).read_bytes()
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def figures(rows: list[dict[str, Any]], clips: int) -> dict[str, float | None]:
    """The benchmark's ids. A clip that failed to run counts as no success."""

    def share(name: str) -> float:
        return sum(bool(row.get(name)) for row in rows) / clips

    def over(function: Callable[[list[float]], Any], name: str) -> float | None:
        values = [row[name] for row in rows if row.get(name) is not None]
        return float(function(values)) if values else None

    in_hand = [row for row in rows if row.get("in_hand")]

    def on_in_hand(name: str) -> float | None:
        return float(np.mean([row.get(name) or 0.0 for row in in_hand])) if in_hand else None

    planned = [name for name in PEERS if any(f"{name}_success_strict" in row for row in rows)]
    successes = [who + success for who in ("", "replay_", "frozen_") for success in SUCCESSES]
    return {
        **{name: share(name) for name in (*successes, "success_strict_raw")},
        "n_in_hand": len(in_hand),
        "success_strict_in_hand": on_in_hand("success_strict"),
        "success_panel_in_hand": on_in_hand("success_panel"),
        "robust_fraction_all_in_hand": on_in_hand("robust_v2"),
        "success_panel": share("success_panel"),
        "reachable_fraction": share("reachable"),
        "arm_strict_fraction": share("arm_strict"),
        "robust_fraction_all": sum(row.get("robust_v2") or 0.0 for row in rows) / clips,
        "speed_factor_p50": over(np.median, "speed_factor"),
        "arm_success_strict": over(np.mean, "arm_success_strict"),
        "robust_fraction": over(np.mean, "robust"),
        "robust_fraction_object_relative": over(np.mean, "robust_object_relative"),
        **{
            name: over(np.median, name)
            for name in ("T_err_cm", "R_err_rad", "penetration_mm", "self_penetration_mm", "hold_rate")
        },
        "seconds_per_clip": over(np.median, "seconds_cpu"),
        "seconds_per_clip_max": over(np.max, "seconds_cpu"),
        "seconds_per_clip_wall": over(np.median, "seconds_wall"),
        **{f"{name}_success_strict": over(np.mean, f"{name}_success_strict") for name in planned},
        **{f"{name}_seconds_per_clip": over(np.median, f"{name}_seconds_cpu") for name in planned},
    }


def on_halves(rows: list[dict[str, Any]], clips: list[str]) -> dict[str, float | None]:
    """The ids of ON_HALVES over the clips of unseen objects and over unseen clips, with how many these are; none of a
    split that has neither."""
    found: dict[str, float | None] = {}
    for half, own in unseen_halves(splits("grab")).items():
        if here := [clip for clip in clips if clip in own]:
            means = figures([row for row in rows if row["clip"] in here], len(here))
            found |= {f"n_{half}": len(here), **{f"{name}_{half}": means[name] for name in ON_HALVES}}
    return found


def panel_fractions(rows: list[dict[str, Any]], clips: int) -> dict[str, float]:
    """World of the panel -> fraction of all clips that are strict there and in the nominal world."""
    worlds = (NOMINAL, *(world.name for world in PANEL))
    return {name: sum(row.get("panel", {}).get(name, False) for row in rows) / clips for name in worlds}
