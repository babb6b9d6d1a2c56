"""`dexhot demo`: the whole way in one command, and what stands in when GRAB cannot be had."""

import json
import subprocess
import sys

import pytest

from dexhot.cli import demo_command
from dexhot.errors import DexhotError, DownloadError


@pytest.mark.ros
def test_the_whole_way_ends_in_a_strict_success_and_a_report(ros_domain, tmp_path):
    command = [
        sys.executable,
        "-m",
        "dexhot",
        "demo",
        "--source",
        "parametric",
        "--out",
        str(tmp_path / "run"),
        "--json",
    ]
    reply = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert reply.returncode == 0, reply.stderr
    told = json.loads(reply.stdout.strip().splitlines()[-1])
    assert told["success"] is True and told["clip"] == "parametric/lift-box-0"
    assert 0 < told["T_err_cm"] < 5 and set(told["seconds"]) >= {"data", "retarget", "mine", "live", "report", "total"}
    written = json.loads((tmp_path / "run" / "live-1" / "report" / "report.json").read_text())
    assert written["metrics"]["success_strict"] is True
    assert (tmp_path / "run" / "demonstration.npz").is_file()


def test_without_network_a_generated_demonstration_stands_in_and_says_so(cache, monkeypatch, capsys):
    def unreachable(clip):
        raise DownloadError("no route to the registry")

    monkeypatch.setattr(demo_command, "grab_clip", unreachable)
    trajectory = demo_command.demonstration_of(demo_command.Args())
    assert trajectory.name == "parametric/lift-box-0"
    assert "no route to the registry" in capsys.readouterr().err


def test_a_clip_that_lifts_too_little_is_refused(grab):
    with pytest.raises(DexhotError, match="needs 5"):
        demo_command.grab_clip("grab/cylindersmall_lift")


def test_a_run_is_never_written_over(tmp_path):
    with pytest.raises(DexhotError, match="exists"):
        demo_command.run(demo_command.Args(out=tmp_path))
