"""The report: its text, its pictures, and that it is one file."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.evaluation.panel import PANEL as PANEL_WORLDS
from dexhot.evaluation.panel import Light, Panel
from dexhot.metrics.judge import judge
from dexhot.metrics.rollout import compute
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import save_object
from dexhot.report import folder, video
from dexhot.report.folder import write_report
from dexhot.report.live_loop import checks, node_rows
from dexhot.report.plots import PANEL, Line, histogram, panel, timeline
from dexhot.report.recording import RunRecording, SafetyState
from dexhot.report.series import _reference_phases, compute_series, spans
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.renderer import NoRendererError
from dexhot.view import render
from report_samples import box_asset, human_clip, lift_reference, lift_rollout

SMALL = (288, 252)  # px, a quarter of a report's pictures


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(folder, "PICTURE", SMALL)


@pytest.fixture
def asset(cache):
    return box_asset()


@pytest.fixture
def no_gl(monkeypatch):
    """A machine without OpenGL: for what a page says, nobody needs its pictures, which take 2 s."""

    def none(*_):
        raise NoRendererError("No pictures: no OpenGL.")

    monkeypatch.setattr(render, "new_renderer", none)


@pytest.fixture
def metrics(asset):
    return compute(lift_rollout(), asset, load_hand("leap_right"))


def test_series_measure_the_offset_that_was_made(asset):
    series = compute_series(lift_rollout(), asset)
    assert series.object_cm == pytest.approx(0.4)
    assert series.reference_height_cm.max() == pytest.approx(10.0, abs=0.01)


def test_phases_of_a_good_lift_end_in_hold(asset):
    series = compute_series(lift_rollout(), asset)
    assert [s.style for s in spans(series.time, series.phase)] == ["approach", "contact", "held"]


def test_a_dropped_object_is_lost(asset):
    series = compute_series(lift_rollout(dropped=True), asset)
    assert series.phase[-1] == "lost" and series.phase[40] == "held"


def test_a_reference_that_lets_go_and_grasps_again_shows_it():
    ref, lifted = lift_reference(), np.zeros(len(lift_reference().q), bool)
    start, end = ref.grasp_start, ref.grasp_end
    middle = (start + end) // 2
    contact = np.zeros((len(ref.q), 4))
    contact[[*range(start, middle - 3), *range(middle + 3, end + 1)]] = 1.0
    phase = _reference_phases(replace(ref, contact=contact), lifted)
    assert phase[start] == phase[end] == "contact" and phase[middle] == "release"
    plain = _reference_phases(replace(ref, contact=0.0 * contact), lifted)
    assert (plain[start : end + 1] == "contact").all()


def test_spans_cover_the_clip_without_gaps():
    time = np.arange(6.0)
    found = spans(time, np.array(["a", "a", "b", "b", "b", "a"]))
    assert [(s.start, s.end) for s in found] == [(0, 1.5), (1.5, 4.5), (4.5, 5)]


def test_judge_puts_strict_limits_beside_raw_metrics(metrics):
    verdicts = {v.id: v for v in judge(metrics)}
    assert verdicts["T_err_max_cm"].limit == 5.0 and verdicts["T_err_max_cm"].passed
    assert verdicts["R_err_rad"].limit == pytest.approx(np.radians(20))


def test_judge_shows_judged_rows_for_symmetric_objects_only(metrics):
    plain = {v.id for v in judge(metrics)}
    symmetric = {v.id: v for v in judge(metrics | {"symmetry": "axis"})}
    assert "judged_T_cm" not in plain
    assert symmetric["judged_T_cm"].limit == 10.0 and symmetric["T_err_cm"].limit is None


def test_judge_fails_what_is_over_its_limit(metrics):
    verdicts = {v.id: v for v in judge(metrics | {"T_err_final_cm": 3.1})}
    assert verdicts["T_err_final_cm"].passed is False


def test_panel_keeps_curve_and_limit_inside_its_box():
    svg = panel("error", "cm", np.arange(3.0), [Line("achieved", np.array([0.0, 2.0, 1.0]))], limit=5.0)
    points = re.search(r'points="([^"]+)"', svg)[1].split()
    assert all(0 <= float(v) <= limit for p in points for v, limit in zip(p.split(","), PANEL))
    assert "limit 5" in svg


def test_panel_draws_a_constant_zero():
    assert "<polyline" in panel("error", "cm", np.arange(3.0), [Line("achieved", np.zeros(3))])


def test_unknown_values_are_gaps_in_a_curve():
    svg = panel("torque", "%", np.arange(5.0), [Line("index", np.array([1.0, 2.0, np.nan, 2.0, 1.0]))])
    assert svg.count("<polyline") == 2 and "nan" not in svg


def recording(**changed) -> RunRecording:
    """Of a loop that kept everything, 60 frames long."""
    latency = np.stack([np.arange(60) / 60, np.full(60, 4.0)], axis=1)
    told = {"stamp_to_command.count": "60", "stamp_to_command.p99_ms": "4.25", "clamped": "0", "refused": "0"}
    told |= {"stamp_to_command.p50_ms": "4", "stamp_to_command.max_ms": "5"}
    told |= {"watchdog.overruns": "0", "state": "active"}
    nodes = {"leap_driver": told, "franka_driver": told, "rig": {"tick_ok_fraction": "1"}}
    joints = [f"fr3_joint{k}" for k in range(1, 8)] + lift_reference().joint_names[6:]
    states = [SafetyState(-1.0, "tracking", "started")]
    torque = np.full((60, len(joints)), 0.1)
    return replace(RunRecording(states, nodes, joints, torque, latency, 60.0, 0, 0, 16.7), **changed)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A whole report of a good lift by a live run, beside its human demonstration, made once."""
    made = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "PICTURE", SMALL)
        patch.setenv("DEXHOT_CACHE", str(made / "cache"))
        box_asset()
        save(human_clip(), made / "cache" / "trajectories" / "user" / "box_lift.npz")
        rollout = lift_rollout()
        rollout = replace(rollout, reference=replace(rollout.reference, name="user/box_lift"))
        commands = [("view", "dexhot view 'a run'")]
        return write_report(rollout, made / "out", recording=recording(), commands=commands, extra={"seed": 7})


def test_the_video_s_frames_are_counted(tmp_path, monkeypatch):
    encoder = tmp_path / "ffmpeg"
    encoder.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\n')
    encoder.chmod(0o755)
    monkeypatch.setattr(video, "find_ffmpeg", lambda: str(encoder))
    done = []
    video.write_video(
        lambda k: np.zeros((2, 2, 3), np.uint8), 5, tmp_path / "v.mp4", progress=lambda *n: done.append(n)
    )
    assert done == [(1, 5), (3, 5), (5, 5)]


def test_the_page_asks_nobody_for_anything(report):
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.extend(v for k, v in attributes if k in ("src", "href", "data", "srcset", "action"))

    text = report.read_text()
    Links().feed(text)
    assert found and all(v.startswith("data:") for v in found)
    assert "http://" not in text and "https://" not in text and "@import" not in text and "url(" not in text
    assert "default-src 'none'" in text  # and the browser would not let it


def test_every_plot_has_a_cursor_on_the_one_time_axis(report):
    text = report.read_text()
    timed = re.findall(r'<svg[^>]*data-x0="[^"]+" data-x1="[^"]+" data-t0="0" data-t1="([^"]+)".*?</svg>', text, re.S)
    assert len(timed) > 8 and set(timed) == {"0.983333"}
    assert text.count('class="cursor"') == len(timed)


def test_the_cursor_has_a_value_of_every_curve_at_every_frame(report):
    text = report.read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    shown = set(re.findall(r'<output data-of="(\w+)">', text))
    assert shown and shown <= set(data["curves"])
    assert {len(values) for values in data["curves"].values()} == {len(data["time"])} == {60}


def test_every_command_can_be_copied_as_it_is_typed(report):
    text = report.read_text()
    assert "dexhot view &#x27;a run&#x27;</code><button" in text
    assert text.count('class="copy"') == text.count("<code tabindex") == 1


def test_what_is_wider_than_a_phone_scrolls_in_its_own_container(report):
    text = report.read_text()
    inside = re.findall(r'<div class="scroll"[^>]*>\s*<(svg|table|img)', text)
    assert len(inside) == len(re.findall(r"<(?:svg|table) ?", text)) + text.count('<img class="sheet"')
    style = text[text.index("<style>") : text.index("</style>")]
    narrow = style[style.index("@media (max-width: 760px)") :]
    assert ".scroll { overflow-x: auto; }" in style and ".scroll.wide::before" in style
    assert "minmax(0, 1fr)" in narrow  # a grid's plain 1fr would grow with what is in it


def test_the_human_is_drawn_beside_the_robot(report):
    text = report.read_text()
    assert "Human demonstration" in text and "human demonstration is not shown" not in text


def test_the_live_loops_checks_are_in_page_and_json(report):
    written = json.loads((report.parent / "report.json").read_text())
    assert all(check["passed"] for check in written["checks"])
    assert f"Live loop {len(written['checks'])} of {len(written['checks'])}" in report.read_text()


def test_torques_stand_beside_their_limits(report):
    forces = json.loads((report.parent / "report.json").read_text())["forces"]
    assert forces["limit_nm"][:7] == [87, 87, 87, 87, 12, 12, 12]
    assert len(forces["torque_nm"]) == 60 and len(forces["tip_force_n"][0]) == 4


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"rate": 58.0}, "Rate"),
        ({"unanswered": 2}, "Lost messages"),
        ({"missing": 1}, "Lost messages"),
        ({"longest_gap": 120.0}, "Longest gap"),
        ({"safety": [SafetyState(-1.0, "tracking", ""), SafetyState(0.5, "holding", "stale")]}, "Holds and faults"),
        ({"diagnostics": {"leap_driver": {"clamped": "3"}}}, "Clamped commands"),
        ({"diagnostics": {"franka_driver": {"refused": "1"}}}, "Refused commands"),
        ({"diagnostics": {"shaper": {"tick.overruns": "1"}}}, "Overruns"),
        ({"diagnostics": {"rig": {"tick_ok_fraction": "0.98"}}}, "Ticks on time"),
        (
            {"diagnostics": {"leap_driver": {"stamp_to_command.count": "9", "stamp_to_command.p99_ms": "11"}}},
            "Latency p99, hand",
        ),
    ],
)
def test_each_fault_of_the_loop_fails_its_own_check(changed, failed):
    assert [c.name for c in checks(recording(**changed), 1.0, []) if not c.passed] == [failed]


def test_a_hold_after_the_clip_is_no_fault_of_the_loop():
    after = [SafetyState(-1.0, "tracking", "started"), SafetyState(1.5, "holding", "the clip has ended")]
    assert all(c.passed for c in checks(recording(safety=after), 1.0, []))
    assert [c.name for c in checks(recording(), 1.0, ["a chunk is lost"]) if not c.passed] == ["Recording"]


def test_a_loop_that_failed_is_reported_in_the_first_lines(asset, no_gl, tmp_path):
    text = write_report(lift_rollout(), tmp_path, video=False, recording=recording(unanswered=2)).read_text()
    assert "Live loop: lost messages 0 states, 2 commands (limit none)." in text


def test_a_histogram_has_its_limits_within_it():
    svg = histogram([(4.0, 3), (4.2, 5)], [(10.0, "p99 limit"), (16.7, "one tick")], "ms", "latency")
    assert svg.count('class="bar"') == 2 and "one tick 16.7" in svg
    assert all(0 <= float(x) <= PANEL[0] for x in re.findall(r' x1="([^"]+)"', svg))


def test_states_from_before_the_clip_begin_with_it():
    from dexhot.report.plots import Row
    from dexhot.report.series import Span

    svg = timeline(np.arange(3.0), [Row("supervisor", [Span(-9.0, 99.0, "safety-tracking", "tracking")])])
    x, width = map(float, re.search(r'fill safety-tracking" x="([^"]+)" y="[^"]+" width="([^"]+)"', svg).groups())
    assert x == 96 and x + width == 1112


def test_the_page_shows_verdict_metrics_loop_and_provenance(report):
    text = report.read_text()
    for expected in ("Success · strict", "T_err_max_cm", "&lt; 5 cm", "leap_driver", "4.25", "mujoco", "seed"):
        assert expected in text or expected.replace("&lt;", "<") in text


def test_the_json_beside_it_says_the_same(report):
    written = json.loads((report.parent / "report.json").read_text())
    assert written["schema"] == "dexhot/report" and written["success"] is True
    assert written["metrics"]["T_err_cm"] == pytest.approx(0.4)
    assert [p["style"] for p in written["phases"]] == ["approach", "contact", "held"]
    assert len(written["series"]["object_cm"]) == 60


def test_the_sheet_is_a_picture_of_eight_frames(report):
    from PIL import Image

    assert Image.open(report.parent / "sheet.png").size == (4 * (SMALL[0] + 8) - 8, 2 * (SMALL[1] + 8) - 8)


def test_the_video_is_an_mp4(report):
    written = json.loads((report.parent / "report.json").read_text())
    if written["files"]["video"] is None:
        pytest.skip(written["notes"][0])
    assert (report.parent / "video.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_an_encoder_the_report_has_a_note(asset, tmp_path, monkeypatch):
    def none():
        raise video.NoEncoderError("No video: no ffmpeg.")

    monkeypatch.setattr(video, "find_ffmpeg", none)
    page = write_report(lift_rollout(), tmp_path)
    assert "No video: no ffmpeg." in page.read_text()
    assert not list(tmp_path.glob("*.tmp")) and (tmp_path / "sheet.png").exists()


def test_without_gl_the_report_has_a_note(asset, no_gl, tmp_path):
    assert "No pictures: no OpenGL." in write_report(lift_rollout(), tmp_path).read_text()


def test_what_a_camera_saw_is_shown_with_its_caption(asset, no_gl, tmp_path):
    (tmp_path / "seen.png").write_bytes(b"four frames")
    seen = (tmp_path / "seen.png", "rendered pictures, not real ones")
    text = write_report(lift_rollout(), tmp_path / "out", video=False, seen=seen).read_text()
    assert "Seen in the video<small>rendered pictures, not real ones" in text
    assert base64.b64encode(b"four frames").decode() in text
    assert "Seen in the video" not in write_report(lift_rollout(), tmp_path / "other", video=False).read_text()


def test_a_dropped_object_is_reported_as_failed(asset, no_gl, tmp_path):
    text = write_report(lift_rollout(dropped=True), tmp_path, video=False).read_text()
    assert "Failed · strict" in text and "Success · strict" not in text
    assert "Failed limits: largest position error" in text


def test_a_clip_that_was_stopped_is_no_success_and_gives_the_reason(asset, no_gl, tmp_path):
    rollout = replace(lift_rollout(), provenance={"stopped": "fault: the emergency stop is pressed"})
    text = write_report(rollout, tmp_path, video=False).read_text()
    assert "Stopped after 0.98 s: fault: the emergency stop is pressed." in text and "Success · strict" not in text
    assert json.loads((tmp_path / "report.json").read_text())["success"] is False


@pytest.mark.parametrize("stopped, good", [("holding: recorder ends: stopped", True), ("fault: the arm", False)])
def test_a_teleoperated_run_tracks_nothing_and_a_persons_end_of_it_is_no_failure(asset, no_gl, tmp_path, stopped, good):
    rollout = lift_rollout()
    scene = replace(rollout.reference, provenance={"teleop": {}})
    rollout = replace(rollout, reference=scene, provenance={"stopped": stopped})
    text = write_report(rollout, tmp_path, video=False).read_text()
    assert ("Ended after 0.98 s: holding: recorder ends" in text) == good and ("Stopped after 0.98 s" in text) != good
    assert "is teleoperated: it repeats no clip" in text and ">reference</text><rec" not in text


def test_an_interrupted_report_leaves_the_earlier_one_and_nothing_beside_it(asset, no_gl, tmp_path, monkeypatch):
    write_report(lift_rollout(), tmp_path / "out", video=False)

    def interrupted(content, setup, folder, *_):
        (folder / "sheet.png").write_bytes(b"half")
        raise KeyboardInterrupt

    kept = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    monkeypatch.setattr("dexhot.report.folder._draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(lift_rollout(), tmp_path / "out", video=False)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == kept
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("dexhot-")] == []


def test_a_symmetric_object_is_drawn_as_it_is_judged(cache, no_gl, tmp_path):
    save_object(replace(box_asset(), symmetry=Symmetry("axis")))
    text = write_report(lift_rollout(), tmp_path, video=False).read_text()
    assert "ADD-S, evaluated" in text and "limit 5" in text and "limit 40" in text


def test_loop_rows_keep_rate_and_overruns_and_drop_what_never_ran():
    values = {"tick.rate_hz": "60", "tick.tick_ok_fraction": "0.999", "tick.overruns": "2"}
    for name, count in (("tick.lateness", "9"), ("tick.body", "9"), ("step", "9"), ("unused", "0")):
        values |= {f"{name}.count": count} | {f"{name}.{p}_ms": "1.5" for p in ("p50", "p99", "max")}
    rows = node_rows("rig", values)
    assert [r["measured"] for r in rows] == ["tick: lateness", "step"]
    assert rows[0]["overruns"] == 2 and rows[0]["ticks_on_time"] == "99.90 %"


def test_command_reports_a_rollout_file(asset, tmp_path, capsys):
    path = save(lift_rollout(), tmp_path / "lift.npz")
    assert main(["report", str(path), "--no-video", "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["metrics"]["success_strict"] is True
    assert (tmp_path / "lift.report" / "report.html").is_file()


def test_command_refuses_a_reference(asset, tmp_path, capsys):
    path = save(lift_reference(), tmp_path / "reference.npz")
    assert main(["report", str(path)]) == 1
    assert "holds a Reference" in capsys.readouterr().err


def test_command_refuses_a_folder_without_a_bag(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "dexhot: error:" in capsys.readouterr().err


def test_a_report_reads_hand_and_object_once(asset, tmp_path, loads):
    path = save(lift_rollout(), tmp_path / "lift.npz")
    loads.update(hand=0, object=0)
    assert main(["report", str(path), "--no-video"]) == 0
    assert loads == {"hand": 1, "object": 1}


def test_the_panel_is_a_row_of_lights(asset, no_gl, tmp_path):
    lights = tuple(Light(world.name, k != 2, "slips" if k == 2 else "") for k, world in enumerate(PANEL_WORLDS))
    verdict = Panel(Light("nominal", True, ""), lights)
    page = write_report(lift_rollout(), tmp_path / "r", video=False, panel=verdict).read_text()
    row = re.search(r'<div class="lights".*?</div>', page).group()
    assert [c == "pass" for c in re.findall(r'class="light (\w+)"', row)] == [True, True, True, False, True, True]
    assert all(world.name in row for world in PANEL_WORLDS) and 'title="slips"' in row
    assert "Panel 4 of 5" in page
    told = json.loads((tmp_path / "r" / "report.json").read_text())["panel"]
    assert told["success"] is True and told["friction 0.6"] is False and told["nominal"] is True


def test_without_a_panel_there_are_no_lights(asset, no_gl, tmp_path):
    assert 'class="lights"' not in write_report(lift_rollout(), tmp_path / "r", video=False).read_text()


def test_what_could_not_be_verified_is_reported_at_the_top(asset, no_gl, tmp_path):
    rollout = lift_rollout()
    said = {"name": "unverified: user/box_lift", "why": "its clip is not here"}
    rollout = replace(rollout, provenance=rollout.provenance | {"verification": said})
    page = write_report(rollout, tmp_path / "r", video=False).read_text()
    assert '<p class="why">unverified: user/box_lift: its clip is not here.' in page.partition("<section")[0]


def test_planned_slowing_is_information_and_no_failure(asset, no_gl, tmp_path):
    rollout = lift_rollout()
    said = {"name": "box_lift at 0.96 of its speed", "whole": True, "why": "1.04 times as long as the person took"}
    rollout = replace(rollout, provenance=rollout.provenance | {"verification": said})
    header = write_report(rollout, tmp_path / "r", video=False).read_text().partition("<section")[0]
    assert (
        '<p class="note">box_lift at 0.96 of its speed: 1.04 times' in header and 'class="why">box_lift' not in header
    )
