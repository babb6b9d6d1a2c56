"""A hand of known size fitted to a live camera's images."""

import numpy as np
from tests.tiny_clip import tiny_clip

from dexhot.data.keypoints import MIDDLE_MCP, WRIST
from dexhot.fitting import sized_hand
from dexhot.fitting.sized_hand import SizedHand


def test_the_fitted_palm_has_its_length_and_hidden_keypoints_a_place():
    recording, evidence, truth = tiny_clip()
    palm = float(np.linalg.norm(truth[0, MIDDLE_MCP] - truth[0, WRIST]))
    fitted, off = SizedHand(recording.intrinsics, "right", palm), []
    for t in range(len(recording.time)):
        rows = evidence.keypoints["right"][t].copy()
        rows[:, :3] = np.nan  # as if no depth were at any keypoint
        found = fitted(recording.time[t], recording.depth[t], evidence.labels[t], rows)
        assert np.isfinite(found[:, :3]).all() and (found[:, 3:5] == rows[:, 3:5]).all()
        off.append(np.linalg.norm(found[:, :3] - truth[t], axis=1).mean())
    assert abs(np.linalg.norm(found[MIDDLE_MCP, :3] - found[WRIST, :3]) - palm) < 0.003
    assert np.median(off) < 0.012 and np.median(found[:, 5]) > 0.9


def test_a_hand_that_was_away_is_a_new_one():
    recording, evidence, _ = tiny_clip()
    fitted = SizedHand(recording.intrinsics, "right", 0.09)
    seen = recording.depth[0], evidence.labels[0], evidence.keypoints["right"][0]
    fitted(1.0, *seen)
    first = fitted.tracker
    fitted(1.1, *seen)
    assert fitted.tracker is first
    fitted(2.0, *seen)
    assert fitted.tracker is not first


def test_a_start_that_takes_longer_than_the_hand_may_be_away_is_followed_by_a_step(monkeypatch):
    """On a busy machine every image would be a start otherwise, and no keypoints would ever be in time."""
    recording, evidence, _ = tiny_clip()
    now = iter([0.0, 0.9, 1.0, 1.01])
    monkeypatch.setattr(sized_hand, "monotonic", lambda: next(now))
    fitted = SizedHand(recording.intrinsics, "right", 0.09)
    seen = recording.depth[0], evidence.labels[0], evidence.keypoints["right"][0]
    fitted(1.0, *seen)
    first = fitted.tracker
    fitted(2.0, *seen)
    assert fitted.tracker is first
