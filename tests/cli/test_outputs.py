"""Where results go: looked at before the work, replaced only where they are ours, named without absolute paths."""

import errno
import json
import os
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.bringup.launcher import require_ros
from dexhot.cli import main, output
from dexhot.data.disk import check_folder
from dexhot.data.files import check_out, kind_of, load, replacing, save
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError, FileFormatError, NotFoundError, import_error, os_error
from dexhot.objects.library import load_object, save_object
from dexhot.paths import share_dir
from dexhot.report.folder import check_report_folder
from dexhot.robots.robot_hand import load_hand
from dexhot.scratch import MARK, make_scratch, remove_scratch


@pytest.fixture
def reference_file(lift_reference, tmp_path):
    return save(lift_reference, tmp_path / "lift.reference.npz")


# The place of an output


def test_ours_of_the_same_kind_is_replaced_and_nothing_else(reference_file, tmp_path):
    assert check_out(reference_file, "dexhot/reference") == reference_file
    with pytest.raises(DexhotError, match=r"is a dexhot/reference file, and is not replaced by a dexhot/demonstration"):
        check_out(reference_file, "dexhot/demonstration")
    notes = tmp_path / "notes.npz"
    notes.write_text("years of work")
    with pytest.raises(DexhotError, match=r"did not write.*--force"):
        check_out(notes, "dexhot/reference")
    assert check_out(notes, "dexhot/reference", force=True) == notes


def test_a_truncated_file_of_ours_is_not_known_any_more(reference_file):
    reference_file.write_bytes(reference_file.read_bytes()[:2000])
    assert kind_of(reference_file) is None


def test_a_benchmarks_json_and_a_reports_are_distinguished(tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps({"bench": "leap", "metrics": {}}))
    (tmp_path / "report.json").write_text(json.dumps({"schema": "dexhot/report"}))
    (tmp_path / "other.json").write_text("{}")
    kinds = [kind_of(tmp_path / name) for name in ("bench.json", "report.json", "other.json")]
    assert kinds == ["dexhot/bench leap", "dexhot/report", None]


def test_a_place_that_cannot_be_written_is_refused_and_left_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DexhotError, match=r"cannot write to .*not a directory"):
        check_out(tmp_path / "file" / "out.npz", "dexhot/reference")
    with pytest.raises(DexhotError, match="is a folder; name a file"):
        check_out(tmp_path, "dexhot/reference")
    check_folder(tmp_path / "new" / "deep")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DexhotError, match="no space left on device"):
        check_folder(tmp_path)


def test_a_report_goes_into_a_new_an_empty_or_a_reports_folder(tmp_path):
    assert check_report_folder(tmp_path) == tmp_path and check_report_folder(tmp_path / "new")
    (tmp_path / "video.mp4").write_bytes(b"somebody's")
    with pytest.raises(DexhotError, match="has other files"):
        check_report_folder(tmp_path)
    assert check_report_folder(tmp_path, force=True)
    (tmp_path / "report.json").write_text(json.dumps({"schema": "dexhot/report"}))
    assert check_report_folder(tmp_path)
    with pytest.raises(DexhotError, match="is a file, but a report is a folder"):
        check_report_folder(tmp_path / "video.mp4")


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda fd: order.append("fsync"))
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), rename(a, b)))
    with replacing(tmp_path / "deep" / "file") as temporary:
        temporary.write_text("x")
    assert order == ["fsync", "rename"] and [p.name for p in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), replacing(tmp_path / "folder") as temporary:
        temporary.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_disk_that_fills_up_on_the_way_names_the_file(tmp_path):
    with pytest.raises(OSError) as told, replacing(tmp_path / "result.npz") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(os_error(told.value)).startswith(f"{tmp_path / 'result.npz'}: no space left on device")
    assert list(tmp_path.iterdir()) == []


COMMANDS = {
    "retarget": (["retarget", "{clip}"], "--out"),
    "retarget --picture": (["retarget", "{clip}", "--out", "{new}"], "--picture"),
    "mine": (["mine", "{reference}"], "--out"),
    "generate": (["generate", "lift"], "--out"),
    "evaluate": (["evaluate", "{reference}"], "--out"),
    "report": (["report", "{reference}"], "--out"),
    "report --strip": (["report", "{reference}"], "--strip"),
    "bench": (["bench", "leap"], "--out"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_looks_at_the_place_before_the_work(
    name, cache, lift_clip, lift_object, reference_file, tmp_path, capsys
):
    """A file stands where a folder is needed; evaluate and report would refuse their source only afterwards."""
    save_object(lift_object)
    (tmp_path / "file").write_text("")
    places = {"clip": save(lift_clip, tmp_path / "clip.npz"), "reference": reference_file, "new": tmp_path / "new.npz"}
    command, flag = COMMANDS[name]
    place = tmp_path / "file" / ("out.png" if flag in ("--picture", "--strip") else "out.npz")
    assert main([part.format(**places) for part in command] + [flag, str(place)]) == 1
    told = capsys.readouterr().err
    assert "cannot write to" in told and "not a directory" in told
    assert not (tmp_path / "new.npz").exists()


def test_a_cache_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "file"))
    mesh = tmp_path / "mesh.asset"
    mesh.write_text("")  # would be refused later
    for command in (["object", "add", str(mesh)], ["generate", "lift"], ["datasets", "get", "grab"]):
        assert main(command) == 1
        assert "DEXHOT_CACHE" in capsys.readouterr().err


# Errors that are not ours, as one sentence


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "/x/y: no space left on device; free disk space there",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "/x/y: permission denied; get permission"),
        (FileExistsError(errno.EEXIST, "File exists", "a", None, "b"), "a and b: file exists; it exists already"),
        (OSError(errno.EIO, "Input/output error"), "input/output error; error EIO."),
        (OSError("timed out"), "timed out."),
    ],
)
def test_what_the_system_refuses_is_one_sentence(error, sentence):
    assert str(os_error(error)).startswith(sentence)


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("rclpy", "ros"),
        ("sensor_msgs.msg", "ros"),
        ("franky", "hardware"),
        ("ray", "train"),
        ("imageio_ffmpeg", "video"),
    ],
)
def test_a_missing_module_names_its_extra(module, extra):
    assert f"dexhot[{extra}]" in str(import_error(ModuleNotFoundError(f"No module named {module!r}", name=module)))


def test_a_broken_module_of_our_own_keeps_its_traceback():
    assert import_error(ImportError("cannot import name x", name="dexhot.data")) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "x"),
        ModuleNotFoundError(name="ray"),
        MemoryError("Unable to allocate 432. GiB"),
    ],
)
def test_every_command_reports_it_in_one_sentence(error, monkeypatch, capsys):
    from dexhot.cli import doctor_command

    def fail(args):
        raise error

    monkeypatch.setattr(doctor_command, "run", fail)
    assert main(["doctor", "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith("dexhot: error: ")
    assert printed.err[len("dexhot: error: ") : -1] == json.loads(printed.out)["error"]
    monkeypatch.setenv("DEXHOT_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["doctor"])


@pytest.mark.parametrize("command", [["up", "real_track"], ["replay", "run"], ["capture"], ["demo", "--out", "{new}"]])
def test_without_ros_a_graph_is_refused_in_one_sentence(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    assert main([part.format(new=tmp_path / "new") for part in command]) == 1
    assert "dexhot[ros]" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
    with pytest.raises(DexhotError, match="ROS 2"):
        require_ros()


# Absolute paths


@pytest.fixture
def own_hand(tmp_path):
    """A hand.yaml of one's own: the shipped one somewhere else."""
    for folder in ("leap", "leap_right"):
        shutil.copytree(share_dir() / "urdf" / folder, tmp_path / "hands" / folder)
    return load_hand(tmp_path / "hands" / "leap_right" / "hand.yaml")


def test_a_hand_of_ones_own_is_named_relative_to_the_file(own_hand, lift_reference, tmp_path):
    own = replace(lift_reference, hand=own_hand.name)
    q = own.q
    mined = Demonstration("d", own, q, q, own.object_pose, "1")
    for kind, item in ((Reference, own), (Demonstration, mined)):
        path = save(item, tmp_path / "results" / "item.npz")
        with np.load(path) as entries:
            text = entries["header"].tobytes().decode()
        assert '"../hands/leap_right/hand.yaml"' in text and str(tmp_path) not in text
        shutil.copytree(tmp_path, elsewhere := tmp_path.with_name(f"{tmp_path.name}-{kind.__name__}"))
        read = load(elsewhere / "results" / "item.npz", kind)
        hand = (read if isinstance(read, Reference) else read.reference).hand
        assert load_hand(hand).name == hand == str(elsewhere / "hands" / "leap_right" / "hand.yaml")


def rewritten(path, old: str, new: str):
    with np.load(path) as entries:
        arrays = dict(entries)
    text = arrays["header"].tobytes().decode()
    assert old in text
    arrays["header"] = np.frombuffer(text.replace(old, new).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


def test_an_absolute_path_in_a_file_is_refused_with_what_to_do(reference_file):
    rewritten(reference_file, '"hand": "leap_right"', '"hand": "/home/somebody/hand.yaml"')
    with pytest.raises(FileFormatError, match=r"hand is the absolute path '/home/somebody/hand.yaml'.*--hand"):
        load(reference_file)


@pytest.mark.parametrize(
    "path", ["/home/me/clip.npz", "/data/duck-1.asset", "~/x.npz", "C:\\clips\\x.npz", "file:///x/y"]
)
def test_an_absolute_path_in_the_provenance_is_neither_written_nor_read(lift_reference, tmp_path, path):
    lift_reference.provenance["source"] = ["fine", path]
    with pytest.raises(FileFormatError, match=r"provenance\.source\.1 is the absolute path"):
        save(lift_reference, tmp_path / "r.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["/object/pose", "fault: /leap/joint_states is 1.2 s old", "clips/duck.npz", "duck"])
def test_topics_sentences_and_relative_paths_may_be_written(lift_reference, tmp_path, text):
    lift_reference.provenance["source"] = text
    assert load(save(lift_reference, tmp_path / "r.npz"), Reference).provenance["source"] == text


@pytest.mark.parametrize("name", ["/tmp/object", "../../object", "a/../../b", ""])
def test_an_object_is_a_name_and_no_path(lift_reference, lift_clip, cache, name):
    for item in (replace(lift_reference, object_name=name), replace(lift_clip, object_name=name)):
        with pytest.raises(FileFormatError, match="is not an object name"):
            item.validate()
    with pytest.raises(NotFoundError, match="not a path"):
        load_object(name)


# Scratch folders


def test_a_scratch_folder_of_a_process_that_ended_is_removed_and_no_other(tmp_path):
    mine, killed, reused, elsewhere = (make_scratch(tmp_path) for _ in range(4))
    someones = tmp_path / "dexhot-notes"
    someones.mkdir()
    (someones / "notes.txt").write_text("")
    link = tmp_path / "dexhot-link"
    link.symlink_to(killed)
    kept = json.loads((mine / MARK).read_text())
    (killed / MARK).write_text(json.dumps(kept | {"pid": 2**22 + 1}))
    (reused / MARK).write_text(json.dumps(kept | {"started": kept["started"] - 100.0}))
    (elsewhere / MARK).write_text(json.dumps(kept | {"pid": 2**22 + 1, "host": "another"}))
    fresh = make_scratch(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, elsewhere, someones, link, fresh}


def test_only_a_folder_with_the_mark_is_removed(tmp_path):
    folder = make_scratch(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert not remove_scratch(tmp_path / "run") and not remove_scratch(tmp_path / "link")
    assert remove_scratch(folder) and not remove_scratch(folder)
    assert (tmp_path / "run").is_dir()


@pytest.mark.parametrize("command", [["generate", "lift", "--seed", "-1"], ["mine", "nothing.npz", "--worlds", "0"]])
def test_numbers_that_cannot_be_are_refused_in_a_sentence(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 1
    assert "or more, not" in capsys.readouterr().err


def test_a_size_that_no_picture_has_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["synth", "grab/duck_lift", "--width", "100000"]) == 1
    assert "--width and --height must be at most 4096 px, not 100000 and 480" in capsys.readouterr().err


def test_a_size_that_cannot_be_rendered_is_not_blamed_on_the_libraries():
    import mujoco

    from dexhot.simulation.renderer import NoRendererError, new_renderer

    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    try:
        new_renderer(model, 32, 32).close()
    except NoRendererError as e:
        pytest.skip(str(e))
    with pytest.raises(NoRendererError, match=r"pictures of 100000x480 px here .*; choose a smaller size"):
        new_renderer(model, 100_000, 480)


def test_a_report_that_was_interrupted_leaves_nothing(tmp_path, monkeypatch, lift_reference):
    from dexhot.report import folder

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "load_setup", interrupt)
    with pytest.raises(KeyboardInterrupt):
        folder.write_report(SimpleNamespace(reference=lift_reference), tmp_path / "report")
    assert not list(tmp_path.iterdir())
    assert folder.check_report_folder(tmp_path / "report")


def test_a_viewer_at_an_address_that_is_not_ours_is_refused():
    from dexhot.view.player import new_server

    with pytest.raises(DexhotError, match="not an address of this machine"):
        new_server("192.0.2.1", 0)


def test_a_model_without_links_is_no_hand(tmp_path, capsys):
    (tmp_path / "empty.urdf").write_text('<robot name="a"/>')
    assert main(["hand", "add", str(tmp_path / "empty.urdf"), "--out", str(tmp_path / "hand.yaml")]) == 1
    assert "no links" in capsys.readouterr().err


def test_names_with_brackets_are_printed_as_they_are(capsys):
    """rich would read them as styles, and refuse the closing ones."""
    output.summary("cap[/bold]", {"written to": "d[red]x/r[/red].npz"})
    output.console.print(output.styled("repaired", "yellow", ": dexhot[video]"))
    output.results(False).print("a[/a]")
    told = capsys.readouterr()
    assert all(text in told.err for text in ("cap[/bold]", "d[red]x/r[/red].npz", "repaired: dexhot[video]"))
    assert told.out == "a[/a]\n"


def test_what_was_asked_for_is_on_stdout_and_with_json_the_object_alone(capsys):
    assert main(["up", "real_track", "--show-args"]) == 0
    told = capsys.readouterr()
    assert "controller" in told.out and not told.err
    main(["doctor", "--json"])
    told = capsys.readouterr()
    assert "Python" in told.err and len(told.out.splitlines()) == 1 and json.loads(told.out)["checks"]
