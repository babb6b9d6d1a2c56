"""A generalist of many demonstrations: what it is shown and what is held out, its card, terms, and bad input."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from dexhot.cli import main  # noqa: E402
from dexhot.control.sampling import base_actions  # noqa: E402
from dexhot.data.files import load, save  # noqa: E402
from dexhot.data.types import Demonstration, PolicyCard  # noqa: E402
from dexhot.errors import DexhotError  # noqa: E402
from dexhot.objects.library import save_object  # noqa: E402
from dexhot_train.learners import feedback  # noqa: E402, F401  # whose options are derived from the ones replaced here
from dexhot_train.learners import generalist as module  # noqa: E402
from dexhot_train.learners.asking import Answers  # noqa: E402
from dexhot_train.learners.generalist import GeneralistOptions, train_generalist  # noqa: E402
from dexhot_train.learners.imitation import FitOptions  # noqa: E402
from dexhot_train.learners.lessons import Spent  # noqa: E402

TINY = GeneralistOptions(worlds=1, trials=1, held_out=0.3, fit=FitOptions((8,), epochs=1))


def here(function, jobs):
    """Runs jobs in this process."""
    return ((job, function(job)) for job in jobs)


@pytest.fixture
def files(grasp_reference, lift_setup, tmp_path):
    """Files of three clips' demonstrations: the same motion under three names, one of them a variation."""
    save_object(lift_setup.asset)
    actions, paths = base_actions(grasp_reference, lift_setup.physics), []
    for name, parent in (("a", "parametric/a"), ("b", "parametric/b"), ("b-warped", "parametric/b")):
        reference = replace(grasp_reference, name=f"parametric/{name}")
        made = {"parent": parent, "control_steps": 100}
        d = Demonstration(name, reference, actions, reference.q, reference.object_pose, "2", {}, made, "leap")
        paths.append(save(d, tmp_path / f"{name}.npz"))
    return paths


def changed(path, **values):
    save(replace(load(path, Demonstration), **values), path)


def test_a_clip_is_held_out_with_its_variations_and_an_interrupted_training_goes_on(
    files, cache, tmp_path, monkeypatch
):
    found = train_generalist(files, here, TINY, tmp_path)
    held = {row["clip"] for row in found.card.scores["held_out_clips"]}
    assert held in ({"parametric/a"}, {"parametric/b", "parametric/b-warped"})
    assert set(found.card.training_data) == {f"parametric/{n}" for n in ("a", "b", "b-warped")} - held
    assert found.card.scores["held_out"]["replay"] == 1.0 and found.card.clip == "" and found.card.terms == ""
    monkeypatch.setattr("dexhot_train.learners.generalist.demonstrated", None)  # all of it is in the folder
    again = train_generalist(files, here, TINY, tmp_path)
    for a, b in zip(found.network.state_dict().values(), again.network.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_dagger_adds_the_experts_answers_to_what_the_network_visits(files, cache, tmp_path, monkeypatch):
    asked, fitted, clone = [], [], module.clone

    def answer(lesson, card, teacher, actor, round_, run):
        asked.append((lesson.reference.name, round_, actor.module))
        np.testing.assert_array_equal(teacher, load(files[0], Demonstration).actions)  # the same motion thrice
        seen, wanted = np.full((5, 1), 0.0), np.full((5, 22), 0.001 * round_)
        return Answers(seen.repeat(fitted[0][0].shape[1], axis=1), wanted, Spent(1000, 1.0), 0.5)

    def fit(card, seen, wanted, options, seed):
        fitted.append((seen, wanted))
        return clone(card, seen, wanted, options, seed)

    monkeypatch.setattr(module, "answered", answer)
    monkeypatch.setattr(module, "clone", fit)
    plain = train_generalist(files, here, TINY, tmp_path)
    assert not asked
    found = train_generalist(files, here, replace(TINY, rounds=2), tmp_path)
    shown = found.card.training_data
    assert [(name, k) for name, k, _ in asked] == [(name, k) for k in (1, 2) for name in shown]
    assert asked[0][2] is not asked[-1][2], "the network of the round before acts"
    lengths = [len(wanted) for _, wanted in fitted[1:]]
    assert np.diff(lengths).tolist() == [5 * len(shown)] * 2, "all that was shown and answered is cloned"
    np.testing.assert_array_equal(fitted[-1][1][-1], np.full(22, 0.002))
    more = found.card.provenance["control_steps"] - plain.card.provenance["control_steps"]
    assert more == 2 * len(shown) * 1000
    assert plain.card.provenance["seconds_asking"] == 0.0
    assert found.card.provenance["seconds_asking"] == 2 * len(shown)


def test_the_card_has_room_for_the_largest_correction(files, cache):
    d = load(files[0], Demonstration)
    d.actions[:, 10] += 1.2  # more than a card allows by default
    changed(files[0], actions=d.actions)
    card = module.card_for([load(path, Demonstration) for path in files])
    assert card.residual_limit[10] == pytest.approx(1.32) and card.residual_limit[11] == 0.8


def test_bad_input_is_named(files, cache):
    with pytest.raises(DexhotError, match="2 demonstrations or more, not 1"):
        train_generalist(files[:1], here, TINY)
    with pytest.raises(DexhotError, match="every demonstration is of parametric/b: give those of two clips"):
        train_generalist(files[1:], here, TINY)
    with pytest.raises(DexhotError, match="parametric/a is given twice"):
        train_generalist([files[0], files[0]], here, TINY)
    changed(files[0], servo="dextrack")
    with pytest.raises(DexhotError, match=r"of several rigs .*servo dextrack.*servo leap"):
        train_generalist(files, here, TINY)
    changed(files[0], servo="leap", provenance={"parent": "grab/mug_pass1"})
    with pytest.raises(DexhotError, match="mug_pass1 is in the split test"):
        train_generalist(files, here, TINY)


def test_the_command_takes_folders_and_writes_both_files(files, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", lambda function, jobs, workers: here(function, jobs))
    monkeypatch.setattr(module, "GeneralistOptions", lambda *a, **k: TINY)
    np.savez(tmp_path / "other.npz", x=np.zeros(2))  # not a demonstration
    assert main(["train", "generalist", str(tmp_path), "--out", str(tmp_path / "g"), "--seed", "0"]) == 0
    card = load(tmp_path / "g.json", PolicyCard)
    assert (tmp_path / "g.onnx").is_file() and card.provenance["command"] == f"dexhot train generalist {tmp_path.name}"
    assert main(["train", "generalist", str(tmp_path / "none")]) == 1
    assert main(["train", "generalist", str(files[0]), "--held-out", "1"]) == 1
