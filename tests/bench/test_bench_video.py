"""`dexhot bench video`: what counts as a success from video, and against which path."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.errors import ClipError, DexhotError
from dexhot.geometry.poses import compose

pytest.importorskip("numba")
from dexhot_bench import video


def test_a_clip_without_a_row_is_not_run_and_one_that_cannot_be_rendered_is_left_out():
    rows = [
        {"clip": "a", "frames": 60, "video_strict": True, "mocap_strict": True, "t_err_mm": 2.0},
        {"clip": "b", "frames": 0, "video_strict": False, "mocap_strict": True},
        {"clip": "c", "left_out": True},
    ]
    found = video.figures(rows, 5)
    assert found["clips"] == 2 and found["clips_not_run"] == 2
    assert found["points_behind_mocap"] == 50.0 and found["unseen_fraction"] == 0.5 and found["t_err_mm_p50"] == 2.0


@pytest.mark.parametrize("error", [ClipError("not physical"), DexhotError("never found\nand more")])
def test_what_is_not_seen_is_a_failure_of_the_video_and_what_is_not_rendered_is_none(monkeypatch, tmp_path, error):
    def seen(*given):
        raise error

    monkeypatch.setattr(video, "seen", seen)
    monkeypatch.setattr(video, "load_clip", lambda name: None)
    monkeypatch.setattr(video, "_mocap", lambda *given: {"mocap_strict": True})
    row = video.measure(("a", tmp_path, None, None))
    if isinstance(error, ClipError):
        assert row["left_out"] and "video_strict" not in row
    else:
        assert row["video_strict"] is False and row["mocap_strict"] and row["why"] == "never found"


def test_the_true_path_is_placed_as_the_reference_is(lift_clip, lift_reference):
    """A fit that is 5 cm off is judged 5 cm off, wherever the arm does it."""
    off = replace(lift_clip, object_pose=lift_clip.object_pose + [0.05, 0, 0, 0, 0, 0, 0])
    turned = np.array([0.3, 0.1, 0.0, np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])
    reference = replace(lift_reference, placement=turned, object_pose=compose(turned, lift_reference.object_pose))
    true = video.on_truth(reference, off, lift_clip)
    np.testing.assert_allclose(true.object_pose[:, :3], reference.object_pose[:, :3], atol=2e-3)


def test_mocap_is_mined_on_the_stretch_that_the_video_shows(lift_clip):
    truth = replace(lift_clip, provenance={"frames": [6, 21], "rate": 30.0})
    part = video.same_stretch(lift_clip, truth)
    since = part.time - lift_clip.time[0]
    assert since[0] == pytest.approx(0.2, abs=0.02) and since[-1] == pytest.approx(20 / 30, abs=0.02)


def test_a_motion_that_one_hand_cannot_make_is_tried_with_another(monkeypatch):
    tried = []

    def render(clip, asset, options, frames):
        tried.append(options.seed)
        if options.seed < 1:
            raise ClipError("not physical")
        return "recording", None, "truth"

    monkeypatch.setattr(video, "render", render)
    assert video.first_rendered(None, None, None) == ("recording", "truth") and tried == [0, 1]
    monkeypatch.setattr(video, "SEEDS", (0,))
    with pytest.raises(ClipError):
        video.first_rendered(None, None, None)
