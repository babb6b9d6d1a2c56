"""`dexhot bench ekf`: the hand-object filter on real motions, seen with synthetic noise.

Motions: GRAB clips of the cache (`dexhot datasets get grab`), and DexYCB's, where dexycb_motion/sequences.npz lies in
$DEXHOT_SHARED_DATA or the cache: per sequence keypoints (T, 21, 3) m, object_trans (T, 3) and object_quat_wxyz (T, 4).
Of DexYCB the subjects are measured on which no constant of the filter was chosen; of GRAB every other training clip was
used for that.

Frames come at jittered stamps. Noise is white: 5 mm on keypoints, a fifth missing, 3 % outliers; 3 mm and 3 deg on the
object's pose, a tenth missing, 2 % outliers, some a frame late. HIDDEN is the time without an object from the moment
that it was lifted by LIFTED.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.datasets.library import load_clip, splits
from dexhot.errors import NotFoundError
from dexhot.geometry import single
from dexhot.geometry.equivalents import nearest_equivalent, reduced_angle
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import load_symmetry
from dexhot.paths import cache_dir
from dexhot.progress import track
from dexhot.tracking.hand_object_filter import HandObjectEstimate, HandObjectFilter
from dexhot.tracking.observations import Observation, SeenKeypoints, SeenPose

HIDDEN, LIFTED = 1.0, 0.03  # s, m
KEYPOINT, MISSING, OUTLIERS = 0.005, 0.2, 0.03  # m, fractions
POSITION, ROTATION, UNSEEN, CONFUSED, LATE = 0.003, np.radians(3.0), 0.1, 0.02, 0.1  # m, rad, fractions
JITTER = 0.2  # of a frame's period
BAND = {3: (0.2158, 9.3484), 6: (1.2373, 14.4494)}  # 2.5 and 97.5 % quantiles of chi-square
HELD_OUT = ("subject-01", "subject-02", "subject-03", "subject-04")
QUICK = 12  # clips of each dataset


@dataclass
class RealMotion:
    """A clip's truth."""

    name: str
    time: np.ndarray  # (T,) s
    keypoints: np.ndarray  # (T, 21, 3) m
    pose: np.ndarray  # (T, 7)
    symmetry: Symmetry = field(default_factory=Symmetry)

    def lifted(self) -> int | None:
        """The frame from which the object is hidden; None if it does not move, or for too short a time."""
        away = np.linalg.norm(self.pose[:, :3] - self.pose[0, :3], axis=1) > LIFTED
        first = int(np.argmax(away))
        return first if first > 3 and self.time[first] + HIDDEN <= self.time[-1] else None


@dataclass
class Sighted:
    """A frame's noisy observations; None where there is none."""

    stamp: float
    hand: SeenKeypoints
    object: SeenPose | None
    late: bool  # the object's pose comes after the next frame's hand


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
    metrics |= hidden_metrics(hidden) | by_observation(motions[::4])
    rows = {h["name"]: [round(1e3 * h["carried"][0], 1), round(float(np.degrees(h["carried"][1])), 1)] for h in hidden}
    found = {"metrics": metrics, "subset": [m.name for m in motions], "hidden_mm_deg_by_clip": rows, "notes": notes}
    return found | {"seconds": time.perf_counter() - began}


def grab(quick: bool) -> list[RealMotion]:
    """GRAB's clips, right hand."""
    out: list[RealMotion] = []
    groups = splits("grab")
    names = groups["train"] if quick else [name for group, part in groups.items() if group != "quick" for name in part]
    for name in some(names, quick):
        clip = load_clip(f"grab/{name}")
        if "right" in clip.hands:
            symmetry = load_symmetry(clip.object_name)
            out.append(RealMotion(clip.name, clip.time, clip.hands["right"].keypoints, clip.object_pose, symmetry))
    return out


def some(names: list[str], quick: bool) -> list[str]:
    """All, or QUICK of them evenly."""
    return names[:: max(1, len(names) // QUICK)][:QUICK] if quick else names


def dexycb_file() -> Path | None:
    """Where the sequences are."""
    folders = [Path(p) for p in (os.environ.get("DEXHOT_SHARED_DATA"), cache_dir()) if p]
    files = [folder / "dexycb_motion" / "sequences.npz" for folder in folders]
    return next((file for file in files if file.is_file()), None)


def dexycb(path: Path, quick: bool) -> list[RealMotion]:
    """Sequences of the held-out subjects, at their 30 Hz."""
    out: list[RealMotion] = []
    with np.load(path) as data:
        names = sorted({key.split("/")[0] for key in data.files if any(s in key for s in HELD_OUT)})
        if not names:
            raise NotFoundError("subject", HELD_OUT[0], data.files[:3], f"{path} must hold DexYCB's sequences.")
        for name in some(names, quick):
            keypoints = data[f"{name}/keypoints"].astype(float)
            seen = np.linalg.norm(keypoints[:, 0], axis=1) > 0.3  # before the hand comes, it lies in the camera
            pose = np.hstack([data[f"{name}/object_trans"], data[f"{name}/object_quat_wxyz"]]).astype(float)
            stamps = np.arange(len(pose)) / 30.0
            out.append(RealMotion(f"dexycb/{name}", stamps[seen], keypoints[seen], pose[seen]))
    return out


def sighted(motion: RealMotion, seed: int) -> list[Sighted]:
    """What is observed of each frame. Noise covariance of an outlier is that of the others: the gate has to find it."""
    rng = np.random.default_rng(seed)
    covariance = np.diag(np.repeat([POSITION**2, ROTATION**2], 3))
    out: list[Sighted] = []
    for points, pose, stamp in zip(motion.keypoints, motion.pose, motion.time):
        seen = points + rng.normal(0, KEYPOINT, points.shape)
        wrong = rng.random(len(points)) < OUTLIERS
        seen[wrong] += rng.uniform(-0.08, 0.08, (int(wrong.sum()), 3))
        seen[rng.random(len(points)) < MISSING] = np.nan
        z = noisy(pose, rng)
        if rng.random() < CONFUSED:
            z = np.concatenate(
                [z[:3] + rng.uniform(-0.1, 0.1, 3), single.multiply(single.exp(rng.normal(0, 1, 3)), z[3:])]
            )
        hidden = bool(rng.random() < UNSEEN) and bool(out)
        seen_pose = None if hidden else SeenPose(z, covariance)
        out.append(Sighted(float(stamp), SeenKeypoints(seen, KEYPOINT), seen_pose, bool(rng.random() < LATE)))
    return out


def noisy(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pose (7,) with the detector's noise."""
    q = single.multiply(single.exp(rng.normal(0, ROTATION, 3)), pose[3:])
    return np.concatenate([pose[:3] + rng.normal(0, POSITION, 3), q])


def follow(motion: RealMotion, seed: int, hand: bool = True, pose: bool = True) -> dict[str, Any]:
    """Filter a whole clip with hand, object, or both (the object's first pose is always given). Errors per frame,
    without those of the first ten frames; the sensors' are of the same frames, without their outliers."""
    f = HandObjectFilter(symmetry=motion.symmetry)
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
    for k, seen in enumerate(sighted(motion, seed)):
        now: list[Observation] = [seen.hand] if hand else []
        if seen.object is not None and (pose or k == 0) and not (seen.late and k):
            now.append(seen.object)
        began = time.perf_counter()
        f.observe(seen.stamp, *now)
        took = time.perf_counter() - began
        if waiting is not None and waiting.object is not None and pose:
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


def pose_error(estimated: np.ndarray, true: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    """(6,) from the estimate to the nearest equivalent of the truth: m, and rotation vector in the world."""
    true = nearest_equivalent(symmetry, true, estimated[3:])
    return np.concatenate(
        [true[:3] - estimated[:3], single.log(single.multiply(true[3:], single.conjugate(estimated[3:])))]
    )


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


def by_observation(motions: list[RealMotion]) -> dict[str, float]:
    """HandyPriors' table I, right half: the object's mean error with the hand, the object, or both observed."""
    out = {}
    for name, hand, pose in (("hand", True, False), ("object", False, True), ("both", True, True)):
        errors = np.concatenate([follow(m, seed, hand, pose)["position"] for seed, m in enumerate(motions)])
        out[f"object_mm_from_{name}"] = 1e3 * float(errors.mean())
    return out
