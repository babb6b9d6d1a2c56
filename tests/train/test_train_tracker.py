"""`dexhot train tracker`: a folder that resumes to the same curve, its configuration, its evaluation."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dexhot.cli import main  # noqa: E402
from dexhot.control.policy import OnnxNetwork  # noqa: E402
from dexhot.data.files import load  # noqa: E402
from dexhot.data.types import PolicyCard  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot_train.learners import folder  # noqa: E402
from dexhot_train.learners import saving as saving_module  # noqa: E402
from dexhot_train.learners import tracker as tracker_module  # noqa: E402
from dexhot_train.learners.folder import CHECKPOINT, CONFIG, CURVE  # noqa: E402
from dexhot_train.learners.ppo import PPOOptions  # noqa: E402
from dexhot_train.learners.saving import Saving, TrainingStopped  # noqa: E402
from dexhot_train.learners.tracker import TrackerOptions, evaluate_tracker, export_tracker, train_tracker  # noqa: E402
from dexhot_train.task.clips import TaskClip, load_task_clip, task_clip  # noqa: E402
from dexhot_train.task.randomisation import NOTHING  # noqa: E402
from dexhot_train.task.starts import StartOptions  # noqa: E402
from dexhot_train.task.tracking import TaskOptions  # noqa: E402

pytestmark = pytest.mark.usefixtures("retargeted_once")

TASK = TaskOptions(worlds=2, references=2, starts=StartOptions(plans=2))
LEARNER = PPOOptions(steps=4, hidden=(8,), epochs=1, minibatches=2)
TINY = TrackerOptions(worlds=3, steps=48, save_every=2, task=TASK, ppo=LEARNER)  # 4 iterations


@pytest.fixture
def clip(grasp_reference, lift_setup) -> TaskClip:
    return task_clip(grasp_reference, lift_setup)


class KilledError(Exception):
    pass


def test_a_killed_training_resumes_to_the_same_curve(clip, tmp_path):
    train_tracker([clip], TINY, tmp_path / "whole")

    def kill(done, total, line):
        if done == 3:  # one iteration after the checkpoint
            raise KilledError

    with pytest.raises(KilledError):
        train_tracker([clip], TINY, tmp_path / "killed", progress=kill)
    assert len((tmp_path / "killed" / CURVE).read_text().splitlines()) == 3
    _, told = train_tracker([clip], TINY, tmp_path / "killed")
    assert told["resumed_at_iteration"] == 2 and told["steps"] == 48
    assert (tmp_path / "killed" / CURVE).read_text() == (tmp_path / "whole" / CURVE).read_text()
    kept = [np.load(tmp_path / name / CHECKPOINT) for name in ("whole", "killed")]
    for name in kept[0].files:
        np.testing.assert_array_equal(kept[0][name], kept[1][name])


@pytest.fixture
def heard():
    """Ctrl-C as a terminal sends it, also where the tests run in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_iteration_and_keeps_it(clip, tmp_path, heard):
    train_tracker([clip], TINY, tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)

    def ctrl_c(done, total, line):
        if done == 3:  # one iteration after the checkpoint
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(TrainingStopped, match=r"stopped after 3 of 4 iterations, which are kept in .*checkpoint\.npz"):
        train_tracker([clip], TINY, tmp_path / "stopped", progress=ctrl_c)
    assert signal.getsignal(signal.SIGINT) == before
    _, told = train_tracker([clip], TINY, tmp_path / "stopped")
    assert told["resumed_at_iteration"] == 3
    assert (tmp_path / "stopped" / CURVE).read_text() == (tmp_path / "whole" / CURVE).read_text()


def test_a_second_ctrl_c_does_not_wait_and_slow_iterations_are_saved_by_time(tmp_path, heard):
    with pytest.raises(KeyboardInterrupt), Saving(tmp_path / CHECKPOINT, lambda: {"a": 1}):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    saving = Saving(tmp_path / CHECKPOINT, lambda: {"a": 1}, every=20)
    saving.after(1, 100)
    assert not (tmp_path / CHECKPOINT).exists()
    saving.saved -= saving_module.SECONDS
    saving.after(2, 100)
    assert (tmp_path / CHECKPOINT).is_file()


def test_the_command_says_how_to_go_on(tmp_path, cache, monkeypatch, capsys, heard):
    def interrupted(rows, folder, done):
        for row in rows:
            signal.raise_signal(signal.SIGINT)
            yield row

    monkeypatch.setattr("dexhot_train.learners.training.recorded", interrupted)
    words = ["train", "tracker", "parametric/reach-box-0", "--worlds", "2", "--steps", "96", "--workers", "1"]
    assert main([*words, "--out", str(tmp_path / "my run")]) == 130
    told = capsys.readouterr().err
    assert "stopped after 1 of 2 iterations" in told
    assert f"Go on with: dexhot {' '.join(words)} --out '{tmp_path / 'my run'}'" in told


def test_a_finished_training_goes_on_with_more_steps(clip, tmp_path):
    train_tracker([clip], TINY, tmp_path)
    _, told = train_tracker([clip], replace(TINY, steps=60), tmp_path)
    assert told["resumed_at_iteration"] == 4 and told["steps"] == 60
    _, told = train_tracker([clip], replace(TINY, steps=60), tmp_path)
    assert told["resumed_at_iteration"] == 5 and told["steps_per_s"] is None


def test_other_settings_are_refused_by_name(clip, tmp_path):
    train_tracker([clip], replace(TINY, steps=12), tmp_path)
    with pytest.raises(DexhotError, match=r"options\.ppo\.gamma"):
        train_tracker([clip], replace(TINY, ppo=replace(LEARNER, gamma=0.5)), tmp_path)
    with pytest.raises(DexhotError, match="clips"):
        train_tracker([clip, clip], TINY, tmp_path)


def test_the_configuration_stands_beside_the_checkpoint(clip, tmp_path):
    train_tracker([clip], replace(TINY, steps=12), tmp_path, "dexhot train tracker")
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["command"] == "dexhot train tracker" and "mujoco" in config["versions"]
    assert config["settings"]["clips"] == [clip.name] and config["settings"]["servo"] == "leap"
    assert config["settings"]["options"]["task"]["randomisation"]["worlds"] == "worlds_v2"


def test_damaged_files_are_refused(clip, tmp_path):
    train_tracker([clip], replace(TINY, steps=12), tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"PK")
    with pytest.raises(FileFormatError, match="damaged"):
        train_tracker([clip], TINY, tmp_path)
    (tmp_path / CONFIG).write_text("{")
    with pytest.raises(FileFormatError, match="damaged"):
        train_tracker([clip], TINY, tmp_path)


def test_it_trains_without_tensorboard(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "find_spec", lambda name: None)
    train_tracker([clip], replace(TINY, steps=12), tmp_path)
    assert not (tmp_path / "tensorboard").exists() and (tmp_path / CURVE).is_file()


def test_figures_reach_tensorboard(clip, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_tracker([clip], TINY, tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("policy_loss")] == [12, 24, 36, 48]


def test_the_evaluation_tells_good_from_bad(clip):
    """The lift's replay succeeds in its nominal world; a policy that opens the hand does not."""
    quiet = replace(TASK, randomisation=NOTHING, references=1)
    replayed = evaluate_tracker(None, [clip], quiet, trials=1)
    assert replayed["tracked"] == 1.0 and replayed["T_err_cm"] < 1.0 and replayed["clips"] == {clip.name: 1.0}

    def opening(observation):
        return torch.tensor([[0.0] * 6 + [-1.0] * 16]).repeat(len(observation), 1)

    assert evaluate_tracker(opening, [clip], quiet, trials=1)["tracked"] == 0.0


def test_the_evaluation_visits_every_world_once(clip, monkeypatch):
    made = []
    inner = tracker_module.TrackingTask

    def recorded(*a, **k):
        made.append(inner(*a, **k))
        return made[-1]

    monkeypatch.setattr(tracker_module, "TrackingTask", recorded)
    evaluate_tracker(None, [clip, clip], TASK, trials=3)
    (task,) = made
    assert sorted(zip(task.clip, task.world)) == [(k, w) for k in range(2) for w in range(3)]
    assert (task.kind == 0).all()


def test_the_command(tmp_path, cache, capsys):
    out = tmp_path / "run"
    words = ["train", "tracker", "parametric/reach-box-0", "--worlds", "2", "--steps", "48", "--workers", "1"]
    words += ["--trials", "1", "--imitation", "0", "--out", str(out), "--json"]
    assert main(words) in (0, None)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["steps"] == 48 and {"tracked", "replay_tracked", "T_err_cm"} <= set(told)
    card = load(out / "policy.json", PolicyCard)
    assert card.scores["worlds_per_clip"] == 1 and not card.terms and card.training_data == ["parametric/reach-box-0"]
    command = json.loads((out / CONFIG).read_text())["command"]
    assert command.startswith("dexhot train tracker parametric/reach-box-0 --steps 48 --worlds 2 --imitation 0")


def test_no_clip_and_an_empty_split_are_one_clear_error(tmp_path, monkeypatch, capsys, cache):
    out = ["--out", str(tmp_path / "run")]
    monkeypatch.setattr("dexhot_train.curriculum.variations.splits", lambda dataset: {"test": ["a"]})
    for words, said in (
        (["train", "tracker", "grab", *out], "the split 'train' has no clips"),
        (["train", "baseline"], "the split 'train' has no clips"),
        (["train", "demonstrations", "grab", *out], "the split 'train' has no clips"),
        (["train", "tracker", *out], "there is no clip to train on"),
    ):
        assert main(words) == 1
        assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_the_command_trains_on_no_test_clip(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dexhot_train.curriculum.variations.splits", lambda dataset: {"test": ["reach-box-0"]})
    assert main(["train", "tracker", "parametric/reach-box-0", "--out", str(tmp_path / "run")]) == 1
    assert "nothing may be trained on it" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("action", ["residual", "cumulative"])
def test_the_exported_policy_acts_as_the_trained_one(action, clip, tmp_path):
    """The same residuals from the ONNX file as from the task's own action space, step after step."""
    pytest.importorskip("onnxruntime")
    options = replace(TINY, task=replace(TASK, action=action, action_factor=0.7), ppo=replace(LEARNER, gain=0.5))
    learner, _ = train_tracker([clip], options, tmp_path)
    path = export_tracker(learner.actor, [clip], options, tmp_path, "", {})
    network, task = OnnxNetwork(path), learner.task
    observations = task.reset()
    for _ in range(5):
        proposed = network(observations.policy, task.residual)
        with torch.no_grad():
            action = learner.actor(torch.as_tensor(observations.policy)).double().numpy()
        np.testing.assert_allclose(proposed, task.space.residual(action, task.residual), atol=1e-5)
        observations = task.step(action).observations
    assert network.card.baseline == "object_relative" and network.card.residual_limit[0] == pytest.approx(0.7 * 0.04)


def test_a_demonstrations_file_is_imitated(tmp_path):
    from dexhot.paths import share_dir

    clip = load_task_clip(str(share_dir() / "policies" / "lift_box.npz"))
    assert clip.demonstration is not None and clip.setup.physics.profile(clip.setup.hand) == clip.demonstration.servo
    with pytest.raises(FileFormatError):
        load_task_clip(str(tmp_path / "missing.npz"))
