"""docs/ walked as a reader would: the blocks of a page run in order, in an empty folder (tests/walk.py)."""

import json
import os

import numpy as np
import pytest
import trimesh
import yaml

from box_hand import box_hand
from dexhot.data.files import load
from dexhot.data.types import Reference
from dexhot.objects.library import load_object
from dexhot.paths import share_dir
from dexhot.robots.robot_hand import load_hand
from walk import INDENTED, NEEDS, ROOT, Step, section, steps, walk

REHEARSAL = "5. Rehearsal without hardware"  # the part of docs/rig.md that a computer alone can do
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text()
    for name in ("add_a_hand", "objects", "launch", "add_a_dataset", "rig")
}
WALKED = PAGES | {"rig": section(PAGES["rig"], REHEARSAL)}


@pytest.mark.parametrize("name", WALKED)
def test_every_block_of_a_walked_page_is_fenced_and_says_what_it_needs(name):
    """A block that is indented would be read by people and not by the walk."""
    assert not INDENTED.findall(WALKED[name])
    taken = list(steps(WALKED[name]))
    assert {step.needs for step in taken} <= {"", *NEEDS} and any(not step.needs for step in taken)


def test_what_a_walk_takes_and_what_it_leaves():
    page = "```bash\na \\\n  b     # until Ctrl-C\nc        # needs hardware\n# a remark\n```\n"
    page += "```bash\n# needs hardware\nd\n```\n"
    page += "```yaml\nkey: 1\n```\n```yaml\n# new.yaml\nkey: 1\n```\n"
    assert list(steps(page)) == [
        Step("bash", "a    b", "until Ctrl-C"),
        Step("bash", "c", "needs hardware"),
        Step("bash", "d", "needs hardware"),
        Step("yaml", "# new.yaml\nkey: 1\n"),
    ]
    assert [bool(step.needs) for step in steps(page)] == [False, True, True, False]


def test_a_command_that_fails_fails_the_walk(tmp_path):
    with pytest.raises(AssertionError, match="dexhot hand fly"):
        walk("```bash\ndexhot hand fly\n```\n", tmp_path)


def test_a_reason_that_is_not_known_leaves_nothing_out(tmp_path):
    with pytest.raises(AssertionError, match="needs patience"):
        walk("```bash\ntrue    # needs patience\n```\n", tmp_path)


@pytest.fixture
def mimic_urdf(tmp_path):
    box_hand(tmp_path).unlink()
    (tmp_path / "boxes.urdf").rename(tmp_path / "my_hand.urdf")
    return {}


@pytest.fixture
def mjcf(tmp_path):
    (tmp_path / "my_hand.xml").write_text(
        (share_dir() / "urdf" / "six_motor_right" / "six_motor_right.xml").read_text()
    )
    return {"my_hand.urdf": "my_hand.xml"}


@pytest.fixture
def left_urdf(tmp_path):
    (tmp_path / "my_hand.urdf").write_text((share_dir() / "urdf" / "leap_left" / "leap_left.urdf").read_text())
    return {"--shape box": "--shape box --side left"}  # as the page says


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kind, side, joints", [("mimic_urdf", "right", 4), ("mjcf", "right", 6), ("left_urdf", "left", 16)]
)
def test_adding_a_hand(cache, tmp_path, request, kind, side, joints):
    assert len(walk(PAGES["add_a_hand"], tmp_path, request.getfixturevalue(kind))) == 4
    hand = load_hand(str(tmp_path / "hand.yaml"))
    assert yaml.safe_load((tmp_path / "hand.yaml").read_text())["name"] == "my_hand"
    assert hand.side == side and len(hand.joints) == joints
    assert load(tmp_path / "lift_my_hand.npz", Reference).q.shape[1] == 6 + joints
    assert all((tmp_path / f"{picture}.png").stat().st_size > 10_000 for picture in ("hand", "look", "fit"))


@pytest.mark.timeout(900)
def test_adding_an_object(cache, tmp_path):
    """A beaker stands in for the mug: convex pieces of a handle take a minute."""
    trimesh.creation.cylinder(35.0, 90.0, sections=24).export(tmp_path / "mug.stl")
    assert len(walk(PAGES["objects"], tmp_path)) == 5
    mug = load_object("user/mug")
    assert mug.mass == 0.31 and np.ptp(mug.vertices, axis=0) == pytest.approx([0.07, 0.07, 0.09], abs=1e-4)
    assert load_object("user/ball").mass > 0
    assert load(tmp_path / "lift-user_mug-0.reference.npz", Reference).object_name == "user/mug"


@pytest.mark.ros
@pytest.mark.timeout(900)
def test_bringing_up_a_graph(ros_domain, cache, tmp_path):
    ran = walk(PAGES["launch"], tmp_path, alive={"dexhot up": "tracking"})
    assert [text.split()[1] for text in ran] == ["up", "safety", "up"]
    plain, named = sorted((tmp_path / "runs").iterdir())
    assert not json.loads((plain / "run.json").read_text())["arguments"]["namespace"]
    written = yaml.safe_load((named / "parameters.yaml").read_text())["/**/supervisor"]["ros__parameters"]
    assert (written["max_age"], written["heartbeat_rate"]) == (0.2, 20.0)


@pytest.mark.ros
@pytest.mark.timeout(900)
def test_rehearsing_the_rig(ros_domain, cache, tmp_path):
    """A tenth of the speed would take minutes; the clip runs at its own. test_demo has the report's mp4."""
    pytest.importorskip("franky_sim")
    address = f"127.3.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    faster = {"speed:=0.1": "speed:=1.0", "127.0.0.2": address, "report rehearsal": "report rehearsal --no-video"}
    ran = walk(WALKED["rig"], tmp_path, faster, alive={"dexhot view": "http"})
    assert len(ran) == 12 and (tmp_path / "rehearsal" / "report" / "report.html").is_file()
