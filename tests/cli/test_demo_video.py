"""`dexhot demo --from video` from end to end, without GRAB."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dexhot.cli import demo_command, report_command
from dexhot.cli.demo_command import CAMERA, TRUTH
from dexhot.data import Evidence, load
from dexhot.perception.weights import weights_dir
from dexhot_train.mining import mine
from dexhot_train.mining.search import SearchOptions

UNREAL = "a rendered RGB-D video of the motion: the pictures are not real"


@pytest.fixture
def empty_cache(hand_landmarks, tmp_path, monkeypatch):
    """An empty cache but for the models that find hands."""
    models = weights_dir()
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "cache"))
    weights_dir().parent.mkdir(parents=True)
    weights_dir().symlink_to(models)


@pytest.mark.ros
@pytest.mark.data
@pytest.mark.timeout(1200)
def test_from_a_rendered_video_to_a_run_that_is_closed_on_the_camera(empty_cache, ros_domain, tmp_path, monkeypatch):
    """The pictures of a parametric lift are rendered, seen, fitted, retargeted, mined and tracked; the report shows
    frames of the fit, and says that they are not real. Only mining's budget is smaller, still with a robust search:
    without one the plan is good for the floating hand alone. A host too busy for the camera spoils the first run; then
    the second must say so."""
    robust = SearchOptions(rounds=((24, 2),), rewinds=1, budget=60_000)
    monkeypatch.setattr(
        mine, "MineOptions", partial(mine.MineOptions, structured=100, robust=robust, worlds=2, trials=4)
    )
    monkeypatch.setattr(report_command, "Args", partial(report_command.Args, video=False))  # test_demo has the mp4
    told: dict = {}
    monkeypatch.setattr("dexhot.cli.output.print_json", told.update)
    folder = tmp_path / "run"
    code = demo_command.run(demo_command.Args(source="parametric", begin="video", out=folder, json=True))
    seen = load(folder / "evidence.npz", Evidence)
    hand = np.isfinite(seen.keypoints["right"][:, :, 3]).all(axis=1)
    assert hand.mean() > 0.9, f"the detectors see the hand in {hand.sum()} of {len(hand)} images"
    assert told["video"] == UNREAL and told["clip"] == "video/run"
    assert {"render", "perceive", "fit", "retarget", "mine", "live", "report"} <= set(told["seconds"])
    first = json.loads((folder / "live-1" / "run.json").read_text())
    assert first["arguments"]["perception"] == "camera"
    assert code == 0 and told["success"], told
    if told["live_runs"] == 1:
        assert told["object_loop"] == CAMERA
    else:
        assert told["object_loop"].startswith(f"{TRUTH}; the run that saw the object by its camera")
    caption = (folder / "seen.txt").read_text()
    assert caption.startswith(f"Four frames of {UNREAL}.")
    height, width = np.asarray(Image.open(folder / "seen.png")).shape[:2]
    assert width > height > 200
    page = Path(told["report"]).read_text()
    assert UNREAL in page and "Orange: the fitted hand" in page
