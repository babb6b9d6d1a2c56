"""What is wrong is named by its cause, and a near name is proposed."""

import dataclasses
import importlib
import io
import pickle
import re
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import tyro

from dexhot.bringup.graph import GraphError, read_parameters, resolve
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.graphs.watch import CAMERAS
from dexhot.cli import COMMANDS, datasets_command, empty_argument, evaluate_command, main, perceive_command
from dexhot.cli.arguments import at_least, gathered, plural, policy_out
from dexhot.cli.mine_command import out_path
from dexhot.data.files import file_of, save
from dexhot.data.types import Demonstration, Reference, Rollout
from dexhot.errors import DexhotError, FileFormatError, MeshError, MissingExtraError, NotFoundError
from dexhot.geometry.meshes import check_arrays
from dexhot.hardware.camera.source import KINDS, RUNNING
from dexhot.objects.library import OF_DATASETS
from dexhot.rollouts.live import live_rollout
from dexhot.ros.core.parameters import load_schema, template


def test_every_error_comes_back_from_a_worker_as_it_is():
    for error in (NotFoundError("clip", "ab", ["abc"]), MissingExtraError("x", "train"), DexhotError("why")):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error) and str(back) == str(error)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_bound_refuses_what_is_no_number_too(value):
    with pytest.raises(DexhotError, match="--palm-length must be 0 or more, not"):
        at_least(0, palm_length=value)


def refused(capsys, *argv: str) -> str:
    assert main(list(argv)) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("kind", [Reference, Rollout])
def test_a_folder_is_no_name_for_a_file(tmp_path, kind):
    with pytest.raises(FileFormatError, match=r"is a folder; name a file in it, e.g. .*NAME\.npz"):
        file_of(tmp_path, kind)


def test_nothing_is_saved_beside_a_folder_of_that_name(tmp_path, lift_reference):
    (tmp_path / "d").mkdir()
    with pytest.raises(FileFormatError, match="is a folder"):
        save(lift_reference, tmp_path / "d")
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("name, proposed", [("x.txt", r"x\.npz"), ("block.fit", r"block\.npz")])
def test_a_file_of_another_suffix_is_refused_everywhere(tmp_path, monkeypatch, lift_reference, name, proposed, capsys):
    monkeypatch.chdir(tmp_path)
    assert file_of("block", Reference).name == "block.npz"
    for write in (
        lambda: file_of(name, Reference),
        lambda: save(lift_reference, name),
        lambda: out_path(save(lift_reference, "r.npz"), Path(name), 1),
        lambda: policy_out(Path(name).with_suffix(".txt"), False),
    ):
        with pytest.raises(FileFormatError, match=r"the file that is written is \.(npz|onnx); name it"):
            write()
    told = refused(capsys, "generate", "lift", "--out", name)
    assert re.search(f"the file that is written is .npz; name it {proposed}", told)
    assert [p.name for p in tmp_path.iterdir()] == ["r.npz"]


def test_an_option_given_again_adds_its_values():
    several = plural(perceive_command.Args)
    assert several >= {"--prompt"} and not several & {"--out", "--recording"}
    assert plural(datasets_command.Args) == set() and "--policies" in plural(evaluate_command.Args)
    words = ["R", "--prompt", "a", "--json", "--prompt=b", "--count", "3", "--prompt", "c", "d"]
    assert gathered(words, several) == ["R", "--prompt", "a", "b", "c", "d", "--json", "--count", "3"]
    args = tyro.cli(perceive_command.Args, args=gathered(words, several), config=(tyro.conf.FlagCreatePairsOff,))
    assert args.prompt == ("a", "b", "c", "d") and args.json and args.count == 3


@pytest.mark.parametrize("folder", ["grab", "dexycb", "parametric"])
def test_an_object_takes_no_name_of_a_dataset(folder, capsys):
    told = refused(capsys, "object", "add", "mesh.obj", "--name", f"{folder}/x")
    assert f"{folder}/x is a name of " in told and "give --name user/x" in told
    assert set(get_args(get_type_hints(datasets_command.Get)["dataset"])) <= set(OF_DATASETS)


@pytest.mark.parametrize("recording", ["dir:films/ok", "films/ok", "films/ok/"])
def test_an_object_from_a_recording_is_named_after_its_folder(recording, monkeypatch, cache):
    named = []

    def made(args, path, name, options):
        named.append(name)
        raise DexhotError("enough")

    monkeypatch.setattr("dexhot.cli.object_command._from_recording", made)
    assert main(["object", "add", "--from", recording]) == 1 and named == ["user/ok"]


def test_mass_and_density_are_not_given_both(capsys):
    assert "keep one" in refused(capsys, "object", "add", "mesh.obj", "--mass", "0.1", "--density", "300")


@pytest.mark.parametrize("graph, cameras", [("watch", CAMERAS), ("capture", KINDS), ("teleop", KINDS)])
def test_every_camera_of_a_graph_is_in_its_help_and_its_error(graph, cameras):
    (camera,) = (argument for argument in load_graph(graph).arguments if argument.name == "camera")
    with pytest.raises(NotFoundError) as told:
        load_graph(graph).prepare(resolve(load_graph(graph), {"camera": "foo"}))
    for name in (*cameras, RUNNING):
        assert name in str(told.value) and (name in camera.description or name == "sim"), name
    assert ("webcam" in str(told.value)) == (cameras is KINDS)


def test_watch_refuses_a_camera_without_depth(tmp_path, monkeypatch):
    monkeypatch.setattr("dexhot.bringup.graphs.watch.camera_source", lambda *a: None)
    with pytest.raises(GraphError, match="camera:=webcam has none: use a depth camera"):
        load_graph("watch").prepare(resolve(load_graph("watch"), {"camera": "webcam"}))


def outs():
    """(command, help) of every option --out."""
    for command in COMMANDS:
        args = importlib.import_module(f"dexhot.cli.{command}_command").Args
        for kind in [args] if dataclasses.is_dataclass(args) else [(get_args(m) or (m,))[0] for m in get_args(args)]:
            if "out" in {f.name for f in dataclasses.fields(kind)}:
                yield command, kind


def test_every_out_says_that_missing_folders_are_created():
    import inspect

    found = {
        command: inspect.getsource(kind).partition("    out:")[2].partition('"""\n')[0] for command, kind in outs()
    }
    assert len(found) >= 8
    assert all("Missing folders are created." in " ".join(text.split()) for text in found.values()), found


@pytest.mark.parametrize(
    "words, told",
    [
        (["synth"], "name at least one clip"),
        (["fit", "notes.txt"], "neither a recording"),
        (["fit", "notes.npz"], "it is not an npz archive"),
        (["fit", "points.npy", "--object", "grab/mug"], "not a recording: it takes no --object"),
        (["fit", "nowhere", "--object", "grab/mug"], "no clip named 'nowhere'"),
        (["train", "prior", "--data", "grab"], "accept them with --accept-licence grab"),
        (["train", "specialist", "lift.npz", "--out", "notes.onnx"], "notes.onnx has no card (notes.json)"),
        (["perceive", "lift.npz"], "is a dexhot/reference file; give a recording"),
        (["perceive", "lift.npz", "--picture", "seen.jpg"], "pictures are PNG files"),
        (["evaluate", "--controller", "planned", "--planning-seconds", "nan"], "--planning-seconds must be positive"),
        (["evaluate", "--controller", "planned", "--planning-rollouts", "-1"], "--planning-rollouts must be 0 or more"),
        (["evaluate", "--controller", "planned", "--planning-rollouts", "3"], "or at least 10, not 3"),
        (["evaluate", "--controller", "replay", "--envs", "-1"], "--trials (--envs) must be 0 or more, not -1"),
        (["evaluate", "--controller", "foo"], "no controller named 'foo'; available: constant, demonstration,"),
        (["evaluate", "--rig", "foo"], "no rig named 'foo'; available: real, sim, sim-wire."),
        (["synth", "parametric/lift-box-0", "--speed", "0"], "--speed must be 0.1 to 1 times the clip's, not 0."),
        (["synth", "parametric/lift-box-0", "--pause", "-1"], "--pause must be 0 to 10 s, not -1."),
        (["retarget", "."], ". is a folder; give a clip"),
        (["retarget", "grab/mug", "--out", "results/"], "results/ is a folder; name a file in it with --out"),
        (["bench", "leap", "--out=results/"], "results/ is a folder; name a file in it with --out"),
        (["hand", "add", "notes.npz"], "notes.npz is not XML; give a URDF or MJCF file."),
        (
            ["evaluate", "--controller", "planned", "--prior", "lift.npz"],
            "lift.npz is not a prior: give its .onnx",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_of_the_wrong_kind_are_named_before_the_work(
    cache, tmp_path, lift_reference, monkeypatch, capsys, words, told
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    save(lift_reference, "lift.npz")
    np.save("points.npy", np.ones((1, 21, 3)))
    for name in ("notes.txt", "notes.npz", "notes.onnx"):
        (tmp_path / name).write_text("notes")
    assert told in refused(capsys, *words)
    assert {p.name for p in tmp_path.glob("*.*")} == {"points.npy", "lift.npz", "notes.txt", "notes.npz", "notes.onnx"}


def test_when_no_clip_can_be_evaluated_the_reason_is_reported(monkeypatch, capsys):
    failing = lambda function, jobs, workers: [(job, DexhotError("no object named 'duck'")) for job in jobs]  # noqa: E731
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", failing)
    assert main(["evaluate", "--controller", "kinematic", "--split", "test"]) == 1
    told = capsys.readouterr().err
    assert "no object named 'duck'" in told and "no clip was evaluated" in told


def test_an_episode_of_a_file_is_refused(tmp_path, lift_reference, capsys):
    r = lift_reference
    path = save(Demonstration("d", r, r.target, r.q, r.object_pose, "1"), tmp_path / "d.npz")
    told = refused(capsys, "report", str(path), "--episode", "1", "--out", str(tmp_path / "report"))
    assert "--episode chooses a clip of a recorded run" in told and not (tmp_path / "report").exists()


def test_without_an_episode_the_first_is_shown():
    import inspect

    assert inspect.signature(live_rollout).parameters["episode"].default == 0


def test_a_folder_is_no_model_of_a_hand(tmp_path, capsys):
    assert f"{tmp_path} is a folder; the model of a hand is" in refused(capsys, "hand", "add", str(tmp_path))


def test_a_vertex_that_is_not_finite_is_named_before_their_number():
    with pytest.raises(MeshError, match="vertex 0 is not finite"):
        check_arrays("sheet", [[float("nan"), 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])


def test_an_existing_file_is_no_name_of_a_clip(tmp_path, capsys):
    (tmp_path / "talk.wav").write_text("hi")
    assert "talk.wav is not a dexhot file" in refused(capsys, "retarget", str(tmp_path / "talk.wav"))


def test_a_parameters_file_is_missing_or_no_mapping(tmp_path):
    with pytest.raises(DexhotError, match=r"lab\.yaml does not exist"):
        read_parameters(str(tmp_path / "lab.yaml"), {}, "")
    with pytest.raises(DexhotError, match="is a folder"):
        read_parameters(str(tmp_path), {}, "")
    (tmp_path / "file.txt").write_text("hello")
    with pytest.raises(DexhotError, match="it holds plain text"):
        read_parameters(str(tmp_path / "file.txt"), {}, "")


def test_an_empty_argument_is_not_the_present_folder(capsys):
    assert "argument 2 is empty" in refused(capsys, "bag", "info", "")
    assert empty_argument(["franka", "check", "10.0.0.1", "--hand", ""]) == 0  # an option may be empty


@pytest.mark.parametrize(
    "graph, given, near",
    [("real_track", {"kontroller": "mpc"}, "controller"), ("real_track", {"rig": "simm"}, "sim")],
)
def test_a_typo_of_an_argument_or_choice_proposes_the_near_one(graph, given, near):
    with pytest.raises(DexhotError, match=rf"Did you mean {near}\?"):
        resolve(load_graph(graph), given)


def test_a_name_that_is_near_nothing_proposes_nothing():
    with pytest.raises(NotFoundError) as e:
        load_graph("dance")
    assert "Did you mean" not in str(e.value)


def test_a_typo_of_a_command_or_option_proposes_the_near_one(capsys):
    assert "Did you mean retarget?" in refused(capsys, "retrget")
    with pytest.raises(SystemExit):
        main(["retarget", "grab/duck_lift", "--pictur", "x.png"])
    assert "--picture" in capsys.readouterr().err


def test_params_prints_a_file_in_which_nothing_is_set(capsys, tmp_path):
    assert main(["params", "controller"]) == 0
    text = capsys.readouterr().out
    assert "    # ramp: 0.5\n" in text and text == template("controller", load_schema("controller"))
    edited = text.replace("# samples: 16", "samples: 32")
    (tmp_path / "lab.yaml").write_text(edited)
    found = read_parameters(str(tmp_path / "lab.yaml"), {"controller": load_schema("controller")}, "")
    assert found == {"controller": {"samples": 32}}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("fit", "nope.npz"), "nope.npz does not exist; a clip's name or a keypoint file"),
        (("capture", "--camera", "dir:nope"), "nope/camera.yaml does not exist"),
        (("perceive", "dir:."), "has no camera.yaml, so it is not a folder of images"),
        (("params", "contoller"), "no node named 'contoller'"),
        (("up", "real_track", "speed:=fast"), "speed must be a number"),
    ],
)
def test_what_is_missing_is_named_in_the_reader_s_words(tmp_path, monkeypatch, capsys, argv, told):
    monkeypatch.chdir(tmp_path)
    text = refused(capsys, *argv)
    assert told in text and "Errno" not in text
