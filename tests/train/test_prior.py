"""The prior's fit: its clips, what is kept of them, and how it resumes."""

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import load
from dexhot.data.types import PlanPrior
from dexhot.datasets import splits
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.planning.prior import SHIPPED, load_prior
from dexhot_train.prior import TERMS, PriorOptions, averaged_plan, clips_for, fit_prior


def serially(function, jobs):
    for job in jobs:
        yield job, function(job)


def test_no_test_clip_is_trained_on():
    named = splits("grab")
    assert clips_for(PriorOptions("grab")) == [f"grab/{clip}" for clip in named["train"]]
    assert all(name.startswith("parametric/") for name in clips_for(PriorOptions()))
    assert clips_for(PriorOptions(clips=2)) == clips_for(PriorOptions())[:2]
    with pytest.raises(DexhotError, match="one of parametric, grab"):
        clips_for(PriorOptions("hot3d"))


def test_a_clips_plan_is_the_mean_over_seeds_and_is_kept(tmp_path, cache, monkeypatch):
    options = PriorOptions(seeds=2, rollouts=42, keep=0.0)
    job = (clips_for(options)[0], options, tmp_path)
    plan, count = averaged_plan(job)
    assert count >= 1 and plan.shape == (38,)
    monkeypatch.setattr("dexhot_train.prior.human_clip", lambda name: pytest.fail("searched again"))
    again, _ = averaged_plan(job)
    np.testing.assert_array_equal(plan, again)


def test_the_prior_says_what_made_it(monkeypatch, cache, tmp_path):
    rng = np.random.default_rng(0)
    answers = {name: (0.01 * rng.standard_normal(38), 3) for name in clips_for(PriorOptions(clips=4))}
    lost = list(answers)[3]
    monkeypatch.setattr(
        "dexhot_train.prior.averaged_plan", lambda job: (None, 0) if job[0] == lost else answers[job[0]]
    )
    prior = fit_prior(PriorOptions(clips=4), serially, "dexhot train prior", tmp_path)
    assert prior.training_data == [name for name in answers if name != lost]
    np.testing.assert_allclose(prior.mean, np.mean([answers[name][0] for name in prior.training_data], axis=0))
    assert prior.terms == TERMS["parametric"] and prior.provenance["command"] == "dexhot train prior"
    assert prior.provenance["physics"] == "2" and prior.provenance["servo"] == "leap"
    prior.validate()


def test_clips_without_a_plan_are_too_few(monkeypatch, cache, tmp_path):
    monkeypatch.setattr("dexhot_train.prior.averaged_plan", lambda job: (None, 0))
    with pytest.raises(DexhotError, match="0 of 4 clips"):
        fit_prior(PriorOptions(clips=4), serially, "", tmp_path)


def test_the_command_states_the_terms_of_grab_and_needs_them_accepted(tmp_path, cache, capsys):
    assert main(["train", "prior", "--data", "grab", "--out", str(tmp_path / "p.npz")]) == 1
    assert "non-commercial" in capsys.readouterr().err


def test_without_a_shipped_prior_plans_are_drawn_about_the_bare_reference(lift_reference):
    """One that is shipped must carry no terms."""
    shipped = share_dir() / "policies" / SHIPPED
    if shipped.is_file():
        assert load(shipped, PlanPrior).terms.startswith("none")
    else:
        np.testing.assert_array_equal(load_prior("", lift_reference).mean, 0.0)
