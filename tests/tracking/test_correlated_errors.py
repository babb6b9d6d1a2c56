"""Observations whose errors are alike in time: what the filter then claims to know."""

import numpy as np
import pytest

from dexhot.geometry import single
from dexhot.synthesis.noise import correlated
from dexhot.tracking.hand_object_filter import HandObjectFilter, HandObjectOptions, _repeated
from dexhot.tracking.observations import SeenKeypoints, SeenPose

MEMORY, STEP = 0.3, 1 / 30  # s
POSE = np.array([0.1, 0.2, 0.3, 1.0, 0, 0, 0])
SIGMA = np.repeat([0.003, 0.05], 3)
SEEN = SeenPose(POSE, np.diag(SIGMA**2))


def resting(memory: float, seed: int) -> float:
    """Squared Mahalanobis distance from the truth of an object at rest, seen for 4 s."""
    f = HandObjectFilter(HandObjectOptions(object_memory=memory, motions=("rest",)), keypoints=0)
    time = STEP * np.arange(120)
    for stamp, error in zip(time, SIGMA * correlated(np.random.default_rng(seed), (120, 6), time, MEMORY)):
        q = single.exp(error[3:])
        f.observe(stamp, SeenPose(np.concatenate([POSE[:3] + error[:3], q]), np.diag(SIGMA**2)))
    e = f.estimate()
    off = np.concatenate([e.object_pose[:3] - POSE[:3], single.log(e.object_pose[3:])])
    return float(off @ np.linalg.solve(e.object_covariance(), off))


def test_with_their_time_constant_the_covariance_is_as_large_as_the_errors():
    """Six degrees of freedom: six on average, less as it could have moved. As white noise, more than twice as much."""
    known, white = (np.mean([resting(memory, seed) for seed in range(60)]) for memory in (MEMORY, 0.0))
    assert 2.0 < known < 8.0 and white > 12.0, (known, white)


def test_noise_grows_as_far_as_the_filter_remembers():
    """Much where it averages for long, to (1 + r) / (1 - r) at most; not where each observation replaces the last."""
    noise, r = np.diag([1.0, 1.0, 4.0]), np.exp(-1.0 / 9.0)
    S = noise + np.diag([1e-9, 1e6, 4.0])
    larger = _repeated(S, noise, 9.0)
    assert larger[0, 0] == pytest.approx((1 + r) / (1 - r), rel=1e-3) and larger[1, 1] == pytest.approx(1.0, abs=1e-3)
    f = larger[2, 2] / 4.0
    k = f / (1.0 + f)
    assert f == pytest.approx((1 + k * r) / (1 - k * r)) and 2.0 < f < 18.0
    np.testing.assert_allclose(_repeated(S, noise, 1e-3), noise, atol=1e-6)
    whole = np.array([[1.0, 0.5], [0.5, 1.0]])
    grown = _repeated(2 * whole, whole, 9.0)
    np.testing.assert_allclose(grown / grown[0, 0], whole)


def started(memory: float = MEMORY) -> HandObjectFilter:
    """An object that lies still, seen for a second."""
    f = HandObjectFilter(HandObjectOptions(object_memory=memory, motions=("rest",)), keypoints=0)
    for k in range(30):
        f.observe(k * STEP, SEEN)
    return f


def spread(f: HandObjectFilter) -> float:
    return float(np.trace(f.estimate().object_covariance()))


def test_what_was_not_seen_for_long_has_a_new_error():
    """After ten time constants an observation counts as it does in white noise; after a frame, less."""
    for after, less in ((3.0, False), (STEP, True)):
        f, white = started(), started(0.0)
        white._state = f._state
        for each in (f, white):
            each.observe(29 * STEP + after, SEEN)
        if less:
            assert spread(f) > 1.02 * spread(white)
        else:
            assert spread(f) == pytest.approx(spread(white), rel=1e-3)


def test_observations_of_one_stamp_are_apart_as_far_as_from_the_stamp_before():
    """Two cameras: the second is neither ignored nor counted as a new error."""
    once, twice, white = started(), started(), started(0.0)
    for f in (once, twice):
        f.observe(30 * STEP, SEEN)
    white._state = twice._state
    twice.observe(30 * STEP, SEEN)
    white.observe(30 * STEP, SEEN)
    assert 1.02 * spread(white) < spread(twice) < 0.998 * spread(once)


def test_an_outlier_is_told_by_the_noise_as_it_is():
    """Six standard deviations off; of the noise that the update takes it would be two."""
    f = started()
    before = f.estimate(30 * STEP).object_pose
    assert not f.observe(30 * STEP, SeenPose(POSE + [0.02, 0, 0, 0, 0, 0, 0], np.diag(SIGMA**2)))
    np.testing.assert_allclose(f.estimate().object_pose, before)


def test_a_hands_errors_have_a_time_of_their_own():
    points, sizes = np.random.default_rng(0).normal(0, 0.04, (21, 3)), []
    for options in (HandObjectOptions(hand_memory=MEMORY), HandObjectOptions(object_memory=MEMORY)):
        f = HandObjectFilter(options)
        for k in range(20):
            f.observe(k * STEP, SeenKeypoints(points, 0.005))
        sizes.append(np.trace(f.estimate().keypoint_covariance()))
    assert sizes[0] > 1.1 * sizes[1]
