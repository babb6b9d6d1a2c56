"""The motions of `dexhot bench ekf`, and how they are seen.

Motions: GRAB clips of the cache (`dexhot datasets get grab`), and DexYCB's, where dexycb_motion/sequences.npz lies in
$DEXHOT_SHARED_DATA or the cache: per sequence keypoints (T, 21, 3) m, object_trans (T, 3) and object_quat_wxyz (T, 4).
Of DexYCB the subjects are measured on which no constant of the filter was chosen; of GRAB every other training clip was
used for that.

Frames come at jittered stamps. Noise is white: 5 mm on keypoints, a fifth missing, 3 % outliers; 3 mm and 3 deg on the
object's pose, a tenth missing, 2 % outliers, some a frame late. Errors that are alike in time, as those of real
detectors are, have the same size, but the time constant and the white part of `dexhot synth`'s middle level; poses have
no white part.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dexhot.datasets.library import load_clip, splits
from dexhot.errors import NotFoundError
from dexhot.fitting.clip import convention_of
from dexhot.geometry import single
from dexhot.geometry.equivalents import nearest_equivalent
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import load_symmetry
from dexhot.paths import cache_dir
from dexhot.synthesis.noise import correlated, noise_level
from dexhot.tracking.observations import SeenKeypoints, SeenPose

HIDDEN, LIFTED = 1.0, 0.03  # s, m
KEYPOINT, MISSING, OUTLIERS = 0.005, 0.2, 0.03  # m, fractions
POSITION, ROTATION, UNSEEN, CONFUSED, LATE = 0.003, np.radians(3.0), 0.1, 0.02, 0.1  # m, rad, fractions
JITTER = 0.2  # of a frame's period
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
    object_name: str = ""  # "": its mesh is not here
    convention: str = "mano"  # of the keypoints

    def lifted(self) -> int | None:
        """The frame from which the object is hidden; None if it does not move, or for too short a time."""
        away = np.linalg.norm(self.pose[:, :3] - self.pose[0, :3], axis=1) > LIFTED
        first = int(np.argmax(away))
        return first if first > 3 and self.time[first] + HIDDEN <= self.time[-1] else None


def lifts(motions: list[RealMotion], most: int) -> list[RealMotion]:
    """Those with a mesh whose object is lifted; at most `most`, evenly taken."""
    found = [m for m in motions if m.object_name and m.lifted() is not None]
    return found[:: max(1, len(found) // most)][:most]


@dataclass
class Sighted:
    """A frame's noisy observations; None where there is none."""

    stamp: float
    hand: SeenKeypoints
    object: SeenPose | None
    late: bool  # the object's pose comes after the next frame's hand


def grab(quick: bool) -> list[RealMotion]:
    """GRAB's clips, right hand."""
    out: list[RealMotion] = []
    groups = splits("grab")
    names = groups["train"] if quick else [name for group, part in groups.items() if group != "quick" for name in part]
    for name in some(names, quick):
        clip = load_clip(f"grab/{name}")
        if "right" in clip.hands:
            symmetry = load_symmetry(clip.object_name)
            keypoints = clip.hands["right"].keypoints
            named = clip.object_name, convention_of(clip, "right")
            out.append(RealMotion(clip.name, clip.time, keypoints, clip.object_pose, symmetry, *named))
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


def memory() -> float:
    """Time constant of errors that are alike in time, s."""
    return noise_level("middle").keypoints["memory"]


def sighted(motion: RealMotion, seed: int, alike: bool = False) -> list[Sighted]:
    """What is observed of each frame; `alike`: with errors that are alike in time. Noise covariance of an outlier is
    that of the others: the gate has to find it."""
    rng = np.random.default_rng(seed)
    errors = alike_errors(motion, seed) if alike else None
    covariance = np.diag(np.repeat([POSITION**2, ROTATION**2], 3))
    out: list[Sighted] = []
    for k, (points, pose, stamp) in enumerate(zip(motion.keypoints, motion.pose, motion.time)):
        seen = points + rng.normal(0, KEYPOINT, points.shape)
        if errors is not None:
            seen = points + errors[0][k]
        wrong = rng.random(len(points)) < OUTLIERS
        seen[wrong] += rng.uniform(-0.08, 0.08, (int(wrong.sum()), 3))
        seen[rng.random(len(points)) < MISSING] = np.nan
        z = noisy(pose, rng)
        if errors is not None:
            z = displaced(pose, errors[1][k])
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
    turn = rng.normal(0, ROTATION, 3)
    return displaced(pose, np.concatenate([rng.normal(0, POSITION, 3), turn]))


def displaced(pose: np.ndarray, error: np.ndarray) -> np.ndarray:
    """A pose (7,) with an error (6,) of its position, m, and rotation vector in the world, rad."""
    return np.concatenate([pose[:3] + error[:3], single.multiply(single.exp(error[3:]), pose[3:])])


def alike_errors(motion: RealMotion, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 21, 3) m of keypoints, and (T, 6) of the object's position, m, and rotation vector, rad."""
    rng, level = np.random.default_rng((seed, 1)), noise_level("middle").keypoints
    slow, fast = np.array([level["slow"], level["fast"]]) / np.hypot(level["slow"], level["fast"])
    shape, steady = motion.keypoints.shape, level["memory"]
    points = KEYPOINT * (slow * correlated(rng, shape, motion.time, steady) + fast * rng.normal(size=shape))
    sigma = np.repeat([POSITION, ROTATION], 3)
    return points, sigma * correlated(rng, (len(motion.time), 6), motion.time, steady)


def pose_error(estimated: np.ndarray, true: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    """(6,) from the estimate to the nearest equivalent of the truth: m, and rotation vector in the world."""
    true = nearest_equivalent(symmetry, true, estimated[3:])
    return np.concatenate(
        [true[:3] - estimated[:3], single.log(single.multiply(true[3:], single.conjugate(estimated[3:])))]
    )
