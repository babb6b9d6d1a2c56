"""`dexhot train object-encoder`, and a tracker that observes its features, to the policy's file."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dexhot.cli import main  # noqa: E402
from dexhot.control.observation import LAYOUTS  # noqa: E402
from dexhot.control.policy import OnnxNetwork, Policy, encoder_file  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.objects.encoder import OBJECT_FEATURE, POINTS, load_encoder, object_cloud  # noqa: E402
from dexhot_train.learners import object_encoder  # noqa: E402
from dexhot_train.learners.object_encoder import (  # noqa: E402
    EncoderOptions,
    chamfer,
    encoder_objects,
    train_encoder,
)
from dexhot_train.learners.ppo import PPOOptions  # noqa: E402
from dexhot_train.learners.tracker import TrackerOptions, evaluate_tracker, export_tracker, train_tracker  # noqa: E402
from dexhot_train.task.clips import task_clip  # noqa: E402
from dexhot_train.task.starts import StartOptions  # noqa: E402
from dexhot_train.task.tracking import TaskOptions, TrackingTask  # noqa: E402

TINY = EncoderOptions(steps=12, batch=4, widths=(8, 16))
TASK = TaskOptions(layout=tuple(LAYOUTS["encoded"]), worlds=2, references=2, starts=StartOptions(plans=2))
LEARNER = PPOOptions(steps=4, hidden=(8,), epochs=1, minibatches=2)
TRACKER = TrackerOptions(worlds=3, steps=24, save_every=2, task=TASK, ppo=LEARNER)


@pytest.fixture(scope="module")
def objects():
    return encoder_objects(["parametric"])[::6]


@pytest.fixture
def file(objects, tmp_path):
    return train_encoder(objects, TINY).save(tmp_path / "encoder.npz")


def test_the_chamfer_distance_of_clouds():
    a = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0]]])
    assert chamfer(a, a).item() == 0.0
    assert chamfer(a, torch.tensor([[[0.0, 0, 0]]])).item() == pytest.approx(0.25)  # (0 + 1) / 2 and 0, averaged


class OffByTenths:
    """A model that is off by 0.1, and of the third object by 0.3; a feature is a cloud's middle."""

    def __call__(self, clouds):
        return clouds + torch.tensor([0.1, 0.1, 0.3])[:, None, None] * torch.tensor([1.0, 0.0, 0.0])

    def encode(self, clouds):
        return clouds.mean(dim=1)

    def decoder(self, feature):
        return feature.repeat(1, POINTS)


def test_scores_are_in_mm_of_the_objects_trained_on_of_those_held_out_and_of_the_mean_of_the_former():
    clouds = np.repeat([[[0.0, 0, 0]], [[2.0, 0, 0]], [[5.0, 0, 0]]], object_encoder.DENSE, axis=1)  # of 10/m
    found = object_encoder._scores(OffByTenths(), clouds, np.array([False, False, True]))
    assert found == pytest.approx({"trained_on": 10.0, "held_out": 30.0, "held_out_by_the_mean": 400.0}, rel=1e-4)


def test_what_is_held_out_is_not_trained_on_and_each_step_stretches_the_axes_anew(objects, monkeypatch):
    left, seen = iter(range(5)), []

    def cloud(asset, count):
        return np.full((count, 3), np.nan if next(left) == object_encoder.HELD_OUT - 1 else 0.1)

    class Watched(object_encoder.AutoEncoder):
        def forward(self, cloud):
            seen.append(cloud.detach().numpy())
            return super().forward(cloud)

    monkeypatch.setattr(object_encoder, "object_cloud", cloud)
    monkeypatch.setattr(object_encoder, "AutoEncoder", Watched)
    encoder = train_encoder((objects * 5)[:5], TINY)
    clouds = np.concatenate(seen[: TINY.steps])
    assert np.isfinite(clouds).all() and np.isfinite(encoder.last[0]).all()
    assert np.ptp(clouds, axis=1).max() == 0.0  # one factor per cloud and axis
    low, high = object_encoder.STRETCH
    assert low <= clouds.min() < low + 0.1 and high - 0.1 < clouds.max() <= high
    assert np.ptp(clouds[:, 0], axis=1).min() > 0.0


def test_training_lowers_the_distance_on_objects_that_were_held_out(objects):
    before = train_encoder(objects, replace(TINY, steps=1)).provenance["chamfer_mm"]
    after = train_encoder(objects, replace(TINY, steps=150, learning_rate=3e-3)).provenance["chamfer_mm"]
    assert after["held_out"] < 0.6 * before["held_out"] and after["trained_on"] < 0.6 * before["trained_on"]


def test_the_file_computes_what_was_trained_and_names_what_it_was_trained_on(objects):
    first, again = (train_encoder(objects, TINY, "dexhot train object-encoder") for _ in range(2))
    np.testing.assert_array_equal(first.last[0], again.last[0])
    assert set(first.trained_on) | set(first.provenance["held_out"]) == {asset.name for asset in objects}
    assert not set(first.trained_on) & set(first.provenance["held_out"]) and first.terms == ""
    model = object_encoder.AutoEncoder(TINY.widths)
    with torch.no_grad():
        for layer, (weight, bias) in zip((*model.points, model.last), (*first.points, first.last)):
            layer.weight.copy_(torch.as_tensor(weight.T))
            layer.bias.copy_(torch.as_tensor(bias))
        cloud = object_cloud(objects[0])
        expected = model.encode(torch.as_tensor(10.0 * cloud[None], dtype=torch.float32))[0].numpy()
    np.testing.assert_allclose(first.of_points(cloud), expected, atol=1e-5)


def test_grabs_objects_are_those_of_the_train_split_and_carry_its_terms(monkeypatch, objects):
    asked = {}
    monkeypatch.setattr(object_encoder, "splits", lambda name: {"train": ["a", "b"], "test_unseen_object": ["c"]})

    def load_clip(name):
        asked[name] = True
        return replace_name(name)

    class replace_name:  # a clip that names its object
        def __init__(self, name):
            self.object_name = f"grab/{name[-1]}"

    monkeypatch.setattr(object_encoder, "load_clip", load_clip)
    monkeypatch.setattr(object_encoder, "load_object", lambda name: replace(objects[0], name=name))
    found = encoder_objects(["grab", "parametric"])
    assert list(asked) == ["grab/a", "grab/b"] and [a.name for a in found[:2]] == ["grab/a", "grab/b"]
    assert "GRAB" in train_encoder(found[:5], TINY).terms
    with pytest.raises(DexhotError, match="5 objects or more"):
        encoder_objects(["grab"])
    with pytest.raises(DexhotError, match="there are grab and parametric"):
        encoder_objects(["shapenet"])


def test_a_tracker_observes_the_feature_and_its_policy_brings_the_encoder(
    file, lift_reference, lift_setup, tmp_path, cache
):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    clip, folder = task_clip(lift_reference, lift_setup), tmp_path / "run"
    learner, _ = train_tracker([clip], TRACKER, folder, encoder=file)
    feature = load_encoder(file).of(lift_setup.asset)
    np.testing.assert_allclose(learner.task.reset().policy[0, -OBJECT_FEATURE:], feature, rtol=1e-5, atol=1e-6)
    assert "tracked" in evaluate_tracker(learner.actor, [clip], TASK, 1, encoder=file)
    network = OnnxNetwork(export_tracker(learner.actor, [clip], TRACKER, folder, "", {}, file))
    policy = Policy(lift_reference, network, lift_setup.asset, lift_setup.physics)
    np.testing.assert_allclose(policy.observer.planned[0, -OBJECT_FEATURE:], feature, rtol=1e-5, atol=1e-6)
    with pytest.raises(DexhotError, match="other settings"):
        train_tracker(
            [clip], TRACKER, folder, encoder=train_encoder([lift_setup.asset] * 5, TINY).save(tmp_path / "o.npz")
        )
    shutil.copyfile(tmp_path / "o.npz", encoder_file(network.path))
    with pytest.raises(FileFormatError, match="not the object encoder of"):
        OnnxNetwork(network.path)
    encoder_file(network.path).unlink()
    with pytest.raises(FileFormatError, match="does not exist"):
        OnnxNetwork(network.path)


def test_a_layout_with_the_feature_needs_the_encoder(lift_reference, lift_setup, capsys, cache):
    with pytest.raises(DexhotError, match="needs an object encoder"):
        TrackingTask([task_clip(lift_reference, lift_setup)], 1, TASK)
    assert main(["train", "tracker", "parametric/reach-box-0", "--layout", "encoded"]) == 1
    assert "belong together" in capsys.readouterr().err


def test_the_command(monkeypatch, objects, tmp_path, capsys, cache):
    monkeypatch.setattr(object_encoder, "encoder_objects", lambda data, seed: objects)
    out = tmp_path / "deep" / "e"
    assert main(["train", "object-encoder", "parametric", "--steps", "3", "--out", str(out), "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"trained_on", "held_out", "held_out_by_the_mean"} <= set(told) and told["file"] == f"{out}.npz"
    made = load_encoder(out.with_suffix(".npz")).provenance
    assert made["command"] == "dexhot train object-encoder parametric --steps 3"
    (tmp_path / "mine.npz").write_bytes(b"PK")
    assert main(["train", "object-encoder", "--steps", "3", "--out", str(tmp_path / "mine.npz")]) == 1
    assert "not an object encoder" in capsys.readouterr().err
