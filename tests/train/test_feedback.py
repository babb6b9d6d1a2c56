"""Feedback on plans: what it is taught, that its plans may be searched, its card, and bad input."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from dexhot.cli import main  # noqa: E402
from dexhot.control.policy import FEEDBACK_LIMIT, OnnxNetwork, Policy  # noqa: E402
from dexhot.control.sampling import SamplingOptions, base_actions  # noqa: E402
from dexhot.data.files import load, save  # noqa: E402
from dexhot.data.types import Demonstration, PolicyCard, Reference  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.objects.library import save_object  # noqa: E402
from dexhot_train.learners import feedback as module  # noqa: E402
from dexhot_train.learners.asking import answered  # noqa: E402
from dexhot_train.learners.expert import ExpertOptions, queried  # noqa: E402
from dexhot_train.learners.feedback import FeedbackOptions, NoFeedback, train_feedback  # noqa: E402
from dexhot_train.learners.imitation import FitOptions  # noqa: E402

TINY = FeedbackOptions(
    worlds=1,
    trials=1,
    held_out=0.3,
    rounds=1,
    rollouts=12,
    stride=60,
    expert=ExpertOptions(1, SamplingOptions(4, 1, 0.2, knot=0.1)),
    fit=FitOptions((8,), epochs=1),
)


def here(function, jobs):
    """Runs jobs in this process."""
    return ((job, function(job)) for job in jobs)


@pytest.fixture
def files(grasp_reference, lift_setup, cache, tmp_path):
    """A demonstration and a reference, of the same motion under two names."""
    save_object(lift_setup.asset)
    one, other = (replace(grasp_reference, name=f"parametric/{name}") for name in "ab")
    actions = base_actions(one, lift_setup.physics) + 0.001
    made = Demonstration("a", one, actions, one.q, one.object_pose, "2", {}, {"control_steps": 100}, "leap")
    (tmp_path / "set").mkdir()
    return [save(made, tmp_path / "set/a"), save(other, tmp_path / "set/b")]


def test_it_is_taught_the_experts_answers_less_the_playback(grasp_reference, lift_setup, files, monkeypatch):
    demonstration = load(files[0], Demonstration)
    card = module.card_for([demonstration, replace(demonstration, reference=grasp_reference)], "planned")
    lesson = module._lesson(demonstration.reference, TINY, None)
    more = [0.0, 0.002]

    class Expert:
        """Says the playback and a little more."""

        answers, improved, control_steps = 1, 1, 0

        def __init__(self, reference, simulator, model, teacher, options, seed):
            self.teacher = teacher

        def answer(self, state, t, frames):
            return self.teacher[t : t + frames] + more[0]

    monkeypatch.setattr("dexhot_train.learners.asking.SamplingExpert", Expert)
    same = answered(lesson, card, demonstration.actions, NoFeedback(card), 0, here).wanted
    assert same.shape == (len(grasp_reference.q), 22) and not same.any()  # every frame of the one world
    more.pop(0)
    wanted = answered(lesson, card, demonstration.actions, NoFeedback(card), 0, here).wanted
    asked = sum(min(TINY.stride, len(same) - t) for t in queried(grasp_reference, TINY.stride))
    np.testing.assert_allclose(wanted[:asked], 0.002, atol=1e-9)
    assert asked < len(wanted) and not wanted[asked:].any()  # away from the grasp


def test_a_reference_gets_its_plan_and_an_interrupted_training_goes_on(files, lift_setup, tmp_path, monkeypatch):
    found = train_feedback(files, here, TINY, tmp_path / "steps", "dexhot train ...")
    card = found.card
    assert card.baseline == "planned" and card.clip == "" and card.terms == "" and len(card.training_data) == 1
    assert card.residual_limit[0] == FEEDBACK_LIMIT[0] and card.provenance["control_steps"] > 100
    assert [row["round"] for row in card.scores["rounds"]] == [0, 1] and set(card.scores["held_out"]) == {
        "network",
        "playback",
    }
    kept = {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "steps").rglob("*.npz")}
    clip = card.training_data[0].replace("/", "_")
    assert kept == {f"steps/{clip}/answers-{k}-0.npz" for k in range(2)} | {"steps/parametric_b/plan.npz"}
    monkeypatch.setattr("dexhot_train.learners.asking._ask", None)  # all of it is in the folder
    monkeypatch.setattr(module, "Planned", None)
    again = train_feedback(files, here, TINY, tmp_path / "steps")
    for a, b in zip(found.network.state_dict().values(), again.network.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_clip_that_planned_would_refuse_is_left_out(files, monkeypatch):
    monkeypatch.setattr(module, "_plan", lambda lesson, rollouts: (lesson.reference.target, 0.2, 5))
    told: list[str] = []
    with pytest.raises(DexhotError, match="2 demonstrations or more, not 1"):
        train_feedback(files, here, TINY, report=told.append)
    assert "parametric/b: left out, its plan is expected to survive 0.20" in told[0]


def test_bad_input_is_named(files, lift_setup, tmp_path):
    test = replace(load(files[1], Reference), name="grab/mug_pass1")
    with pytest.raises(DexhotError, match="mug_pass1 is in the split test"):
        train_feedback([files[0], save(test, tmp_path / "test")], here, TINY)
    card = module.card_for([load(files[0], Demonstration), replace_name(files[0])], "planned")
    with pytest.raises(FileFormatError, match="holds a PolicyCard; give References or Demonstrations"):
        train_feedback([files[0], save(card, tmp_path / "card")], here, TINY)


def replace_name(path) -> Demonstration:
    d = load(path, Demonstration)
    return replace(d, reference=replace(d.reference, name="parametric/c"))


def test_the_command_writes_a_network_that_planned_takes(files, grasp_reference, lift_setup, tmp_path, monkeypatch):
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", lambda function, jobs, workers: here(function, jobs))
    monkeypatch.setattr(
        module,
        "train_feedback",
        lambda files, run, o, *more: train_feedback(files, run, replace(TINY, rounds=o.rounds), *more),
    )
    words = ["train", "generalist", str(tmp_path / "set"), "--feedback", "--rounds", "0", "--out", str(tmp_path / "f")]
    assert main(words) == 0
    card = load(tmp_path / "f.json", PolicyCard)
    assert card.baseline == "planned" and "--feedback --rounds 0" in card.provenance["command"]
    Policy(grasp_reference, OnnxNetwork(tmp_path / "f.onnx"), lift_setup.asset, lift_setup.physics, on_plan=True)
