"""The page of an evaluation: which clips are the worst, and their film strips."""

import json
from dataclasses import replace

import pytest

from dexhot.cli import main
from dexhot.evaluation import kept_rows
from dexhot.evaluation.controllers import evaluate_clip
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.summary import summarise
from dexhot.evaluation.trial_worlds import played_worlds
from dexhot.report import gallery
from dexhot.report.gallery import failure, worst_clips, write_gallery

OPTIONS = EvaluationOptions("replay", 1, prior="none", baselines=())


@pytest.fixture
def one_clip(monkeypatch, lift, retarget_once, cache):
    monkeypatch.setattr("dexhot.evaluation.clips.human_clip", lambda name: lift)
    monkeypatch.setattr("dexhot.evaluation.clips.retarget", retarget_once)


def row(clip: str, strict: bool, perturbed: float | None, error: float = 1.0):
    return {"clip": clip, "x": {"success_strict": strict, "perturbed": perturbed, "T_err_cm": error}}


def test_the_worst_clips_come_first_and_strict_ones_not_at_all():
    rows = [row("good", True, 1.0), row("some", True, 0.5), row("near", False, 0.0, 3.0), row("far", False, 0.0, 30.0)]
    assert worst_clips(rows, "x") == ["far", "near", "some"] and worst_clips(rows, "x", 1) == ["far"]
    assert worst_clips([row("nominal", False, None), row("good", True, None)], "x") == ["nominal"]
    assert worst_clips(rows, "absent") == []


def test_the_strip_is_of_the_first_world_in_which_it_fails(brief_lift, lift_setup, monkeypatch):
    rollout, world = failure(brief_lift, lift_setup, "frozen", OPTIONS)
    assert world == "nominal world" and not rollout.metrics["success_strict"]
    assert failure(brief_lift, lift_setup, "replay", replace(OPTIONS, trials=0)) is None  # strict there

    def worlds(name, reference, simulator, setup, options, trials):
        for failed in (False, True):
            played = played_worlds("replay", reference, simulator, setup, options, 0)
            yield next(iter(played))[0], failed

    monkeypatch.setattr(gallery, "played_worlds", worlds)
    assert failure(brief_lift, lift_setup, "replay", OPTIONS)[1] == "perturbed world 1"


def test_the_page_is_one_file_with_figures_clips_and_strips(one_clip, tmp_path):
    rows = [evaluate_clip(("a", OPTIONS))]
    page = write_gallery(tmp_path, "frozen on a", rows, summarise(rows), "frozen", OPTIONS).read_text()
    assert page.count("<h3>") == 2 and "<h3>Without simulation at run time</h3>" in page and "not run" in page
    assert "strict in the nominal world: no, in 0.00 of 1 perturbed ones" in page
    assert "position error" in page and "clips x worlds" in page and "contact, median" in page
    assert "data:image/png;base64" in page or "render" in page.lower()
    assert [path.name for path in tmp_path.glob("*")] == [gallery.PAGE]


def test_the_command_writes_it(one_clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dexhot.evaluation.clips.splits", lambda name: {"test": ["a"]})
    monkeypatch.setattr("dexhot.datasets.human_clip.require_clips", lambda names: None)
    here = lambda function, jobs, workers: ((job, evaluate_clip(job)) for job in jobs)  # noqa: E731
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", here)
    monkeypatch.setattr(kept_rows, "evaluate_clip", evaluate_clip)
    words = ["evaluate", "--controller", "kinematic", "--trials", "1", "--baselines", "replay", "--report"]
    assert main([*words, str(tmp_path / "page"), "--json"]) == 0
    shown = capsys.readouterr()
    assert (tmp_path / "page" / gallery.PAGE).is_file() and "index.html" in "".join(shown.err.split())
    assert json.loads(shown.out.strip().splitlines()[-1])["controllers"]["kinematic"]["n"] == 1
    assert "prior" not in (tmp_path / "page" / gallery.PAGE).read_text()
    words[2], where = "planned", tmp_path / "page"
    assert main([*words, str(where), "--planning-rollouts", "10", "--prior", "none"]) == 0
    assert "<p>prior over plans: unfitted.</p>" in (where / gallery.PAGE).read_text()
    assert main(["evaluate", "x.npz", "--report", str(tmp_path)]) == 1
    assert "belong to --controller" in " ".join(capsys.readouterr().err.split())
