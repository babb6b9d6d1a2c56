"""The homotopy path generator: task vectors, changes made real, training that resumes, and parents drawn for a task."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dexhot.cli import main  # noqa: E402
from dexhot.data.files import save  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.geometry.poses import lowest  # noqa: E402
from dexhot.objects.library import load_object, save_object  # noqa: E402
from dexhot_train.curriculum import path_search  # noqa: E402
from dexhot_train.curriculum.generator import (  # noqa: E402
    MASS,
    GeneratorOptions,
    changed,
    load_generator,
    task_vector,
    train_generator,
)
from dexhot_train.curriculum.homotopy import HomotopyOptions, TaskResult, synthesised_parents  # noqa: E402
from dexhot_train.curriculum.ledger import Ledger  # noqa: E402
from dexhot_train.curriculum.task_data import pair_vectors, task_vectors  # noqa: E402
from dexhot_train.curriculum.tasks import HomotopyTask, easier  # noqa: E402
from dexhot_train.learners.folder import CHECKPOINT, CURVE  # noqa: E402

TINY = GeneratorOptions(latents=4, hidden=(32,), noise_steps=10, pretraining=20, tuning=40, batch=16, save_every=20)


@pytest.fixture
def task(lift_reference, lift_setup) -> HomotopyTask:
    return HomotopyTask(lift_reference, lift_setup)


@pytest.fixture
def data(task):
    """Vectors of a few tasks, and pairs whose parent is lighter and lower."""
    eases = np.linspace(0.0, 0.5, 5)
    tasks = [easier(task, ease, ("lift", "mass")) for ease in eases]
    parents = [easier(t, 0.5, ("lift", "mass")) for t in tasks]
    vectors = np.stack([task_vector(t) for t in tasks])
    return vectors, np.stack([vectors, np.stack([task_vector(p) for p in parents])], axis=1)


def test_a_vector_says_how_a_task_is_easier(task):
    own = task_vector(task)
    assert np.isfinite(own).all() and len(own) == 8 * (3 + 3 + 3 + 6 + 16) + 3 + 1 + 3
    easy = task_vector(easier(task, 1.0))
    assert easy[-4] - own[-4] == pytest.approx(np.log(0.4))
    np.testing.assert_allclose(easy[-3:-1] - own[-3:-1], np.log(1.6), atol=0.1)  # this clip ends with its motion
    assert easy[-5] - own[-5] == pytest.approx(np.log(1.3))
    moved = replace(task.reference, object_pose=task.reference.object_pose + np.r_[0.2, [0.0] * 6])
    moved.q[:, 0] += 0.2
    np.testing.assert_allclose(task_vector(replace(task, reference=moved))[:48], own[:48], atol=1e-9)


def test_no_change_is_the_task_itself(task):
    same = changed(task, np.zeros(len(task_vector(task))))
    np.testing.assert_allclose(same.reference.q, task.reference.q, atol=1e-6)
    np.testing.assert_allclose(same.reference.object_pose, task.reference.object_pose, atol=1e-9)
    assert same.setup.asset.mass == pytest.approx(task.setup.asset.mass)


def test_a_change_towards_an_easier_task_makes_it(task):
    easy = easier(task, 0.6)
    made = changed(task, task_vector(easy) - task_vector(task))
    assert made.setup.asset.mass == pytest.approx(easy.setup.asset.mass, rel=1e-2)
    assert len(made.reference.q) == pytest.approx(len(easy.reference.q), rel=0.05)
    rises = [np.ptp(t.reference.object_pose[:, 2]) for t in (made, easy, task)]
    assert rises[0] == pytest.approx(rises[1], abs=0.01) and rises[0] < 0.8 * rises[2]
    held = made.reference.grasp_end - 2
    gap = made.reference.q[held, :3] - made.reference.object_pose[held, :3]
    own = (
        task.reference.q[task.reference.grasp_end - 2, :3]
        - task.reference.object_pose[task.reference.grasp_end - 2, :3]
    )
    np.testing.assert_allclose(gap, own, atol=0.02)
    made.reference.validate()
    assert load_object(made.reference.object_name).mass == pytest.approx(made.setup.asset.mass)


def test_a_wild_change_stays_within_limits(task):
    change = np.full(len(task_vector(task)), -5.0)
    made = changed(task, change)
    made.reference.validate()
    assert made.setup.asset.mass == pytest.approx(MASS[0] * task.setup.asset.mass, rel=1e-2)
    lowest_points = lowest(made.reference.object_pose, made.setup.asset.corners)
    assert lowest_points.min() == pytest.approx(task.reference.table_height, abs=1e-6)
    assert (made.reference.q[:, 6:] >= task.setup.hand.lower - 0.1).all()


class KilledError(Exception):
    pass


def test_a_killed_training_resumes_to_the_same_generator(data, tmp_path):
    whole = train_generator(*data, TINY, tmp_path / "whole")

    def kill(done, total, line):
        raise KilledError

    for folder in ("killed", "killed"):
        with pytest.raises(KilledError):
            train_generator(*data, TINY, tmp_path / folder, progress=kill)
    again = train_generator(*data, TINY, tmp_path / "killed")
    for a, b in zip(whole.net.parameters(), again.net.parameters()):
        assert torch.equal(a, b)
    curves = [(tmp_path / name / CURVE).read_text() for name in ("whole", "killed")]
    assert curves[0] == curves[1] and len(curves[0].splitlines()) == 3


def test_tuned_on_easier_parents_it_draws_easier_ones(data, task, tmp_path):
    options = replace(TINY, hidden=(64,), tuning=400, save_every=200)
    train_generator(*data, options, tmp_path)
    model = load_generator(tmp_path / "generator.npz")
    parents = model.parents(task, 4, seed=1)
    lighter = [p.setup.asset.mass / task.setup.asset.mass for p in parents]
    assert 0.5 < np.mean(lighter) < 0.9  # 0.7 in the pairs
    rises = [np.ptp(p.reference.object_pose[:, 2]) for p in parents]
    assert np.mean(rises) < 0.9 * np.ptp(task.reference.object_pose[:, 2])
    drawn = [model.draw(model.encode(task_vector(task))[0], 2, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    path = model.path(task, 3)
    masses = [p.setup.asset.mass for p in path]
    assert len(path) == 3 and masses == sorted(masses), "the easiest first"


def test_without_pairs_or_with_bad_values_there_is_no_generator(data, tmp_path):
    tasks, pairs = data
    with pytest.raises(DexhotError, match="search paths first"):
        train_generator(tasks, pairs[:0], TINY, tmp_path)
    with pytest.raises(DexhotError, match="not finite"):
        train_generator(tasks * np.nan, pairs, TINY, tmp_path)
    train_generator(tasks, pairs, TINY, tmp_path)
    with pytest.raises(DexhotError, match="other settings"):
        train_generator(tasks[:3], pairs, TINY, tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"PK half a file")
    with pytest.raises(FileFormatError, match="damaged"):
        train_generator(tasks, pairs, TINY, tmp_path)


def test_another_checkpoint_is_no_generator(data, tmp_path):
    train_generator(*data, TINY, tmp_path)
    with pytest.raises(FileFormatError, match="not a homotopy path generator"):
        load_generator(tmp_path / CHECKPOINT)


@pytest.fixture
def paths(cache, tmp_path, lift_reference, lift_object, monkeypatch):
    """A folder of effective synthesised paths of two clips."""
    save_object(lift_object)
    clips = [str(save(replace(lift_reference, name=f"c{k}"), tmp_path / f"c{k}.reference.npz")) for k in range(2)]
    zeros = np.zeros_like(lift_reference.q)
    monkeypatch.setattr(path_search, "optimise", lambda *a: TaskResult(zeros, 0.9, False, 10))
    monkeypatch.setattr(path_search, "along", lambda *a: TaskResult(zeros, 0.1, False, 10, ("easy",)))
    path_search.search_paths(clips, "synthesised", HomotopyOptions(), tmp_path / "paths", workers=1)
    return tmp_path / "paths", clips


def test_the_command_trains_a_generator_whose_paths_are_searched(paths, tmp_path, capsys, monkeypatch):
    folder, clips = paths
    out = tmp_path / "generator"
    assert (
        main(["train", "generator", str(folder), "--out", str(out), "--pretraining", "4", "--tuning", "4", "--json"])
        == 0
    )
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["pairs"] == 6 and told["tasks"] == 8
    seen = []

    def along(parents, task, options):
        seen.append([p.reference.name for p in parents])
        return TaskResult(np.zeros_like(task.reference.q), 0.1, False, 10, ("x",))

    monkeypatch.setattr(path_search, "along", along)
    arguments = ["--criterion", "generated", "--out", str(tmp_path / "g"), "--workers", "1"]
    assert main(["train", "homotopy", clips[0], *arguments]) == 1
    assert "generator belongs to" in " ".join(capsys.readouterr().err.split())
    assert main(["train", "homotopy", clips[0], *arguments, "--generator", told["generator"]]) == 0
    assert seen == [["c0, parent 3", "c0, parent 2", "c0, parent 1"]]
    assert Ledger(tmp_path / "g").rows[0]["kind"] == "generated"


def test_pairs_need_a_folder_of_paths(paths, tmp_path):
    assert pair_vectors([paths[0]]).shape[:2] == (6, 2) and len(task_vectors([paths[0]])) == 8
    with pytest.raises(FileFormatError, match="train homotopy"):
        pair_vectors([tmp_path / "absent"])


def test_no_task_of_a_test_split_is_learnt_from(paths, monkeypatch):
    monkeypatch.setattr("dexhot_train.curriculum.variations.splits", lambda dataset: {"test": [""]})
    with pytest.raises(DexhotError, match="nothing may be trained"):
        task_vectors([paths[0]])


def test_a_path_has_the_pairs_of_its_tasks(task):
    parents = synthesised_parents(task, HomotopyOptions())
    rises = [np.ptp(p.reference.object_pose[:, 2]) for p in parents]
    assert rises == sorted(rises) and len(set(rises)) == 3
