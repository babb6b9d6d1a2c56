"""A run that tracks with a network: its files are checked, copied into the run's folder, and found for a replay."""

import json
import shutil

import pytest

from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.run_folder import Task, load_task
from dexhot.control.time_warp import frames_at, warp_reference
from dexhot.data import files
from dexhot.errors import DexhotError, FileFormatError
from dexhot.objects.library import save_object
from dexhot.retargeting.placement import place
from tiny_policy import write_policy


@pytest.fixture
def paths(tmp_path, lift_reference, lift_setup):
    reference = files.save(lift_reference, tmp_path / "lift")
    return str(reference), write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics)


def test_both_files_are_copied_and_named_to_the_controller(paths, tmp_path):
    reference, network = paths
    task = load_task(reference, str(network.with_suffix(".json")), "policy")
    (tmp_path / "run").mkdir()
    values = task.write(tmp_path / "run")
    assert values["policy"] == str(tmp_path / "run/policy.onnx") and task.sources["policy"] == str(network)
    for suffix in (".onnx", ".json"):
        copy = (tmp_path / "run/policy").with_suffix(suffix)
        assert copy.read_bytes() == network.with_suffix(suffix).read_bytes()
    again = load_task(str(tmp_path / "run/reference.npz"), values["policy"], "policy")  # as a replay does
    assert again.policy == tmp_path / "run/policy.onnx"


def test_a_networks_object_encoder_goes_with_it(lift_reference, tmp_path):
    for suffix in (".onnx", ".json", ".encoder.npz"):
        (tmp_path / "tiny").with_suffix(suffix).write_text(suffix)
    (tmp_path / "run").mkdir()
    Task(lift_reference, None, {}, policy=tmp_path / "tiny.onnx").write(tmp_path / "run")
    assert (tmp_path / "run" / "policy.encoder.npz").read_text() == ".encoder.npz"


def test_without_a_network_or_with_one_of_another_rig_nothing_starts(paths):
    reference, network = paths
    with pytest.raises(DexhotError, match=r"controller:=policy needs a network: give policy:=FILE\.onnx"):
        load_task(reference, "", "policy")
    with pytest.raises(FileFormatError, match="is not a policy"):
        load_task(reference, reference, "policy")
    task = load_task(reference, str(network), "policy")
    with pytest.raises(DexhotError, match="servo profile: leap, not dextrack"):
        task.with_profile("dextrack")


def test_a_specialist_is_compared_in_the_time_in_which_it_is_played(tmp_path, lift_reference, lift_setup):
    placed = place(lift_reference)
    frames = frames_at(placed)
    played = warp_reference(placed, frames)
    fingers = [float(x) for x in played.q[:, 6:].mean(axis=0)]
    whole = {"clip": placed.name, "frames": len(frames), "fingers": fingers}
    network = write_policy(tmp_path / "tiny", placed, lift_setup.physics, **whole)
    task = load_task(str(files.save(placed, tmp_path / "lift")), str(network), "policy")
    assert len(task.at_speed(1.0).reference.q) == len(frames)
    with pytest.raises(DexhotError, match=f"frames: {len(frames)}, not "):
        task.at_speed(0.5)


def test_the_run_has_the_shaper_of_the_training(cache, tmp_path, lift_reference, lift_setup, monkeypatch):
    """Its lead in run.json and at the node; another one is refused before there is a run's folder."""
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    placed = place(lift_reference)
    save_object(lift_setup.asset)
    network = write_policy(tmp_path / "tiny", placed, lift_setup.physics, shaper_lead=0.7)
    given = {"reference": str(files.save(placed, tmp_path / "lift")), "controller": "policy", "policy": str(network)}
    made = plan(load_graph("real_track"), given, {})
    assert made.parameters["shaper"]["lead"] == 0.7
    assert made.parameters["shaper"]["policy"] == str(made.folder / "policy.onnx")
    assert json.loads((made.folder / "run.json").read_text())["arguments"]["lead"] == 0.7
    shutil.rmtree(tmp_path / "runs")
    for more, why in (({"lead": "1.0"}, "lead: 0.7, not 1"), ({"shaper_feedback": "measured"}, "none, not measured")):
        with pytest.raises(DexhotError, match=why):
            plan(load_graph("real_track"), given | more, {})
    assert not (tmp_path / "runs").exists()


def test_feedback_is_checked_and_copied_for_planned_alone(paths, tmp_path, lift_reference, lift_setup):
    reference, network = paths
    feedback = write_policy(tmp_path / "feedback", lift_reference, lift_setup.physics, baseline="planned")
    task = load_task(reference, "", "planned", str(feedback))
    (tmp_path / "run").mkdir()
    values = task.write(tmp_path / "run")
    assert values["feedback"] == str(tmp_path / "run/feedback.onnx") and values["policy"] == ""
    assert (tmp_path / "run/feedback.json").is_file() and task.sources["feedback"] == str(feedback)
    assert load_task(reference, "", "planned", values["feedback"]).feedback == tmp_path / "run/feedback.onnx"
    with pytest.raises(DexhotError, match="feedback:=FILE is for controller:=planned, not playback"):
        load_task(reference, "", "playback", str(feedback))
    with pytest.raises(DexhotError, match="baseline: object_relative, not planned"):
        load_task(reference, "", "planned", str(network))
    with pytest.raises(DexhotError, match="servo profile: leap, not dextrack"):
        task.with_profile("dextrack")
