"""`dexhot bench perceive`: times and errors of what is seen, and the names of clips in which nothing is."""

import queue
import threading
import time
from multiprocessing.dummy import Process
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.errors import DexhotError

pytest.importorskip("numba")
from dexhot_bench import perceive
from dexhot_bench.fit_clips import Clip


class Ten(Clip):
    """Ten images; its middle frames are as many as are asked for."""

    def middle(self, frames):
        return Ten(self.name, range(frames), None, None)


def test_a_clip_that_is_not_seen_is_named_and_not_measured(monkeypatch):
    row = {"perceive_ms": 15.0, "fit_ms": 5.0, "mpjpe_mm": 9.0, "t_err_mm": 1.0}
    row |= dict.fromkeys((*perceive.BOXES, *perceive.MASKS), 0.9)
    clips = {0: type("Clip", (), {"name": "a", "middle": lambda self, n: self})()}

    def rendered(k, frames):
        if k not in clips:
            raise DexhotError("never found\nand more")
        return clips[k]

    monkeypatch.setattr(perceive, "clip_names", lambda: ["a", "b"])
    monkeypatch.setattr(perceive, "rendered", rendered)
    monkeypatch.setattr(perceive, "measured", lambda clip: row)
    monkeypatch.setattr(perceive, "wall_fps", lambda clip: 12.0)
    found = perceive.run()
    assert found["notes"][0] == "b: never found" and "not a measured rate" in found["notes"][1]
    assert found["metrics"]["e2e_fps_wall"] == 12.0
    assert found["metrics"]["e2e_unseen_fraction"] == 0.5
    assert found["metrics"]["hand_ap_tracked"] == found["metrics"]["object_mask_iou"] == pytest.approx(0.9)
    names = {name for row in found["published"].values() for name in row}
    assert names == {*perceive.BOXES, *perceive.MASKS} <= set(found["metrics"])
    assert found["metrics"]["e2e_fps"] == pytest.approx(1e3 / 15) and found["metrics"][
        "e2e_fps_one_core"
    ] == pytest.approx(50)
    assert found["metrics"]["mpjpe_e2e_mm"] == 9.0
    monkeypatch.setattr(perceive, "clip_names", lambda: ["b"])
    clips.clear()
    assert perceive.run()["metrics"] == {"e2e_unseen_fraction": 1.0}


def test_the_measured_rate_is_of_the_wall_time_of_both_stages_at_once(monkeypatch):
    """Ten images, perceived in 0.2 s while the fit takes 0.4 s."""
    threads = SimpleNamespace(Process=Process, Barrier=threading.Barrier, SimpleQueue=queue.SimpleQueue)
    monkeypatch.setattr(perceive.multiprocessing, "get_context", lambda _: threads)
    monkeypatch.setattr(perceive, "perceived", lambda clip, took: (time.sleep(0.02 * len(clip.recording)), None))
    monkeypatch.setattr(perceive, "fitted", lambda clip, evidence: time.sleep(0.04 * len(clip.recording)))
    clip = Ten("ten", range(10), None, None)
    assert 10 / 0.6 < perceive.wall_fps(clip) <= 10 / 0.4
    barrier = threading.Barrier(2)
    monkeypatch.setattr(perceive, "fitted", lambda clip, evidence: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        perceive.stage("fit", clip, barrier, queue.SimpleQueue())
    assert barrier.broken  # the other process does not wait for ever


def test_the_time_between_frames_is_theirs():
    took = []
    assert list(perceive.timed(3, took)) == [0, 1, 2] and len(took) == 3


def test_bridging_a_gap_raises_the_precision_of_boxes():
    box, none = np.array([[10.0, 10.0, 50.0, 50.0, 0.9]]), np.zeros((0, 5))
    seen = {"right": [box, none, box], "object": [box, box, none]}
    tracked = {"right": np.tile(box[0, :4], (3, 1)), "object": np.full((3, 4), np.nan)}
    true = dict.fromkeys(("right", "object"), np.tile(box[0, :4], (3, 1)))
    found = perceive.box_precision(seen, tracked, true)
    assert found["hand_ap"] == pytest.approx(2 / 3) and found["hand_ap_tracked"] == 1.0
    assert found["object_ap"] == pytest.approx(2 / 3) and found["object_ap_tracked"] == 0.0


def test_masks_are_compared_where_the_truth_shows_the_thing():
    true, found = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)
    true[0, :2], found[0, 1:3] = 1, 1  # a third in common
    true[1, :2] = 1  # not found
    true[2, 0], found[2, 0], found[1, 3] = 2, 2, 2  # the object is not there in frame 1
    rows = perceive.mask_overlap(found, true)
    assert rows == pytest.approx({"hand_mask_iou": 1 / 6, "object_mask_iou": 1.0})
