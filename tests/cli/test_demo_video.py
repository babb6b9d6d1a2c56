"""`dexhot demo --from video` from end to end: nothing of it stands in."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dexhot.cli import demo_command
from dexhot.perception.weights import weights_dir
from dexhot_train.mining import mine


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
    """Nothing of the way stands in but mining's budget: the pictures of a parametric lift are rendered, seen, fitted,
    retargeted, mined and tracked. The report shows frames of the fit, and says that they are not real."""
    options = partial(mine.MineOptions, worlds=1, trials=2)
    monkeypatch.setattr(mine, "MineOptions", options)
    told: dict = {}
    monkeypatch.setattr("dexhot.cli.output.print_json", told.update)
    folder = tmp_path / "run"
    code = demo_command.run(demo_command.Args(source="parametric", begin="video", out=folder, json=True))
    assert told["video"] == "a rendered RGB-D video of the motion: the pictures are not real"
    assert told["clip"] == "video/run" and {"render", "perceive", "fit", "mine", "live"} <= set(told["seconds"])
    first = json.loads((folder / "live-1" / "run.json").read_text())
    assert first["arguments"]["perception"] == "camera"
    assert (
        code == 0
        and told["success"]
        and told["object_loop"]
        in (
            "closed on the simulated camera",
            "simulator truth; the run that saw the object by its camera was not a strict success",
        )
    )
    page = Path(told["report"]).read_text()
    shown = (folder / "seen.txt").read_text()
    assert shown.startswith("Four frames of a rendered RGB-D video") and "the pictures are not real" in shown
    assert "the pictures are not real" in page
    height, width = np.asarray(Image.open(folder / "seen.png")).shape[:2]
    assert width > height > 200
