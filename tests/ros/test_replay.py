"""A recorded run of a controller whose commands depend on the order of its inputs, replayed through the real graph."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import own_ros_domain
from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.data import bags
from dexhot.data.topics import DIAGNOSTICS, JOURNAL, TARGET
from dexhot.errors import DexhotError, FileFormatError
from dexhot.report.live_loop import node_rows
from dexhot.report.recording import active
from dexhot.ros.record.playback import Input, Tape, compare, read_tape

HERE = Path(__file__).parents[1]  # of the helpers
RECORD = """
import os, sys
from pathlib import Path
from dexhot.bringup import launcher
from dexhot.bringup.graph import Graph, NodeSpec, Prepared, Process, plan
light = lambda name, target: NodeSpec(name, target=f"probe_nodes:{target}", schema="base")
processes = (
    Process("source", (light("source", "Source"),)),
    Process("controller", (light("controller", "OrderedController"),)),
    Process("recorder", (NodeSpec("recorder"),)),
)
folder = Path(sys.argv[1])
values = {"bag": str(folder / "bag"), "required_nodes": ["source", "controller"]}
graph = Graph("light", "", (), lambda a: processes, lambda a: Prepared(folder, values))
sys.exit(launcher.run(plan(graph, {}, os.environ)))
"""
REPLAY = """
import os, sys
from pathlib import Path
from dexhot.bringup import launcher
from dexhot.bringup.graph import Graph, NodeSpec, Prepared, Process, plan
controller = NodeSpec("controller", target=f"probe_nodes:{sys.argv[2]}", schema="base")
processes = (Process("controller", (controller,)), Process("player", (NodeSpec("player"),)))
folder = Path(sys.argv[1])
values = {"source": str(folder / "bag"), "report": str(folder / "replay.json")}
graph = Graph("light", "", (), lambda a: processes, lambda a: Prepared(folder, values))
sys.exit(launcher.run(plan(graph, {}, os.environ)))
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-c", script, *arguments]
    return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """The folder of a run of the light graph."""
    folder = tmp_path_factory.mktemp("run")
    with own_ros_domain():
        result = run(RECORD, str(folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.ros
def test_a_replay_gives_the_recorded_commands(recorded, ros_domain):
    result = run(REPLAY, str(recorded), "OrderedController")
    assert result.returncode == 0, result.stderr
    found = json.loads((recorded / "replay.json").read_text())
    assert found["commands_compared"] > 50 and not found["inputs_missing"] and not found["inputs_early"]
    assert found["equal"] and found["max_difference"] == 0.0


@pytest.mark.ros
def test_another_controller_is_found_to_differ(recorded, ros_domain):
    assert run(REPLAY, str(recorded), "ShiftedController").returncode == 0
    assert not json.loads((recorded / "replay.json").read_text())["equal"]


@pytest.mark.ros
def test_a_damaged_run_is_replayed_as_far_as_it_goes_with_exit_code_1(recorded, ros_domain, tmp_path):
    shutil.copytree(recorded / "bag", tmp_path / "bag")
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = run(REPLAY, str(tmp_path), "OrderedController")
    assert result.returncode == 1 and "commands are" in result.stderr, result.stderr
    found = json.loads((tmp_path / "replay.json").read_text())
    assert found["commands_compared"] > 5 and "truncated in the record" in found["bag_damage"][0]


@pytest.mark.ros
def test_the_tape_has_the_journals_order(recorded):
    tape = read_tape(recorded / "bag")
    named = [(m.source, bags.stamp_ns(m)) for _, _, m in bags.messages(recorded / "bag", {JOURNAL})]
    taken = [(i.topic, i.stamp) for i in tape.inputs]
    assert taken == [key for key in named if key in set(taken)]


@pytest.mark.ros
def test_a_recording_of_0_1_0_is_read_as_one_of_today(recorded, tmp_path):
    """Its journal is of Headers whose frame_id is the topic; its nodes have one status each, called as they are."""
    types = bags.typestore().types
    header, one_status = types["std_msgs/msg/Header"], types["diagnostic_msgs/msg/DiagnosticStatus"]
    old = tmp_path / "old"
    with bags.open_bag(recorded / "bag") as reader, bags.BagWriter(old) as writer:
        kinds = {c.topic: "std_msgs/msg/Header" if c.topic == JOURNAL else c.msgtype for c in reader.connections}
        topics = {topic: writer.topic(topic, kind) for topic, kind in kinds.items()}
        for c, received, data in reader.messages(reader.connections):
            message = bags.decode(c, data)
            if c.topic == JOURNAL:
                message = header(stamp=message.time_ref, frame_id=message.source)
            elif c.topic == DIAGNOSTICS:
                statuses, node = message.status, message.status[0].name.partition(":")[0]
                values = [value for status in statuses for value in status.values]
                message.status = [one_status(statuses[0].level, node, statuses[0].message, "dexhot", values)]
            else:
                writer.write(topics[c.topic], received, bytes(data))
                continue
            writer.write_message(topics[c.topic], received, message)
    inputs = [[(i.topic, i.stamp, i.data) for i in read_tape(bag).inputs] for bag in (recorded / "bag", old)]
    assert inputs[0] == inputs[1] != []
    assert measured(old) == measured(recorded / "bag") != []


def measured(bag: Path) -> list[dict[str, object]]:
    """What the report shows of each node's loops and latencies."""
    nodes: dict[str, dict[str, str]] = {}
    for _, _, message in bags.messages(bag, {DIAGNOSTICS}):
        nodes |= active(message)
    return [row for node, values in sorted(nodes.items()) for row in node_rows(node, values)]


def bag_with(path: Path, *topics: tuple[str, str]) -> Path:
    """A bag with one default message on each topic."""
    types = bags.typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="/object/state")
    empty = np.zeros(0)
    joints = types["sensor_msgs/msg/JointState"](header=header, name=[], position=empty, velocity=empty, effort=empty)
    with bags.BagWriter(path) as writer:
        for topic, kind in topics:
            writer.write_message(writer.topic(topic, kind), 1, header if kind.endswith("Header") else joints)
    return path


def test_a_bag_without_the_commands_is_refused_before_anything_starts(tmp_path):
    bag = bag_with(tmp_path / "bag", (JOURNAL, "std_msgs/msg/Header"))
    with pytest.raises(FileFormatError, match=f"lacks.*{TARGET}"):
        plan(load_graph("replay"), {"bag": str(bag)}, {})


def test_a_run_without_its_controllers_inputs_is_refused_and_not_merely_played(tmp_path):
    bag_with(tmp_path / "bag", ("/leap/joint_states", "sensor_msgs/msg/JointState"))
    (tmp_path / "run.json").write_text('{"schema": "dexhot/run", "version": 1, "graph": "real_track"}')
    with pytest.raises(FileFormatError, match=f"lacks.*{JOURNAL}"):
        plan(load_graph("replay"), {"bag": str(tmp_path)}, {})


def test_a_bag_without_the_named_inputs_is_refused(tmp_path):
    bag = bag_with(tmp_path / "bag", (JOURNAL, "std_msgs/msg/Header"), (TARGET, "sensor_msgs/msg/JointState"))
    with pytest.raises(FileFormatError, match="none of the messages"):
        read_tape(bag)


def test_a_folder_without_a_bag_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="neither a run's folder nor a rosbag"):
        plan(load_graph("replay"), {"bag": str(tmp_path)}, {})


def test_a_bag_without_run_json_needs_the_controller_named(tmp_path):
    bag = bag_with(tmp_path / "bag", (JOURNAL, "std_msgs/msg/Header"), (TARGET, "sensor_msgs/msg/JointState"))
    with pytest.raises(DexhotError, match="controller:=NAME"):
        plan(load_graph("replay"), {"bag": str(bag)}, {})


@pytest.mark.ros
def test_a_lost_command_is_not_equal(recorded):
    tape = read_tape(recorded / "bag")
    given = dict(tape.commands)
    given.pop(max(given))
    found = compare(tape, given, 1e-6)
    assert found["commands_lost"] == 1 and not found["equal"]


@pytest.mark.parametrize(("after", "equal"), [(0.02, True), (0.5, False), (-0.5, False)])
def test_only_a_command_right_after_the_end_may_be_unrecorded(after, equal):
    stamps = [10**9 * (1 + k) for k in range(5)]
    tape = Tape([Input("/object/state", "", stamps[0], stamps[0], b"", False)], {s: np.zeros(2) for s in stamps})
    found = compare(tape, tape.commands | {stamps[-1] + int(after * 1e9): np.zeros(2)}, 1e-6)
    assert (found["equal"], found["commands_extra"], found["commands_past_end"]) == (equal, int(not equal), int(equal))


@pytest.mark.ros
def test_a_live_run_of_real_track_is_replayed_exactly(ros_domain, tmp_path):
    dexhot = [sys.executable, "-m", "dexhot"]
    up = [*dexhot, "up", "real_track", "exit_when_done:=true", f"record:={tmp_path / 'run'}"]
    subprocess.run(up, check=True, capture_output=True, timeout=180)
    result = subprocess.run(
        [*dexhot, "replay", str(tmp_path / "run"), "--json"], capture_output=True, text=True, timeout=180, check=False
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["equal"] and found["max_difference"] <= 1e-6 and found["commands_compared"] > 60
