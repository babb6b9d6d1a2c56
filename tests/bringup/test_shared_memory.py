"""What killed ROS processes leave in /dev/shm, and that nothing of a living one is touched."""

import fcntl
import os
import time

import pytest

from dexhot.bringup import shared_memory


@pytest.fixture
def segments(tmp_path, monkeypatch):
    """A folder in the place of /dev/shm, and a maker of segments with their locks."""
    monkeypatch.setattr(shared_memory, "SEGMENTS", tmp_path)

    def make(name, age=60.0):
        files = [tmp_path / name, tmp_path / f"{name}_el"]
        for file in files:
            file.write_bytes(bytes(100) if file.suffix == "" and not file.name.endswith("_el") else b"")
            os.utime(file, (time.time() - age,) * 2)
        return files

    return make


def test_a_segment_of_a_dead_process_is_found_and_freed(segments, tmp_path):
    files = segments("fastrtps_0123456789abcdef")
    assert sorted(shared_memory.left_behind()) == sorted(files)
    assert shared_memory.free() == 100
    assert not list(tmp_path.iterdir())


def test_a_segment_whose_lock_is_held_is_left_alone(segments):
    _, lock = segments("fastrtps_port7000")
    with open(lock) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert shared_memory.left_behind() == []
        assert shared_memory.free() == 0 and lock.exists()
    assert shared_memory.left_behind()


def test_a_segment_that_was_just_made_may_not_have_its_lock_yet(segments):
    segments("fastrtps_0", age=0.0)
    assert shared_memory.left_behind() == []


def test_only_what_was_made_since_is_asked_for(segments):
    segments("fastrtps_0", age=500.0)
    newer = segments("fastrtps_1", age=50.0)
    assert sorted(shared_memory.left_behind(since=time.time() - 100.0)) == sorted(newer)


def test_other_programs_files_are_not_looked_at(segments, tmp_path):
    segments("sem.mp-3el36la8")
    assert shared_memory.left_behind() == []


def test_without_dev_shm_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "SEGMENTS", tmp_path / "none")
    assert shared_memory.left_behind() == []
