"""Noise of rendered clips: its size, its correlation, and that each level is worse than the one before."""

import numpy as np
import pytest
from scipy.ndimage import zoom

from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import make_pose
from dexhot.synthesis.noise import (
    LEVELS,
    MaskNoise,
    _patches,
    correlated,
    guessed_depth,
    noise_level,
    noisy_color,
    noisy_depth,
    noisy_keypoints,
    noisy_poses,
)

CAMERA = pinhole(320, 240, 42.6)
TIME = np.arange(300) / 30.0


def rng():
    return np.random.default_rng(5)


def test_depth_errors_grow_with_the_square_of_the_depth():
    spread = []
    for z in (0.5, 1.0):
        seen = noisy_depth(np.full((240, 320), z, np.float32), CAMERA, noise_level("middle"), rng())
        spread.append(np.std(seen[seen > 0] * 1e-3))
    assert 3.4 < spread[1] / spread[0] < 4.6
    expected = noise_level("middle").depth["disparity_sigma"] * 0.5 / (CAMERA.fx * 0.05)  # px of 640 -> of 320
    assert 0.8 < spread[1] / expected < 1.2


def test_depth_errors_of_neighbours_are_alike():
    seen = noisy_depth(np.full((240, 320), 0.8, np.float32), CAMERA, noise_level("high"), rng()).astype(float)
    seen[seen == 0] = np.nan
    off = seen - np.nanmean(seen)
    near, far = (np.nanmean(off[:, k:] * off[:, :-k]) / np.nanmean(off**2) for k in (1, 12))
    assert near > 0.5 and abs(far) < 0.1


def test_depth_fails_at_edges_and_beyond_the_range():
    depth = np.full((240, 320), 1.0, np.float32)
    depth[80:160, 100:200] = 0.6
    depth[:, 300:] = 3.0
    level = noise_level("high")
    seen = noisy_depth(depth, CAMERA, level, rng())
    assert (seen[:, 302:] == 0).all()
    lost = seen == 0
    assert lost[78:82, 100:200].mean() > 0.4 and lost[100:140, 120:180].mean() < 0.1
    between = (seen > 650) & (seen < 950)
    assert between[78:82, 100:200].any() and not between[100:140, 120:180].any()  # flying pixels
    assert 0.3 * level.depth["holes"] < lost[180:, :280].mean() < 3 * level.depth["holes"]


@pytest.mark.parametrize(("low", "high"), [("low", "middle"), ("middle", "high")])
def test_a_level_is_worse_than_the_one_before(low, high):
    a, b = noise_level(low), noise_level(high)
    for group in ("depth", "color", "mask", "keypoints", "object"):
        one, other = getattr(a, group), getattr(b, group)
        assert all(other[k] >= one[k] for k in one) and any(other[k] > one[k] for k in one)


def test_middle_keypoints_are_as_those_measured_on_real_frames():
    """Median 3.7 to 9.7 px, 90th percentile 7 to 25 px, hands found in 79 to 100 % of frames, at 640x480."""
    camera = pinhole(640, 480, 42.6)
    true = np.full((3000, 21, 2), [320.0, 240.0])
    seen, confidence = noisy_keypoints(true, np.arange(3000) / 30.0, camera, noise_level("middle"), rng())
    off = np.linalg.norm(seen - true, axis=-1)
    assert 3.7 < np.nanmedian(off) < 9.7 and 7 < np.nanpercentile(off, 90) < 25
    found = (confidence > 0).any(axis=1)
    assert 0.79 < found.mean() < 0.97
    assert np.array_equal(confidence > 0, np.isfinite(seen).all(-1))
    runs = np.diff(np.flatnonzero(np.diff(found.astype(int))))[::2]
    assert runs.mean() > 3  # hands are missing for several frames, not for single ones
    sure, unsure = confidence > 0.85, (confidence > 0) & (confidence < 0.6)
    assert np.median(off[sure]) < np.median(off[unsure])


def test_the_middle_guess_of_relative_depth_is_as_the_one_measured():
    """12 mm rms about the mean of a hand's keypoints, which it shows too flat: by 0.59 to 0.87 of the true depths."""
    true = np.zeros((3000, 21, 3)) + [0.0, 0.0, 0.7]
    true[..., 2] += rng().normal(0.0, 0.02, 21)
    guess = guessed_depth(true, np.arange(3000) / 30.0, CAMERA, noise_level("middle"), rng())
    assert (guess[:, 0] == 0.0).all()
    ahead = guess * true[:, :1, 2] / CAMERA.fx
    ahead, real = (z - z.mean(axis=1, keepdims=True) for z in (ahead, true[..., 2]))
    assert 0.59 < np.polyfit(real.ravel(), ahead.ravel(), 1)[0] < 0.87
    assert 0.010 < np.sqrt(((ahead - real) ** 2).mean()) < 0.014


def test_a_keypoint_outside_of_the_picture_is_not_seen():
    true = np.full((20, 21, 2), [-40.0, 100.0])
    seen, confidence = noisy_keypoints(true, TIME[:20], CAMERA, noise_level("low"), rng())
    assert np.isnan(seen).all() and (confidence == 0).all()


def test_correlation_falls_to_1_over_e_after_the_memory():
    noise = correlated(rng(), (20000, 4), np.arange(20000) / 30.0, 0.3)
    assert 0.9 < noise.std() < 1.1
    after = np.mean(noise[9:] * noise[:-9]) / np.mean(noise**2)
    assert abs(after - np.exp(-1)) < 0.06


def test_masks_move_at_their_borders_only():
    labels = np.zeros((240, 320), np.uint8)
    labels[60:180, 80:240] = 2
    noise = MaskNoise(CAMERA, noise_level("middle"), rng())
    frames = [noise(labels) for _ in range(30)]
    kept = [f for f in frames if (f == 2).any()]
    wrong = np.mean([f != labels for f in kept], axis=0)
    assert wrong[80:160, 100:220].max() == 0 and wrong[:40].max() == 0
    assert 0.1 < wrong[58:62, 80:240].mean() < 0.5
    union = [((f == 2) | (labels == 2)).sum() for f in kept]
    iou = np.mean([((f == 2) & (labels == 2)).sum() / n for f, n in zip(kept, union)])
    assert 0.95 < iou < 0.99
    before = noise.fields[0].copy()
    noise(labels)
    alike = np.mean(before * noise.fields[0]) / np.mean(before**2)
    assert 0.6 < alike < 1.0  # from frame to frame


def test_measured_poses_are_off_by_the_stated_amount():
    true = make_pose(np.tile([0.1, 0.0, 0.7], (4000, 1)), [0.5, 0.5, 0.5, 0.5])
    level = noise_level("middle")
    seen = noisy_poses(true, np.arange(4000) / 30.0, level, rng())
    known = np.isfinite(seen).all(axis=1)
    assert 0.95 < known.mean() < 0.995
    off = np.linalg.norm(seen[known, :3] - true[known, :3], axis=1)
    assert 0.8 < np.sqrt(np.mean(off**2)) / level.object["shift"] < 1.2


def test_pictures_get_grain_and_blur():
    sharp = np.zeros((240, 320, 3), np.uint8)
    sharp[:, 160:] = 200
    seen = noisy_color(sharp, CAMERA, noise_level("high"), rng())
    assert 3 < seen[:, 200:].std() < 7
    assert 8 < seen[:, 159].mean() < 60 < 140 < seen[:, 160].mean() < 192


def test_levels_are_named():
    assert [noise_level(name).name for name in LEVELS] == list(LEVELS)


@pytest.mark.parametrize("size", [9.0, 1.5, 0.5])
def test_patches_are_linear_between_what_is_drawn(size):
    step = max(size, 1.0)
    drawn = rng().standard_normal([int(n / step) + 3 for n in (48, 64)])
    expected = zoom(drawn, step, order=1)[:48, :64]
    np.testing.assert_allclose(_patches((48, 64), size, rng()), expected / expected.std(), atol=1e-9)
