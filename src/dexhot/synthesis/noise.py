"""What a real camera and real detectors add to ideal pictures; the numbers of each level are in config/synthesis.yaml.

Pixels in it are of pictures 640 wide; smaller pictures have proportionally smaller errors.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import quat_multiply, rotvec_to_quat
from dexhot.paths import share_dir

LEVELS = ("low", "middle", "high")


@dataclass(frozen=True)
class Level:
    """The settings of one level, by group."""

    name: str
    depth: dict[str, float]
    color: dict[str, float]
    mask: dict[str, float]
    keypoints: dict[str, float]
    object: dict[str, float]
    reference_size: float  # px

    def pixels(self, camera: Intrinsics) -> float:
        """Size of the pixels that the settings are in, in pixels of `camera`."""
        return camera.width / self.reference_size


@cache
def noise_level(name: str) -> Level:
    """A level of config/synthesis.yaml. Raises NotFoundError."""
    if name not in LEVELS:
        raise NotFoundError("noise level", name, LEVELS)
    settings: dict[str, Any] = load_yaml(share_dir() / "config" / "synthesis.yaml")
    k = LEVELS.index(name)
    groups = {
        group: {key: row[k] for key, row in rows.items()} for group, rows in settings.items() if isinstance(rows, dict)
    }
    return Level(name, **groups, reference_size=float(settings["reference_size"]))


def noisy_depth(depth: np.ndarray, camera: Intrinsics, level: Level, rng: np.random.Generator) -> np.ndarray:
    """(H, W) m -> (H, W) uint16 mm, 0 where a stereo camera finds nothing."""
    d, px = level.depth, level.pixels(camera)
    span = camera.fx * d["baseline"]  # px m
    error = gaussian_filter(rng.standard_normal(depth.shape, np.float32), d["correlation"] * px)
    disparity = span / depth + d["disparity_sigma"] * px / error.std() * error
    step = d["step"] * px
    z = span / np.maximum(np.round(disparity / step) * step, step)
    high, low = maximum_filter(depth, 3), minimum_filter(depth, 3)
    edge = high - low > d["edge"] / px  # neighbours of a smaller picture are farther apart
    flying = edge & (rng.random(depth.shape, np.float32) < d["flying"])
    between = rng.random(depth.shape, np.float32)
    z = np.where(flying, low + between * (high - low), z)
    beside = maximum_filter(edge, 2 * round(d["edge_width"] * px) + 1)
    ragged = gaussian_filter(rng.standard_normal(depth.shape, np.float32), px)
    lost = beside & ~flying & (_rank(ragged) < d["edge_missing"])
    lost |= _rank(_patches(depth.shape, 12 * px, rng)) < d["holes"]
    z[lost | (depth > d["farthest"])] = 0.0
    return np.round(1e3 * z).astype(np.uint16)


def noisy_color(color: np.ndarray, camera: Intrinsics, level: Level, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) float or uint8 -> uint8, through a lens and a sensor."""
    c, px = level.color, level.pixels(camera)
    soft = gaussian_filter(color.astype(np.float32), (c["sharpness"] * px, c["sharpness"] * px, 0))
    return np.clip(soft + c["grain"] * rng.standard_normal(soft.shape, np.float32) + 0.5, 0, 255).astype(np.uint8)


class MaskNoise:
    """Displaces the borders of labels, alike from frame to frame, and drops labels in some frames."""

    def __init__(self, camera: Intrinsics, level: Level, rng: np.random.Generator):
        self.shape, self.rng, self.px, self.m = (camera.height, camera.width), rng, level.pixels(camera), level.mask
        self.fields = [self._field(), self._field()]
        self.rows, self.columns = np.mgrid[: camera.height, : camera.width]

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        keep = self.m["memory"]
        self.fields = [keep * f + np.sqrt(1 - keep**2) * self._field() for f in self.fields]
        down, right = (np.round(f).astype(int) for f in self.fields)
        height, width = self.shape
        out = labels[np.clip(self.rows + down, 0, height - 1), np.clip(self.columns + right, 0, width - 1)]
        for label in np.unique(labels[labels > 0]):
            if self.rng.random() < self.m["missing"]:
                out = np.where(out == label, 0, out)
        return out.astype(np.uint8)

    def _field(self) -> np.ndarray:
        field = _patches(self.shape, self.m["patch"] * self.px, self.rng)
        return self.m["boundary"] * self.px * field


def noisy_keypoints(
    pixels: np.ndarray, time: np.ndarray, camera: Intrinsics, level: Level, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """True pixels (T, 21, 2) at times (T,) s -> detected ones, NaN where unseen, and their confidence (T, 21)."""
    k, px = level.keypoints, level.pixels(camera)
    slow = correlated(rng, pixels.shape, time, k["memory"])
    seen = pixels + px * (k["slow"] * slow + k["fast"] * rng.normal(size=pixels.shape))
    wrong = rng.random(pixels.shape[:2]) < k["outliers"]
    seen[wrong] += px * k["outlier"] * rng.normal(size=(int(wrong.sum()), 2))
    outside = ((seen < 0) | (seen > np.array([camera.width, camera.height]) - 1)).any(axis=-1)
    gone = _gaps(len(time), _step(time), k["missing"], k["lost"], rng)[:, None] | outside
    gone = gone | (rng.random(pixels.shape[:2]) < k["hidden"])
    off = np.linalg.norm(seen - pixels, axis=-1) / (px * max(2.0 * k["slow"], 1e-6))
    confidence = np.clip(0.95 - 0.15 * off + 0.08 * rng.normal(size=gone.shape), 0.2, 1.0)  # weakly tells the error
    return np.where(gone[..., None], np.nan, seen), np.where(gone, 0.0, confidence)


def guessed_depth(
    points: np.ndarray, time: np.ndarray, camera: Intrinsics, level: Level, rng: np.random.Generator
) -> np.ndarray:
    """True keypoints (T, 21, 3) m, optical frame -> a detector's guess of their depth relative to the wrist, (T, 21) px
    at the wrist's distance."""
    k, z = level.keypoints, points[..., 2]
    guess = (1.0 - k["flat"]) * (z - z[:, :1]) + k["along"] * correlated(rng, z.shape, time, k["memory"])
    along: np.ndarray = camera.fx / z[:, :1] * (guess - guess[:, :1])
    return along


def noisy_poses(poses: np.ndarray, time: np.ndarray, level: Level, rng: np.random.Generator) -> np.ndarray:
    """camera_T_mesh (T, 7) -> as a pose estimator measures it, NaN where it does not."""
    o = level.object
    memory = level.keypoints["memory"]
    shift = o["shift"] / np.sqrt(3) * correlated(rng, (len(poses), 3), time, memory)
    turn = np.radians(o["turn"]) / np.sqrt(3) * correlated(rng, (len(poses), 3), time, memory)
    out = make_pose(poses[:, :3] + shift, quat_multiply(poses[:, 3:], rotvec_to_quat(turn)))
    out[rng.random(len(poses)) < o["missing"]] = np.nan
    return out


def correlated(rng: np.random.Generator, shape: tuple[int, ...], time: np.ndarray, memory: float) -> np.ndarray:
    """Unit Gaussian noise (T, ...) whose correlation falls to 1/e after `memory` s (Ornstein-Uhlenbeck)."""
    white = rng.normal(size=shape)
    keep = np.exp(-_step(time) / memory)
    for t in range(1, shape[0]):
        white[t] = keep * white[t - 1] + np.sqrt(1 - keep**2) * white[t]
    return white


def _step(time: np.ndarray) -> float:
    return float(np.median(np.diff(time))) if len(time) > 1 else 1.0


def _gaps(count: int, step: float, fraction: float, duration: float, rng: np.random.Generator) -> np.ndarray:
    """(count,) bool with `fraction` True on average, in runs of about `duration` s."""
    if fraction <= 0:
        return np.zeros(count, bool)
    end = min(1.0, step / duration)
    begin = min(1.0, end * fraction / (1 - fraction))
    gone = np.zeros(count, bool)
    state = rng.random() < fraction
    for t in range(count):
        gone[t] = state
        state = rng.random() >= end if state else rng.random() < begin
    return gone


def _patches(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) smooth unit noise with patches of `size` px."""
    step = max(size, 1.0)
    rows, columns = (_between(int(n / step) + 3, step, n) for n in shape)
    fine = rows @ rng.standard_normal((rows.shape[1], columns.shape[1])) @ columns.T
    unit: np.ndarray = fine / max(float(fine.std()), 1e-9)
    return unit


@lru_cache(maxsize=32)
def _between(known: int, step: float, count: int) -> np.ndarray:
    """(count, known) weights that interpolate `known` values, about `step` px apart, linearly at the first pixels."""
    at = np.arange(count) * (known - 1) / (round(known * step) - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(known)))


def _rank(field: np.ndarray) -> np.ndarray:
    """Unit Gaussian-like noise -> its rank in [0, 1], so that a threshold is a fraction."""
    from scipy.special import ndtr

    unit: np.ndarray = ndtr(field / max(float(field.std()), 1e-9))
    return unit
