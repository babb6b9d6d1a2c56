"""`dexhot bench ekf`: the hand-object filter on real motions, seen with synthetic noise (ekf_motions.py).

HIDDEN is the time without an object from the moment that it was lifted by LIFTED.
"""

import time
from typing import Any

import numpy as np

from dexhot.geometry import single
from dexhot.geometry.equivalents import reduced_angle
from dexhot.progress import track
from dexhot.tracking.hand_object_filter import HandObjectEstimate, HandObjectFilter, HandObjectOptions
from dexhot.tracking.observations import Observation
from dexhot_bench.ekf_hand import hand_rows
from dexhot_bench.ekf_motions import (
    HIDDEN,
    KEYPOINT,
    POSITION,
    ROTATION,
    RealMotion,
    Sighted,
    dexycb,
    dexycb_file,
    grab,
    memory,
    pose_error,
    sighted,
)
from dexhot_bench.ekf_table import PUBLISHED, table
from dexhot_bench.ekf_vertices import beside

BAND = {3: (0.2158, 9.3484), 6: (1.2373, 14.4494)}  # 2.5 and 97.5 % quantiles of chi-square
TABLE = {True: 6, False: 40}  # clips of HandyPriors' table, quick or not
MISSED = {True: 6, False: 40}  # clips in which the hand is missed
ALIKE = {True: 6, False: 60}  # clips with errors that are alike in time
CONTACT = 94  # and of its eq. 9 over vertices, which needs a fit of each hand


def run(quick: bool = False, **_: Any) -> dict[str, Any]:
    """Errors, consistency, drift while hidden, and time."""
    began = time.perf_counter()
    motions, notes = grab(quick), []
    if (path := dexycb_file()) is None:
        notes.append("DexYCB's motions are not in the cache (dexycb_motion/sequences.npz): GRAB alone")
    else:
        motions += dexycb(path, quick)
    runs = [follow(m, seed) for seed, m in enumerate(track(motions, "filtering"))]
    hidden = [h for seed, m in enumerate(motions) if (h := hide(m, seed)) is not None]
    hand, raw_hand, position, raw_position, turn, raw_turn = (
        float(np.concatenate([r[k] for r in runs]).mean())
        for k in ("hand", "raw_hand", "position", "raw_position", "turn", "raw_turn")
    )
    inside = {k: float(np.concatenate([r[k] for r in runs]).mean()) for k in ("hand_inside", "object_inside")}
    metrics = {
        "update_ms_p50": 1e3 * float(np.median(np.concatenate([r["seconds"] for r in runs]))),
        "error_ratio_best_sensor": max(hand / raw_hand, position / raw_position, turn / raw_turn),
        "hand_mm": 1e3 * hand,
        "hand_sensor_mm": 1e3 * raw_hand,
        "object_mm": 1e3 * position,
        "object_sensor_mm": 1e3 * raw_position,
        "object_deg": np.degrees(turn),
        "object_sensor_deg": np.degrees(raw_turn),
        "nees_in_band_fraction": min(inside.values()),
        "hand_nees_in_band_fraction": inside["hand_inside"],
        "object_nees_in_band_fraction": inside["object_inside"],
    }
    metrics |= hidden_metrics(hidden) | table(motions, TABLE[quick]) | hand_rows(motions, MISSED[quick])
    metrics |= alike_rows(motions, ALIKE[quick])
    if not quick:
        metrics |= beside(motions, CONTACT)
    rows = {h["name"]: [round(1e3 * h["carried"][0], 1), round(float(np.degrees(h["carried"][1])), 1)] for h in hidden}
    found = {"metrics": metrics, "subset": [m.name for m in motions], "hidden_mm_deg_by_clip": rows, "notes": notes}
    return found | {"published": {"handypriors_table1": PUBLISHED}, "seconds": time.perf_counter() - began}


def alike_rows(motions: list[RealMotion], clips: int) -> dict[str, Any]:
    """Metrics `correlated_...`: errors that are alike in time, of a filter that knows for how long, on at most `clips`
    clips; `correlated_as_white_...`: of one that takes them for white noise."""
    chosen, out = motions[:: max(1, len(motions) // clips)][:clips], dict[str, Any]()
    told = HandObjectOptions(hand_memory=memory(), object_memory=memory())
    for name, options in (("correlated", told), ("correlated_as_white", HandObjectOptions())):
        runs = [follow(m, seed, options, alike=True) for seed, m in enumerate(chosen)]
        every = {k: float(np.concatenate([r[k] for r in runs]).mean()) for k in runs[0]}
        ratios = [every[k] / every[f"raw_{k}"] for k in ("hand", "position", "turn")]
        out |= {f"{name}_{what}_nees_in_band_fraction": every[f"{what}_inside"] for what in ("hand", "object")}
        out |= {
            f"{name}_nees_in_band_fraction": min(every["hand_inside"], every["object_inside"]),
            f"{name}_error_ratio": max(ratios),
        }
    return out


def follow(
    motion: RealMotion, seed: int, options: HandObjectOptions | None = None, alike: bool = False
) -> dict[str, Any]:
    """Filter a whole clip, with errors that are `alike` in time or white. Errors per frame, without those of the first
    ten; the sensors' are of the same frames, without their outliers. `seconds`: CPU time of an update by both."""
    f = HandObjectFilter(options, motion.symmetry)
    names = (
        "hand",
        "raw_hand",
        "position",
        "raw_position",
        "turn",
        "raw_turn",
        "hand_inside",
        "object_inside",
        "seconds",
    )
    out: dict[str, list[Any]] = {name: [] for name in names}
    waiting: Sighted | None = None
    for k, seen in enumerate(sighted(motion, seed, alike)):
        now: list[Observation] = [seen.hand]
        if seen.object is not None and not (seen.late and k):
            now.append(seen.object)
        began = time.thread_time()
        f.observe(seen.stamp, *now)
        took = time.thread_time() - began
        if waiting is not None and waiting.object is not None:
            f.observe(waiting.stamp, waiting.object)
        waiting = seen if seen.late and k else None
        if k < 10:
            continue
        if len(now) == 2:
            out["seconds"].append(took)
        compare(f.estimate(), motion, k, seen, out)
    return {name: np.array(values) for name, values in out.items()}


def compare(estimate: HandObjectEstimate, motion: RealMotion, k: int, seen: Sighted, out: dict[str, list[Any]]) -> None:
    """Append one frame's errors and whether they are in the band."""
    error = motion.keypoints[k] - estimate.keypoints
    raw = np.linalg.norm(seen.hand.points - motion.keypoints[k], axis=1)
    good = np.isfinite(raw) & (raw < 4 * KEYPOINT)
    out["hand"].extend(np.linalg.norm(error, axis=1)[good])
    out["raw_hand"].extend(raw[good])
    blocks = estimate.keypoint_covariance().reshape(21, 3, 21, 3)[np.arange(21), :, np.arange(21)]
    nees = (error * np.linalg.solve(blocks, error[..., None])[..., 0]).sum(1) if blocks.any() else np.zeros(21)
    out["hand_inside"].extend((nees > BAND[3][0]) & (nees < BAND[3][1]))
    e = pose_error(estimate.object_pose, motion.pose[k], motion.symmetry)
    value = e @ np.linalg.solve(estimate.object_covariance(), e)
    # what a symmetry leaves open has no error: the band is that of six
    if motion.symmetry.kind not in ("axis", "sphere"):
        out["object_inside"].append(BAND[6][0] < value < BAND[6][1])
    if seen.object is not None:
        r = pose_error(seen.object.pose, motion.pose[k], motion.symmetry)
        if np.linalg.norm(r[:3]) < 6 * POSITION and np.linalg.norm(r[3:]) < 6 * ROTATION:
            for name, value in (("", e), ("raw_", r)):
                out[f"{name}position"].append(np.linalg.norm(value[:3]))
                out[f"{name}turn"].append(np.linalg.norm(value[3:]))


def hide(motion: RealMotion, seed: int) -> dict[str, Any] | None:
    """Drift of the object after HIDDEN without it: of the filter, of constant velocity and of standing still, the last
    two from the truth. None for a clip without a lift."""
    first = motion.lifted()
    if first is None:
        return None
    f = HandObjectFilter(symmetry=motion.symmetry)
    last = int(np.searchsorted(motion.time, motion.time[first] + HIDDEN - 1e-6))
    for k, seen in enumerate(sighted(motion, seed)[: last + 1]):
        f.observe(seen.stamp, *([seen.hand] if k > first or seen.object is None else [seen.hand, seen.object]))
    e = f.estimate()
    true, start, before = motion.pose[last], motion.pose[first], motion.pose[first - 1]
    n = last - first
    step = single.exp(n * single.log(single.multiply(start[3:], single.conjugate(before[3:]))))
    moved = np.concatenate([start[:3] + n * (start[:3] - before[:3]), single.multiply(step, start[3:])])
    error = pose_error(e.object_pose, true, motion.symmetry)
    nees = error @ np.linalg.solve(e.object_covariance(), error)
    ways = {"carried": e.object_pose, "velocity": moved, "still": start}
    return {"name": motion.name, "motion": e.motion, "inside": bool(nees < BAND[6][1])} | {
        name: (np.linalg.norm(p[:3] - true[:3]), float(reduced_angle(motion.symmetry, p[3:], true[3:])))
        for name, p in ways.items()
    }


def hidden_metrics(hidden: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the clips."""
    out: dict[str, Any] = {"hidden_clips": len(hidden)}
    for way, name in (("carried", "hidden"), ("velocity", "constant_velocity"), ("still", "standing_still")):
        drift = np.median([h[way] for h in hidden], axis=0)
        out |= {f"{name}_drift_cm": 100 * float(drift[0]), f"{name}_drift_deg": float(np.degrees(drift[1]))}
    for dataset in sorted({h["name"].split("/")[0] for h in hidden}):
        drift = np.median([h["carried"] for h in hidden if h["name"].startswith(f"{dataset}/")], axis=0)
        out |= {f"{dataset}_drift_cm": 100 * float(drift[0]), f"{dataset}_drift_deg": float(np.degrees(drift[1]))}
    out["hidden_covered_fraction"] = float(np.mean([h["inside"] for h in hidden]))
    out["hidden_as_carried_fraction"] = float(np.mean([h["motion"] == "carried" for h in hidden]))
    return out
