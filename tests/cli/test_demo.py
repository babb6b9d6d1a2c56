"""`dexhot demo`: the whole pipeline in one command, and its fallback when GRAB is not available."""

import io
import json
import subprocess
import sys

import pytest

from dexhot.cli import demo_command
from dexhot.cli.retarget_command import part_of
from dexhot.datasets import grab_import, library
from dexhot.datasets.licences import accepted_before
from dexhot.datasets.parametric import generate
from dexhot.errors import DexhotError, DownloadError

SHORTER = """
import sys
from dexhot.cli import demo_command, main
from dexhot.report import video
demo_command.PLANNING /= 2
video.FRAMES = 30
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_the_whole_way_ends_in_a_strict_success_and_a_report(ros_domain, tmp_path):
    command = [sys.executable, "-c", SHORTER, "demo", "--source", "parametric"]
    command += ["--out", str(tmp_path / "run"), "--json"]
    reply = subprocess.run(command, capture_output=True, text=True, check=False, timeout=580)
    assert reply.returncode == 0, reply.stderr
    live = tmp_path / "run" / "live-1"
    assert f"report: file://{live}/report/report.html\nin 3D:  dexhot view {live}\n" in reply.stderr
    told = json.loads(reply.stdout.strip().splitlines()[-1])
    assert told["success"] is True and told["clip"] == "parametric/lift-box-0"
    assert 0 < told["T_err_cm"] < 5 and set(told["seconds"]) >= {"data", "retarget", "mine", "live", "report", "total"}
    written = json.loads((tmp_path / "run" / "live-1" / "report" / "report.json").read_text())
    assert written["metrics"]["success_strict"] is True
    assert list((live / "report").glob("*.mp4"))
    assert (tmp_path / "run" / "demonstration.npz").is_file()
    planned = told["planned"]
    assert planned["clip"] == "parametric/lift-cylinder-900" and planned["success"] is True, planned
    shown = " ".join(reply.stderr.replace("│", " ").split())  # of a table, whose cells are wrapped
    assert "parametric/lift-cylinder-900, held out: strict" in shown
    with open(tmp_path / "run" / "planned" / "parameters.yaml") as file:
        assert "controller: planned" in file.read()
    assert told["seconds"]["planned"] > 0


def test_without_network_a_generated_demonstration_stands_in_and_is_announced(cache, monkeypatch, capsys):
    def unreachable(clip, accept_licence):
        raise DownloadError("no route to the registry")

    monkeypatch.setattr(demo_command, "grab_clip", unreachable)
    trajectory = demo_command.demonstration_of(demo_command.Args())
    assert trajectory.name == "parametric/lift-box-0"
    assert "no route to the registry" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [None, "n", "y"])
def test_grab_s_terms_are_asked_for_on_the_terminal_and_never_accepted_without_one(cache, monkeypatch, capsys, answer):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: answer is not None, raising=False)
    asked = []
    monkeypatch.setattr(grab_import, "_current_clip", lambda clip: bool(asked.append(clip)) or True)
    monkeypatch.setattr(grab_import, "_current_object", lambda name: True)
    monkeypatch.setattr(library, "load_clip", lambda name: generate("lift", "box", seed=1)[0])
    trajectory = demo_command.demonstration_of(demo_command.Args())
    said = capsys.readouterr().err
    assert "GRAB (Taheri et al." in said
    assert bool(asked) == accepted_before("grab") == (answer == "y")
    assert trajectory.name == ("parametric/lift-box-1" if answer == "y" else "parametric/lift-box-0")
    if answer is None:
        assert "--accept-licence grab" in said


def test_acceptance_is_given_by_the_dataset_s_name_before_anything_starts(tmp_path):
    with pytest.raises(DexhotError, match="takes the dataset's name, grab, not 'yes'"):
        demo_command.run(demo_command.Args(accept_licence="yes", out=tmp_path / "new"))


def test_a_recording_of_one_s_own_needs_its_object(tmp_path):
    for args in (demo_command.Args(begin="dir:frames"), demo_command.Args(begin="video", object="grab/mug")):
        args.out = tmp_path / "new"
        with pytest.raises(DexhotError, match="which object is in your recording"):
            demo_command.run(args)


def test_a_part_is_cut_from_a_recording_of_one_s_own_alone(tmp_path, lift_clip):
    with pytest.raises(DexhotError, match="--frames belongs to --from RECORDING"):
        demo_command.run(demo_command.Args(begin="video", frames="0:20", out=tmp_path / "new"))
    assert len(part_of(lift_clip, "5:20").time) == 15 and part_of(lift_clip, None) is lift_clip


class Passing:
    """Stands for the graph, its runs and their scores: the n-th live run is as `strict` says; None: it never tracked.
    A run that is no success ends as an interrupted one does, with the rig's exit code."""

    def __init__(self, monkeypatch, strict):
        self.arguments, self.strict = [], list(strict)
        monkeypatch.setattr("dexhot.bringup.graph.plan", lambda graph, arguments, env: self.arguments.append(arguments))
        monkeypatch.setattr("dexhot.bringup.launcher.run", lambda planned, output, goes_on: int(not self.strict[0]))
        monkeypatch.setattr("dexhot.rollouts.live.live_rollout", lambda live, part=False: self.run())
        monkeypatch.setattr("dexhot.ros.core.claim.own_domain", lambda: None)
        monkeypatch.setattr("dexhot.evaluation.score.rejudge", lambda rollout: rollout)

    def run(self):
        if (strict := self.strict.pop(0)) is None:
            raise DexhotError("live-2 holds no clip tracked to the end: tracking never started.")
        return Judged(strict)


def test_a_demonstration_from_video_is_tracked_by_the_camera_and_the_second_time_by_truth(tmp_path, monkeypatch):
    graph = Passing(monkeypatch, [True])
    assert demo_command.tracked(tmp_path, tmp_path / "d.npz", False, camera=True)[2:] == (1, demo_command.CAMERA)
    assert graph.arguments[0]["perception"] == "camera"
    for first, how in ((False, "was not a strict success"), (None, "never tracked")):
        graph = Passing(monkeypatch, [first, True])
        runs, loop = demo_command.tracked(tmp_path, tmp_path / "d.npz", False, camera=True)[2:]
        assert runs == 2 and "perception" not in graph.arguments[1]
        assert loop.startswith(demo_command.TRUTH) and f"camera {how}" in loop
    graph = Passing(monkeypatch, [True])
    assert demo_command.tracked(tmp_path, tmp_path / "d.npz", False)[3] == demo_command.TRUTH
    assert "perception" not in graph.arguments[0]


def test_an_interrupted_run_is_judged_and_one_that_never_tracked_twice_is_an_error(tmp_path, monkeypatch):
    Passing(monkeypatch, [False, False])
    rollout, live, runs, _ = demo_command.tracked(tmp_path, tmp_path / "d.npz", False)
    assert not rollout.metrics["success_strict"] and (live.name, runs) == ("live-2", 2)
    Passing(monkeypatch, [False, None])
    with pytest.raises(DexhotError, match=r"the live graph died; .*live-2: .*tracking never started"):
        demo_command.tracked(tmp_path, tmp_path / "d.npz", False)


def test_planned_ends_the_demo_on_a_clip_of_a_test_split_that_is_tried_once(tmp_path, monkeypatch, lift_clip):
    clip = f"{demo_command.HELD_OUT}"
    assert clip in library.split_clips("test", library.splits("grab"))
    generated = "-".join(map(str, demo_command.HELD_OUT_FALLBACK))
    assert generated in library.splits("parametric")["test"]
    assert demo_command.held_out(lift_clip).name == f"parametric/{generated}"
    monkeypatch.setattr(library, "load_clip", lambda name: name)
    lift_clip.name = demo_command.CLIP
    assert demo_command.held_out(lift_clip) == f"grab/{clip}"
    monkeypatch.setattr(demo_command, "retargeted", lambda trajectory, folder: folder / "reference.npz")
    graph = Passing(monkeypatch, [False, True])
    monkeypatch.setattr("dexhot.bringup.launcher.run", lambda planned, output, goes_on: 0)
    told = demo_command.planned_on(lift_clip, tmp_path, False)
    assert told["success"] is False and len(graph.arguments) == 1, "no second try"
    assert graph.arguments[0]["controller"] == "planned" and graph.arguments[0]["planning_seconds"] == "10.0"
    assert demo_command.verdict_of(told) == f"{demo_command.CLIP}, held out: not strict (T_err 1.0 cm, R_err 0.10 rad)"
    monkeypatch.setattr("dexhot.bringup.launcher.run", lambda planned, output, goes_on: 1)
    assert "did not start" in demo_command.verdict_of(demo_command.planned_on(lift_clip, tmp_path, False))


class Judged:
    """A score."""

    def __init__(self, strict):
        self.metrics = {"success_strict": strict, "T_err_cm": 1.0, "R_err_rad": 0.1, "hold_rate": 1.0}


def test_the_last_lines_say_where_the_command_is(tmp_path, monkeypatch):
    command = tmp_path / "venv" / "bin" / "dexhot"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    monkeypatch.chdir(tmp_path)
    [*_, last] = demo_command.closing_lines(tmp_path / "page.html", tmp_path)
    assert last == "`dexhot` is venv/bin/dexhot; `source venv/bin/activate` puts it on the PATH"
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    assert len(demo_command.closing_lines(tmp_path / "page.html", tmp_path)) == 2


def test_a_clip_that_lifts_too_little_is_refused(grab):
    with pytest.raises(DexhotError, match="needs 5"):
        demo_command.grab_clip("grab/cylindersmall_lift", None)


def test_a_run_is_never_written_over(tmp_path):
    with pytest.raises(DexhotError, match="exists"):
        demo_command.run(demo_command.Args(out=tmp_path))
