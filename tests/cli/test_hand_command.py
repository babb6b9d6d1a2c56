"""`dexhot hand`: a draft of a hand.yaml that works as it is, drawn, that never overwrites; the shipped hands listed."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from box_hand import INERTIA, box_hand
from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.types import Reference
from dexhot.paths import share_dir
from dexhot.retargeting.correspondence import correspondence
from dexhot.robots.robot_hand import load_hand


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def added(capsys, model, *arguments):
    assert main(["hand", "add", str(model), *arguments, "--json"]) == 0
    return last_line(capsys)


def test_the_draft_of_a_box_hand_is_a_hand_that_retargets(tmp_path, lift, capsys):
    box_hand(tmp_path).unlink()
    found = added(capsys, tmp_path / "boxes.urdf", "--name", "boxes")
    assert found["hand"] == str(tmp_path / "hand.yaml") and found["side"] == "right"
    hand = load_hand(found["hand"])
    assert set(hand.joint_names) == {"index_mcp", "middle_mcp", "ring_mcp", "thumb_mcp"}
    assert hand.coupled["thumb_pip"] == "thumb_mcp" and not found["remarks"]
    assert hand.tip_sites == ("index_tip", "middle_tip", "ring_tip", "thumb_tip")
    config = yaml.safe_load((tmp_path / "hand.yaml").read_text())
    assert config["palm"] == {"body": "base", "pos": [0.04, 0.0, 0.0], "rpy": [0.0, 0.0, 0.0]}
    assert config["tips"]["index_tip"]["body"] == "index_distal"
    assert config["tips"]["index_tip"]["pos"] == pytest.approx([0.036, 0.0, 0.0], abs=1e-3)
    assert config["tip_radius"] == pytest.approx(0.007, abs=1e-4)
    assert config["retarget"]["links"]["index_distal"] == "index_pip" and config["model"] == "boxes.urdf"
    clip, out = save(lift[0], tmp_path / "clip.npz"), tmp_path / "reference.npz"
    from dexhot.objects.library import save_object

    save_object(lift[1])
    arguments = ["--hand", found["hand"], "--no-contact", "--no-place", "--out", str(out), "--json"]
    assert main(["retarget", str(clip), *arguments]) == 0
    assert load(out, Reference).q.shape[1] == 6 + 4


@pytest.mark.parametrize("name", ["leap_right", "leap_left", "allegro_left", "six_motor_right", "six_motor_left"])
def test_the_draft_of_a_shipped_hands_urdf_finds_its_palm_and_its_fingertips(tmp_path, capsys, name):
    ours = load_hand(name)
    found = added(capsys, share_dir() / "urdf" / name / f"{name}.urdf", "--out", str(tmp_path / "hand.yaml"))
    hand = load_hand(found["hand"])
    assert hand.side == ours.side and set(hand.tip_sites) == set(ours.tip_sites)
    assert set(hand.joint_names) == set(ours.joint_names) and hand.coupled == ours.coupled
    correspondence(hand)
    import mujoco

    tips = []
    for one in (ours, hand):
        model = one.spec().compile()
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        tips.append(np.array([data.site(site).xpos for site in ours.tip_sites]))
    if name == "six_motor_right":  # whose fingers bend by 0.05 rad when they are open
        assert yaml.safe_load((tmp_path / "hand.yaml").read_text())["palm"]["rpy"] == [0.0, 0.0, 0.0]
    theirs, mine = (each - each.mean(0) for each in tips)
    assert np.linalg.norm(theirs - mine, axis=1).max() < 0.025  # the same frame: turned, they would be 0.1 m apart
    assert np.array(found["joints"][ours.joint_names[0]]) == pytest.approx([ours.lower[0], ours.upper[0]], abs=1e-3)


def test_a_draft_of_a_whole_robot_takes_the_hand_below_its_root(tmp_path, capsys):
    rig = share_dir() / "urdf" / "fr3_leap_right" / "fr3_leap_right.urdf"
    found = added(capsys, rig, "--root", "hand_palm", "--out", str(tmp_path / "leap.yaml"))
    hand = load_hand(found["hand"])
    assert len(hand.joints) == 16 and hand.side == "right"
    assert yaml.safe_load((tmp_path / "leap.yaml").read_text())["root"] == "hand_palm"


def test_the_picture_shows_hand_axes_and_fingertips(tmp_path, capsys):
    box_hand(tmp_path).unlink()
    picture = added(capsys, tmp_path / "boxes.urdf").get("picture")
    if picture is None:
        pytest.skip("this machine cannot draw")
    assert picture == str(tmp_path / "hand.png")
    image = np.asarray(Image.open(picture).convert("RGB")).astype(int)[:-80]
    red, green, blue = np.moveaxis(image, -1, 0)
    for strong, others in ((red, green + blue), (green, red + blue), (blue, red + green)):
        assert (strong > 0.75 * others).sum() > 100
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_overwritten(tmp_path, capsys):
    path = box_hand(tmp_path)
    before = path.read_text()
    assert main(["hand", "add", str(tmp_path / "boxes.urdf")]) == 1
    assert "hand.yaml exists already" in capsys.readouterr().err and path.read_text() == before
    (tmp_path / "other.png").write_text("a picture of somebody's")
    assert main(["hand", "add", str(tmp_path / "boxes.urdf"), "--out", str(tmp_path / "other.yaml")]) == 1
    assert "other.png exists already" in capsys.readouterr().err and not (tmp_path / "other.yaml").exists()


def test_what_is_no_hand_is_refused_and_nothing_is_written(tmp_path, capsys):
    one = "".join(f'<link name="{x}"><inertial>{INERTIA}</inertial></link>' for x in "ab")
    (tmp_path / "arm.urdf").write_text(
        f'<robot name="arm">{one}<joint name="j" type="revolute"><parent link="a"/><child link="b"/>'
        '<limit lower="0" upper="1" effort="1" velocity="1"/></joint></robot>'
    )
    assert main(["hand", "add", str(tmp_path / "arm.urdf")]) == 1
    assert "1 chains of joints; a hand has at least two fingers" in capsys.readouterr().err
    assert main(["hand", "add", str(tmp_path / "absent.urdf")]) == 1
    assert "absent.urdf does not exist" in capsys.readouterr().err
    assert main(["hand", "add", str(tmp_path / "arm.urdf"), "--out", str(tmp_path / "hand.txt")]) == 1
    assert "must end in .yaml" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["arm.urdf"]


def test_joints_without_limits_are_given_some_to_correct(tmp_path, capsys):
    changes = [
        (
            'type="revolute"><parent link="base"/><child link="ring',
            'type="continuous"><parent link="base"/><child link="ring',
        )
    ]
    box_hand(tmp_path, changes=changes).unlink()
    found = added(capsys, tmp_path / "boxes.urdf")
    assert "ring_mcp: no limits in the model (continuous)" in found["remarks"][0]
    assert yaml.safe_load((tmp_path / "hand.yaml").read_text())["limits"] == {"ring_mcp": [-1.57, 1.57]}
    assert load_hand(found["hand"]).upper[2] < 1.57


def test_the_side_can_be_given(tmp_path, capsys):
    box_hand(tmp_path).unlink()
    found = added(capsys, tmp_path / "boxes.urdf", "--side", "left")
    assert found["side"] == "left" and "looks like a right hand" in found["remarks"][0]
    box_hand(tmp_path / "central", thumb=0.0).unlink()
    found = added(capsys, tmp_path / "central" / "boxes.urdf")
    assert found["side"] == "right" and "give --side left" in found["remarks"][0]


def test_the_shipped_hands_are_listed_and_shown(capsys):
    assert main(["hand", "list", "--json"]) == 0
    assert len(last_line(capsys)["hands"]["six_motor_right"]["coupled"]) == 6
    assert main(["hand", "show", "six_motor_left", "--json"]) == 0
    shown = last_line(capsys)
    assert shown["side"] == "left" and shown["joints"]["thumb_flexion"] == [0.0, 0.7] and shown["notes"] == []
    assert main(["hand", "show", "nobody"]) == 1 and "six_motor_right" in capsys.readouterr().err
