"""Rows that an evaluation keeps: found again with the same settings, files and code, else made anew."""

from dataclasses import replace

import pytest

from dexhot.evaluation import kept_rows
from dexhot.evaluation.kept_rows import evaluate_kept, row_key
from dexhot.evaluation.options import EvaluationOptions

OPTIONS = EvaluationOptions(rollouts=16, trials=3, prior="none")


@pytest.fixture
def made(monkeypatch, cache):
    """The clips that were evaluated."""
    seen = []

    def evaluate(job):
        seen.append(job[0])
        return {"clip": job[0], "frames": 100, "replay": {"perturbed": 0.1 + 0.2, "success_strict": True}}

    monkeypatch.setattr(kept_rows, "evaluate_clip", evaluate)
    return seen


def test_a_row_is_made_once(made):
    first = evaluate_kept(("a", OPTIONS))
    assert evaluate_kept(("a", OPTIONS)) == first and made == ["a"]


def test_another_clip_or_setting_is_made_anew(made):
    for job in (
        ("a", OPTIONS),
        ("b", OPTIONS),
        ("a", replace(OPTIONS, rollouts=17)),
        ("a", replace(OPTIONS, arm=True)),
    ):
        evaluate_kept(job)
    assert made == ["a", "b", "a", "a"]


def test_the_key_follows_the_code_and_the_files_that_the_options_name(monkeypatch, tmp_path):
    prior, network, beside, mined = (tmp_path / name for name in ("prior.onnx", "n.onnx", "m.onnx", "a.npz"))
    options = replace(OPTIONS, prior=str(prior), policy=str(network), demonstrations=str(tmp_path))
    options = replace(options, policies=(("beside", str(beside)),))
    keys = [row_key(("a", options))]
    for file in (prior, network, tmp_path / "n.json", beside, tmp_path / "m.json", mined):
        file.write_bytes(b"1")
        keys.append(row_key(("a", options)))
        file.write_bytes(b"2")
        keys.append(row_key(("a", options)))
    monkeypatch.setattr(kept_rows, "source_hash", lambda: "another version")
    keys.append(row_key(("a", options)))
    assert len(set(keys)) == len(keys)
