"""`dexhot bench video`: what counts as a success from video, and against which path."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.data.labels import LABELS
from dexhot.errors import ClipError, DexhotError
from dexhot.geometry.poses import compose
from dexhot.perception.prompts import click_on

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


def test_a_mined_file_is_judged_on_the_hand_against_the_true_path_and_on_the_arm_where_it_is_placed(
    shipped, monkeypatch
):
    shipped = replace(shipped, provenance={"seconds_cpu": 3.0})
    away = replace(shipped.reference, arm_q=shipped.reference.arm_q[:0])
    strict = {"success_strict": True}
    monkeypatch.setattr(video, "score", lambda *given: Judged(strict, shipped.reference))
    monkeypatch.setattr(video, "compute", lambda rollout, *given: {"success_strict": rollout.reference is not away})
    monkeypatch.setattr(video, "score_on_arm", lambda *given: Judged({"success_strict": False}, None))
    found = video.scored(shipped, SimpleNamespace(asset=None, hand=None), away, "video_")
    assert found == {"video_strict": True, "video_true_strict": False, "video_arm_strict": False, "video_seconds": 3.0}
    found = video.scored(replace(shipped, reference=away), SimpleNamespace(asset=None, hand=None), None, "mocap_")
    assert found == {"mocap_strict": True, "mocap_seconds": 3.0}


@dataclass
class Judged:
    metrics: dict
    reference: object


def test_a_click_is_on_the_object():
    """A ring, whose middle is not."""
    v, u = np.mgrid[:40, :60]
    away = np.hypot(v - 20, u - 30)
    labels = np.where((away < 15) & (away > 10), LABELS["object"], 0)
    depth = np.full(labels.shape, 600)
    x, y = click_on(labels, depth).astype(int)
    assert labels[y, x] == LABELS["object"] and away[y, x] < 11.5
    depth[y - 2 : y + 3, x - 2 : x + 3] = 0  # a hole there
    x, y = click_on(labels, depth).astype(int)
    assert labels[y, x] == LABELS["object"] and depth[y, x]
    with pytest.raises(DexhotError, match="not in view"):
        click_on(0 * labels, depth)


def test_a_fit_is_made_again_by_other_code(lift_clip, monkeypatch, tmp_path):
    """And what it is made of says whether the object was clicked on."""
    seen, asked = [], []
    truth = SimpleNamespace(trajectory=lift_clip, evidence=SimpleNamespace(labels=np.full((1, 2, 2), LABELS["object"])))
    recording = SimpleNamespace(intrinsics=None, provenance={"frames": [0, 9]}, depth=np.full((1, 2, 2), 600))

    def perceive(recording, hands, track, side, prompts=None):
        asked.append(prompts)
        if prompts is None:
            raise DexhotError("click on it")
        return SimpleNamespace(provenance={"prompts": prompts}), None

    monkeypatch.setattr(video, "load_clip", lambda name: lift_clip)
    monkeypatch.setattr(video, "load_object", lambda name: None)
    monkeypatch.setattr(video, "first_rendered", lambda *given: seen.append(given) or (recording, truth))
    monkeypatch.setattr(video, "LandmarkHands", lambda count: None)
    monkeypatch.setattr(video, "object_track", lambda *given: None)
    monkeypatch.setattr(video, "perceive", perceive)
    monkeypatch.setattr(
        video, "fit_recording", lambda *given: SimpleNamespace(trajectory=replace(lift_clip, provenance={}))
    )
    code = iter(("one", "one", "other"))
    monkeypatch.setattr(video, "code_key", lambda *given, **named: next(code))
    for count in (1, 1, 2):
        fit, true = video.seen("grab/a", tmp_path / "a", None)
        assert len(seen) == count and fit.provenance["clicked"] and true.provenance["frames"] == [0, 9]
    assert asked[0] is None and asked[1]["object"].tolist() == [0.0, 0.0]


def test_a_stretch_that_is_no_whole_grasp_in_mocap_is_left_out(lift_clip, monkeypatch, tmp_path):
    def checked(clip, side, asset):
        raise ClipError("held at the start")

    monkeypatch.setattr(video, "seen", lambda *given: (lift_clip, lift_clip))
    for name in ("load_clip", "same_stretch", "load_object"):
        monkeypatch.setattr(video, name, lambda *given: None)
    monkeypatch.setattr(video, "checked_clip", checked)
    row = video.measure(("a", tmp_path, None, None))
    assert row["left_out"] and row["why"] == "mocap of the part in view: held at the start"


def test_what_is_kept_is_not_measured_again_and_late_nothing_is_begun(monkeypatch, tmp_path):
    begun = []

    def run_jobs(work, jobs, workers):
        for job in jobs:
            begun.append(job[0])
            yield job, {"clip": job[0], "left_out": True, "why": "", "frames": 1}

    monkeypatch.setattr(video, "run_jobs", run_jobs)
    monkeypatch.setattr(video, "splits", lambda name: {"quick": ["a"], "train": ["a", "b"]})
    assert video.run(minutes=-1.0, out=tmp_path)["metrics"]["clips_not_run"] == 2 and begun == []
    late = iter([False, True])
    monkeypatch.setattr(video, "Deadline", lambda minutes: Late(late))
    assert video.run(out=tmp_path)["metrics"]["clips_not_run"] == 1 and begun == ["a"]
    monkeypatch.setattr(video, "Deadline", lambda minutes: SimpleNamespace(over=False))
    assert video.run(out=tmp_path)["metrics"]["clips_not_run"] == 0 and begun == ["a", "b"]


class Late:
    def __init__(self, answers):
        self.answers = answers

    @property
    def over(self) -> bool:
        return next(self.answers)
