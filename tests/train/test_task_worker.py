"""A simulator in a second process: the same states as here, errors as sentences, an end that is noticed."""

import ast
import io
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot_train.task import wire
from dexhot_train.task.clips import load_task_clip
from dexhot_train.task.starts import StartOptions
from dexhot_train.task.tracking import TaskOptions, TrackingTask
from dexhot_train.task.worker import WorkerSimulator

COMMAND = [sys.executable, "-m", "dexhot_train.task.mujoco_worker"]
OPTIONS = TaskOptions(worlds=3, references=1, starts=StartOptions(1.0, 0.5, 0.0, 0.0, plans=1), longest=5)


@pytest.fixture(scope="module")
def clip():
    return load_task_clip(str(share_dir() / "policies" / "lift_box.npz"))


def test_messages_arrive_as_they_were_sent():
    stream = io.BytesIO()
    arrays = {"a": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 7)), "flag": np.array([True, False])}
    wire.send(stream, "step", {"x": 1}, arrays)
    wire.send(stream, "close")
    stream.seek(0)
    operation, values, found = wire.receive(stream)
    assert operation == "step" and values == {"x": 1}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert wire.receive(stream)[0] == "close"
    with pytest.raises(EOFError):
        wire.receive(stream)


def test_the_wire_is_python_3_8_without_dexhot():
    source = Path(wire.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported == {"__future__", "json", "struct", "typing", "numpy"}


def test_a_second_process_gives_the_same_states(clip):
    """Through resets, physics that differ, a snapshot and its restoration: bit for bit."""
    here = TrackingTask([clip], 4, OPTIONS)
    worker = WorkerSimulator(COMMAND, [clip], 4, here.worlds)
    there = TrackingTask([clip], 4, OPTIONS, simulator=worker)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (12, 4, here.action_size))
    for task in (here, there):
        task.reset()
    for k in range(7):
        a, b = (task.step(actions[k]) for task in (here, there))
        np.testing.assert_array_equal(a.observations.critic, b.observations.critic)
        np.testing.assert_array_equal(a.reward, b.reward)
    kept = there.snapshot()
    after = [there.step(u).observations.critic for u in actions[7:]]
    there.restore(kept)
    np.testing.assert_array_equal([there.step(u).observations.critic for u in actions[7:]], after)
    for f in fields(worker.reading()):
        assert getattr(worker.reading(), f.name).shape == getattr(here.simulator.reading(), f.name).shape
    worker.close()
    assert worker.process.returncode == 0


def test_a_workers_error_and_its_death_are_told(clip):
    worker = WorkerSimulator(COMMAND, [clip], 2, [[None]])
    with pytest.raises(DexhotError, match=r"failed during step: .*"):
        worker.step(np.zeros((2, 4, 5)))
    assert worker.reading().q.shape == (2, 22)  # it lives on
    worker.process.kill()
    with pytest.raises(DexhotError, match=r"ended with code -9 during step.*checkpoint"):
        worker.step(np.zeros((2, 4, 22)))


def test_what_cannot_be_opened_is_refused(clip, monkeypatch):
    with pytest.raises(DexhotError, match="does not start"):
        WorkerSimulator(["/no/such/interpreter"], [clip], 1, [[None]])
    monkeypatch.setattr(wire, "VERSION", 0)
    with pytest.raises(DexhotError, match="version 2 of the protocol, not 0"):
        WorkerSimulator(COMMAND, [clip], 1, [[None]])
    monkeypatch.undo()
    other = replace(clip, reference=replace(clip.reference, object_name="parametric/nothing"))
    with pytest.raises(DexhotError, match="during open"):
        WorkerSimulator(COMMAND, [other], 1, [[None]])
