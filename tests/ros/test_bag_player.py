"""Playing incomplete bags: existing messages are played, the graph ends, and its exit code shows any loss."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bag_files import begin, body, damage_of, definitions, end, rows, snapshot, write
from dexhot.bringup.graph import GraphError, plan
from dexhot.bringup.graphs import load_graph
from dexhot.data import bags
from dexhot.errors import FileFormatError
from dexhot.ros.core import live_rig
from dexhot.ros.record.bag_player_node import BagPlayerNode
from dexhot.ros.record.playback import find_bag
from dexhot.scratch import remove_scratch

PACKED = "sensor_msgs/msg/CompressedImage"


def replay(path: Path, runs: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DEXHOT_RUNS": str(runs)}
    call = [sys.executable, "-m", "dexhot", "replay", str(path)]
    return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.ros
@pytest.mark.parametrize("rate", ["-1", "0.001", "200"])
def test_the_rate_of_topics_is_refused_by_its_name_with_its_range(tmp_path, monkeypatch, rate):
    write(tmp_path / "bag.mcap", rows(3))
    monkeypatch.setattr(live_rig, "require_none", lambda namespace: None)
    given = {"bag": str(tmp_path / "bag.mcap")}
    with pytest.raises(GraphError, match=rf"rate must be 0.01 to 100, or 0 for the recorded rate, not {rate}\."):
        plan(load_graph("replay"), given | {"rate": rate}, {})
    planned = plan(load_graph("replay"), given | {"rate": "0"}, {})
    assert planned.parameters["bag_player"]["pace"] == 1.0 and remove_scratch(planned.folder)


def test_a_split_bag_without_metadata_is_played_whole_and_left_alone(ros_domain, tmp_path):
    (tmp_path / "bag").mkdir()
    for number in range(3):
        write(tmp_path / "part", rows(20, 20 * number)).rename(tmp_path / "bag" / f"rec_{number}.mcap")
        (tmp_path / "part" / "metadata.yaml").unlink()
        (tmp_path / "part").rmdir()
    (tmp_path / "bag" / "notes.txt").write_text("calibrated")
    before = snapshot(tmp_path / "bag")
    result = replay(tmp_path / "bag", tmp_path / "runs")
    assert result.returncode == 0 and ": 60 messages" in result.stderr, result.stderr
    assert snapshot(tmp_path / "bag") == before


@pytest.mark.ros
def test_a_damaged_bag_is_played_as_far_as_it_goes_with_exit_code_1(ros_domain, tmp_path):
    file = write(tmp_path / "bag", rows(60))
    file.write_bytes(file.read_bytes()[:2600])
    before, there = snapshot(tmp_path / "bag"), bags.contents(tmp_path / "bag").counts
    result = replay(tmp_path / "bag", tmp_path / "runs")
    assert result.returncode == 1 and 0 < sum(there.values()) < 60
    lost = damage_of(tmp_path / "bag")[0]
    assert f": {sum(there.values())} messages; it is damaged: {lost}" in result.stderr
    assert snapshot(tmp_path / "bag") == before


@pytest.mark.ros
def test_a_fault_while_playing_ends_the_graph(bench, tmp_path):
    write(tmp_path / "bag", rows(20))
    node = bench.start(BagPlayerNode(), source=str(tmp_path / "bag"))

    def broken():
        yield node.next
        raise OSError("the disk is gone")

    node.queue = broken()
    assert bench.spin_until(lambda: node.finished)
    assert node.exit_code == 1 and "the disk is gone" in node.finished


@pytest.mark.ros
def test_an_image_that_cannot_be_unpacked_is_reported_and_the_rest_is_played(bench, tmp_path):
    types = bags.typestore().types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](1, 0), "camera")
    broken = types[PACKED](header, "rgb8; jpeg compressed bgr8", np.zeros(9, np.uint8))
    with bags.BagWriter(tmp_path / "bag") as writer:
        topic = writer.topic("/camera/color/image_raw/compressed", PACKED)
        for k in range(5):
            writer.write_message(topic, 10**9 + k, broken)
    from sensor_msgs.msg import CompressedImage, Image

    packed = bench.listen(CompressedImage, "/camera/color/image_raw/compressed", "sensor")
    bench.listen(Image, "/camera/color/image_raw")
    node = bench.start(BagPlayerNode(), source=str(tmp_path / "bag"))
    assert bench.spin_until(lambda: node.finished and len(packed) == 5)
    assert (
        node.exit_code == 1 and "images of /camera/color/image_raw/compressed cannot be decompressed" in node.finished
    )


def test_a_bag_is_found_by_its_folder_its_file_and_its_run(tmp_path):
    file = write(tmp_path / "bag", rows(4))
    assert find_bag(tmp_path) == (tmp_path / "bag", None) and find_bag(file) == (file, None)
    (tmp_path / "run.json").write_text("{}")
    assert [find_bag(path)[1] for path in (tmp_path, tmp_path / "bag", file)] == [tmp_path] * 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="neither a run's folder nor a rosbag"):
        find_bag(tmp_path / "empty")


def test_the_file_of_a_run_needs_no_index(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(begin() + definitions() + body(rows(4)) + end())
    assert find_bag(tmp_path / "bag.mcap")[0] == tmp_path / "bag.mcap"


@pytest.mark.ros
def test_the_cases_are_played(shared_cases, ros_domain, tmp_path):
    for name, played in (("03-qos-edited/talker", 10), ("07-file-compressed-bag/file_zstd_db3", 200)):
        result = replay(shared_cases / name, tmp_path / "runs")
        assert result.returncode == 0 and f": {played} messages" in result.stderr, result.stderr
