"""`dexhot bench ekf`: its figures are those of its clips, and they tell a good filter from none."""

import numpy as np
import pytest

from dexhot.datasets.parametric import generate
from dexhot.objects.shapes import named_shape, shape_symmetry
from dexhot_bench import ekf


def parametric(kind: str, seed: int) -> ekf.RealMotion:
    clip = generate(kind, "box", seed)[0]
    return ekf.RealMotion(clip.name, clip.time[::2], clip.hands["right"].keypoints[::2], clip.object_pose[::2])


@pytest.fixture
def motions(monkeypatch):
    found = [parametric("lift", 0), parametric("carry", 1)]
    monkeypatch.setattr(ekf, "grab", lambda quick: found)
    monkeypatch.setattr(ekf, "dexycb_file", lambda: None)
    return found


def test_the_filter_beats_its_sensors_and_what_knows_no_hand(motions):
    found = ekf.run(quick=True)
    metrics = found["metrics"]
    assert found["subset"] == [m.name for m in motions] and "GRAB alone" in found["notes"][0]
    assert metrics["error_ratio_best_sensor"] < 1.0 and metrics["hand_nees_in_band_fraction"] > 0.85
    assert metrics["hidden_drift_cm"] < 0.3 * metrics["standing_still_drift_cm"]
    assert metrics["object_mm_from_both"] < metrics["object_mm_from_hand"]


def test_what_is_seen_is_disturbed_as_it_says(motions):
    motion = motions[0]
    seen = ekf.sighted(motion, 3)
    points = np.stack([s.hand.points for s in seen])
    missing = np.isnan(points[..., 0])
    off = np.linalg.norm(points - motion.keypoints, axis=-1)[~missing]
    assert 0.15 < missing.mean() < 0.25 and 0.01 < (off > 0.03).mean() < 0.04
    assert 0.006 < np.median(off) < 0.009
    assert 0.0 < np.mean([s.object is None for s in seen]) < 0.2


def test_errors_are_reduced_by_the_symmetry():
    flipped = np.array([0.0, 0, 0, 0, 0, 0, 1])
    still = np.array([0.0, 0, 0, 1, 0, 0, 0])
    symmetry = shape_symmetry(named_shape("parametric/box-56x70x91"))
    np.testing.assert_allclose(ekf.pose_error(still, flipped, symmetry), 0.0, atol=1e-9)
    assert np.linalg.norm(ekf.pose_error(still, flipped, ekf.Symmetry())) == pytest.approx(np.pi)
