"""The report: what it says, what it draws, and that it is one file."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.metrics.judge import judge
from dexhot.metrics.rollout import compute
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import save_object
from dexhot.report import video
from dexhot.report.folder import write_report
from dexhot.report.loop_table import node_rows
from dexhot.report.plots import Line, panel
from dexhot.report.series import compute_series, spans
from dexhot.robots.robot_hand import load_hand
from report_samples import box_asset, lift_reference, lift_rollout


@pytest.fixture
def asset(cache):
    return box_asset()


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
    assert all(0 <= float(v) <= limit for p in points for v, limit in zip(p.split(","), (560, 190)))
    assert "limit 5" in svg


def test_panel_draws_a_constant_zero():
    assert "<polyline" in panel("error", "cm", np.arange(3.0), [Line("achieved", np.zeros(3))])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A whole report of a good lift, made once."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXHOT_CACHE", str(folder / "cache"))
        box_asset()
        loop = [{"node": "leap_driver", "measured": "stamp to command", "p99_ms": 4.25}]
        return write_report(lift_rollout(), folder / "out", extra={"loop": loop, "seed": 7})


def test_the_page_asks_nobody_for_anything(report):
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.extend(v for k, v in attributes if k in ("src", "href", "data", "srcset"))

    text = report.read_text()
    Links().feed(text)
    assert all(v.startswith("data:") for v in found)
    assert "<script" not in text and "@import" not in text and "url(" not in text


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

    assert Image.open(report.parent / "sheet.png").size == (4 * 648 - 8, 2 * 488 - 8)


def test_the_video_is_an_mp4(report):
    written = json.loads((report.parent / "report.json").read_text())
    if written["files"]["video"] is None:
        pytest.skip(written["notes"][0])
    assert (report.parent / "video.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_an_encoder_the_report_says_so(asset, tmp_path, monkeypatch):
    def none():
        raise video.NoEncoderError("No video: no ffmpeg.")

    monkeypatch.setattr(video, "find_ffmpeg", none)
    page = write_report(lift_rollout(), tmp_path)
    assert "No video: no ffmpeg." in page.read_text()
    assert not list(tmp_path.glob("*.tmp")) and (tmp_path / "sheet.png").exists()


def test_without_gl_the_report_says_so(asset, tmp_path, monkeypatch):
    from dexhot.simulation.renderer import NoRendererError
    from dexhot.view import render

    def none(*_):
        raise NoRendererError("No pictures: no OpenGL.")

    monkeypatch.setattr(render, "new_renderer", none)
    assert "No pictures: no OpenGL." in write_report(lift_rollout(), tmp_path).read_text()


def test_a_dropped_object_is_reported_as_failed(asset, tmp_path):
    text = write_report(lift_rollout(dropped=True), tmp_path, video=False).read_text()
    assert "Failed · strict" in text and "Success · strict" not in text
    assert "Failed by: largest position error" in text


def test_a_clip_that_was_stopped_is_no_success_and_says_why(asset, tmp_path):
    rollout = replace(lift_rollout(), provenance={"stopped": "fault: the emergency stop is pressed"})
    text = write_report(rollout, tmp_path, video=False).read_text()
    assert "Stopped after 0.98 s: fault: the emergency stop is pressed." in text and "Success · strict" not in text
    assert json.loads((tmp_path / "report.json").read_text())["success"] is False


def test_a_symmetric_object_is_drawn_as_it_is_judged(cache, tmp_path):
    save_object(replace(box_asset(), symmetry=Symmetry("axis")))
    text = write_report(lift_rollout(), tmp_path, video=False).read_text()
    assert "ADD-S, judged" in text and "limit 5" in text and "limit 40" in text


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
