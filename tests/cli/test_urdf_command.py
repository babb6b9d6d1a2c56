"""`dexhot urdf`: the files it writes, and what it refuses."""

import json
from xml.etree import ElementTree

import pytest

from dexhot.cli import main
from dexhot.robots.urdf_tree import read_tree


def test_it_writes_urdf_and_srdf_of_a_hand(tmp_path, capsys):
    out, srdf = tmp_path / "robot.urdf", tmp_path / "robot.srdf"
    assert main(["urdf", "six_motor_left", "--out", str(out), "--srdf", str(srdf), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    tree = read_tree(out.read_text())
    assert told["root"] == tree.root == "world" and told["joints"] == len(tree.driven) == 13
    assert ElementTree.parse(srdf).getroot().get("name") == tree.name == "fr3_six_motor_left"


def test_the_default_name_is_that_of_the_robot(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["urdf"]) == 0 and (tmp_path / "fr3_leap_right.urdf").is_file()
    assert main(["urdf"]) == 1 and "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--out", "robot.xml"], ["--srdf", "robot.xml"], ["no_such_hand"]])
def test_what_it_cannot_write_is_refused(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(["urdf", *arguments]) == 1 and not list(tmp_path.iterdir())
    assert "must end in" in (told := capsys.readouterr().err) or "robot hand" in told
