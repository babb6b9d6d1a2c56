"""`dexhot demo --from teleop`: what it says of each run, and the whole of it."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.cli import demo_teleop
from dexhot.datasets.parametric import generate
from dexhot.rollouts.teleop_run import Lift


@pytest.mark.parametrize(
    "lift, said",
    [
        (Lift(None, 0, 360, 0.0567, True), "lifted by 5.7 cm and held"),
        (Lift(None, 0, 340, 0.004, False, "it was never lifted (at most 4 mm)."), "it was never lifted (at most 4 mm)"),
        (
            Lift(None, 30, 180, 0.0, False, "it fell.", "the hand is lost"),
            "it fell; the clutch released after 2.5 of 6.0 s: the hand is lost",
        ),
        (Lift(None, 0, 0, 0.0, False, "the clutch never engaged"), "the clutch never engaged"),
    ],
)
def test_each_run_is_told_by_what_became_of_the_object(lift, said):
    assert demo_teleop.fate(lift, 6.0) == said


@pytest.mark.parametrize("found, kept", [([0.3, 0.97], 6), ([0.1, 0.5, 0.3, 0.2], 6), ([1.0], 5)])
def test_a_camera_that_does_not_see_the_hand_is_moved(found, kept, tmp_path, monkeypatch):
    clip, asset = generate("reach", "box", 0)
    tried, written, shares = [], [], iter(found)

    def render(operator, asset, options, report):
        tried.append(options.seed)
        return SimpleNamespace(color=options.seed), None, SimpleNamespace(trajectory=operator)

    monkeypatch.setattr("dexhot.objects.load_object", lambda name: asset)
    monkeypatch.setattr("dexhot.synthesis.clip.render", render)
    monkeypatch.setattr("dexhot.synthesis.files.write_clip", lambda *given: written.append(given) or given[0])
    monkeypatch.setattr(demo_teleop, "found_in", lambda pictures: next(shares))
    demo_teleop.rendered_operator(clip, tmp_path, 5)
    assert tried == list(range(5, 5 + len(found)))
    assert written[0][1].color == kept == written[0][4]["seed"]


def test_the_hand_is_found_where_the_right_one_is(monkeypatch):
    left, right = (SimpleNamespace(side=side) for side in ("left", "right"))
    seen = {0: [left], 1: [left, right], 2: [], 3: [right]}
    monkeypatch.setattr("dexhot.perception.hand_landmarks.LandmarkHands", lambda count: seen.get)
    assert demo_teleop.found_in([0, 1, 2, 3]) == 0.5


def test_the_picture_and_its_caption_have_both_runs_the_unassisted_first(tmp_path, monkeypatch):
    rollout, why, drawn = SimpleNamespace(reference=None), "the object was never lifted (at most 0 mm).", []
    lifts = {"assisted": Lift(rollout, 3, 370, 0.05, True), "unassisted": Lift(rollout, 7, 350, 0.0, False, why)}
    recording = SimpleNamespace(time=np.arange(193) / 30)
    monkeypatch.setattr("dexhot.rollouts.teleop_run.lift_of", lambda run: lifts[run.name])
    monkeypatch.setattr(
        "dexhot.rollouts.teleop_run.latencies", lambda run: {"glass_to_motor_ms_p50": 30.0, "images": 9}
    )
    monkeypatch.setattr("dexhot.hardware.camera.recording.open_recording", lambda video: recording)
    monkeypatch.setattr("dexhot.simulation.setup.load_setup", lambda reference: None)
    monkeypatch.setattr("dexhot.report.side_by_side.draw_side_by_side", lambda *given: drawn.append(given[1]))
    found = demo_teleop.compared(tmp_path, tmp_path, {name: tmp_path / name for name in demo_teleop.RUNS})
    assert [title for title, *_ in drawn[0]] == [
        "Without assistance: the object was never lifted (at most 0 mm)",
        "With assistance: lifted by 5.0 cm and held",
    ]
    assert [begin for *_, begin in drawn[0]] == [7, 3]
    caption = (tmp_path / "seen.txt").read_text()
    assert caption.startswith("Assistance off and on\nOne run each.") and "never lifted" in caption
    assert found["assisted_held"] and not found["unassisted_held"] and found["glass_to_motor_ms_p50"] == 30.0
    assert "assisted_why" not in found and "never lifted" in found["unassisted_why"]


@pytest.mark.parametrize("name, assist", [("assisted", "true"), ("unassisted", "false")])
def test_each_run_has_its_assistance_and_records_its_own_folder(tmp_path, monkeypatch, name, assist):
    given = []
    monkeypatch.setattr("dexhot.bringup.graph.plan", lambda graph, arguments, env: given.append(arguments))
    monkeypatch.setattr("dexhot.bringup.launcher.run", lambda planned, output, goes_on: 0)
    monkeypatch.setattr("dexhot.ros.core.claim.own_domain", lambda: None)
    live = demo_teleop.teleoperated(tmp_path, tmp_path / "scene.npz", tmp_path / "operator", 0.1, name, False)
    assert live == tmp_path / name and (given[0]["record"], given[0]["assist"]) == (str(live), assist)


ONE_RUN = """
import functools, shutil, sys
from dexhot.cli import demo_teleop, main, report_command
from dexhot.errors import DexhotError
from dexhot.rollouts.teleop_run import lift_of
live = demo_teleop.teleoperated
report_command.Args = functools.partial(report_command.Args, video=False)  # test_demo has the mp4

def teleoperated(folder, scene, video, palm, name, view):
    if name != "assisted":
        return shutil.copytree(folder / "assisted", folder / name)
    for again in (False, True):  # the camera does not wait for a busy machine: once more
        try:
            run = live(folder, scene, video, palm, name, view)
            if again or lift_of(run).held:
                return run
        except DexhotError:
            if again:
                raise
        shutil.rmtree(folder / name, ignore_errors=True)

demo_teleop.teleoperated = teleoperated
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.ros
@pytest.mark.timeout(1800)
def test_an_operators_hand_lifts_the_object_with_assistance_and_the_report_has_both_runs(
    ros_domain, grab, hand_landmarks, tmp_path
):
    """A copy stands for the run without assistance, which is another argument of the same graph."""
    command = [sys.executable, "-c", ONE_RUN, "demo", "--from", "teleop", "--accept-licence", "grab"]
    command += ["--out", str(tmp_path / "run"), "--json"]
    reply = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1780)
    assert reply.returncode == 0, reply.stderr
    live = tmp_path / "run" / "assisted"
    assert f"report: file://{live}/report/report.html\nin 3D:  dexhot view {live}\n" in reply.stderr
    told = json.loads(reply.stdout.strip().splitlines()[-1])
    assert told["success"] is True and told["assisted_height_cm"] > 3.0
    assert {"unassisted_held", "unassisted_height_cm", "glass_to_motor_ms_p99"} <= told.keys()
    assert "Assistance off and on" in (live / "report" / "report.html").read_text()
