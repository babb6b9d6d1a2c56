"""A bring-up that recorded nothing leaves no folder, and recommends nothing that needs its bag."""

import pytest

from dexhot.bringup.unrecorded import files_in, remove_unrecorded
from dexhot.cli import main
from dexhot.data.bags import BagWriter, typestore
from dexhot.data.topics import ROSOUT

TEXT = "std_msgs/msg/String"


def record(folder, *topics):
    with BagWriter(folder / "bag") as bag:
        for topic in topics:
            bag.write_message(bag.topic(topic, TEXT), 1, typestore().types[TEXT](data="hello"))


@pytest.fixture
def started(tmp_path, monkeypatch, capsys):
    """Runs a command whose nodes do no more than `during(folder)`; gives its folder, whether it is left, the output."""

    def run(command, during=lambda folder: None, *argv):
        def nodes(planned, output):
            assert (planned.folder / "parameters.yaml").is_file()
            during(planned.folder)
            return 1

        monkeypatch.setattr("dexhot.bringup.launcher.run", nodes)
        folder = tmp_path / "kept"
        words = (f"record:={folder}",) if command == ("up", "real_track") else ("--out", str(folder))
        assert main([*command, *words, *argv]) == 1
        return folder, " ".join("".join(capsys.readouterr()).split())

    return run


UP, CAPTURE = ("up", "real_track"), ("capture", "--camera", "running")


@pytest.mark.parametrize("command", [UP, CAPTURE])
def test_what_could_not_start_leaves_no_folder_and_recommends_no_report(started, command):
    folder, told = started(command)
    assert not folder.exists() and folder.parent.exists()
    assert "nothing was recorded" in told and "dexhot report" not in told


def test_a_run_with_a_bag_is_kept_and_its_report_recommended(started):
    folder, told = started(UP, lambda folder: record(folder, ROSOUT))
    assert (folder / "bag").is_dir() and "writes a report of the run" in told and "nothing was recorded" not in told


@pytest.mark.parametrize("command", [UP, CAPTURE])
def test_a_folder_with_a_file_of_someone_else_is_kept(started, command):
    folder, told = started(command, lambda folder: (folder / "notes.txt").write_text("mine"))
    assert (folder / "notes.txt").is_file() and "nothing was recorded" not in told


def test_a_capture_of_no_image_keeps_what_others_published(started):
    life = (ROSOUT, "/camera/transition_event", "/diagnostics", "/heartbeat")
    folder, told = started(CAPTURE, lambda folder: record(folder, *life), "--json")
    assert not folder.exists() and '"folder": null' in told
    folder, _ = started(CAPTURE, lambda folder: record(folder, *life, "/joint_states"))
    assert (folder / "bag").is_dir()


def test_a_damaged_bag_is_kept(tmp_path):
    before = files_in(tmp_path)
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "bag.mcap").write_bytes(b"half")
    assert not remove_unrecorded(tmp_path, before, of_images=True) and (tmp_path / "bag" / "bag.mcap").is_file()
