"""Bags: what was written is read, a kill loses at most a second, a bag without the needed topics is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from bag_files import snapshot
from dexhot.data import bags
from dexhot.errors import FileFormatError
from dexhot.ros.record.recorder_node import RecorderNode
from growing_bag import grown, loses_at_most, newest

HERE = Path(__file__).parents[1]  # of the helpers
HEADER = "std_msgs/msg/Header"
STAMP = bags.typestore().types["builtin_interfaces/msg/Time"]
ZERO = QosTime(0, 0)
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    ZERO,
    ZERO,
    QosLiveliness.AUTOMATIC,
    ZERO,
    False,
)


def header(k: int):
    return bags.typestore().types[HEADER](stamp=STAMP(sec=k, nanosec=5), frame_id=f"frame {k}")


def write(path: Path, count: int = 10, close: bool = True) -> bags.BagWriter:
    writer = bags.BagWriter(path)
    topics = [writer.topic("/a", HEADER, (LATCHED,)), writer.topic("/b", HEADER)]
    for k in range(count):
        writer.write_message(topics[k % 2], 1000 + k, header(k))
    writer.flush()
    if close:
        writer.close()
    return writer


def test_what_was_written_is_read_in_order(tmp_path):
    write(tmp_path / "bag")
    found = list(bags.messages(tmp_path / "bag"))
    assert [(t, r, m.frame_id) for t, r, m in found] == [
        ("/ab"[::2] if k % 2 else "/a", 1000 + k, f"frame {k}") for k in range(10)
    ]


def test_the_offered_quality_of_service_is_kept(tmp_path):
    write(tmp_path / "bag")
    with bags.open_bag(tmp_path / "bag") as reader:
        [connection] = [c for c in reader.connections if c.topic == "/a"]
        assert connection.ext.offered_qos_profiles == [LATCHED]


def test_a_clock_that_steps_back_keeps_the_order(tmp_path):
    with bags.BagWriter(tmp_path / "bag") as writer:
        topic = writer.topic("/a", HEADER)
        for k, received in enumerate((10, 5, 20)):
            writer.write_message(topic, received, header(k))
    assert [(r, m.stamp.sec) for _, r, m in bags.messages(tmp_path / "bag")] == [(10, 0), (10, 1), (20, 2)]


def test_a_bag_is_never_written_over(tmp_path):
    write(tmp_path / "bag")
    with pytest.raises(FileFormatError, match="never written over"):
        bags.BagWriter(tmp_path / "bag")


def test_a_bag_whose_writer_never_closed_is_read_whole_and_left_as_it_is(tmp_path):
    write(tmp_path / "bag", close=False)
    before = snapshot(tmp_path)
    assert len(list(bags.messages(tmp_path / "bag"))) == 10
    assert snapshot(tmp_path) == before and not (tmp_path / "bag" / "metadata.yaml").exists()


def test_a_record_cut_in_the_middle_costs_only_itself(tmp_path):
    writer = write(tmp_path / "bag", close=False)
    topic = writer.topic("/c", HEADER)
    writer.write_message(topic, 5000, header(99))
    writer.flush()
    [path] = (tmp_path / "bag").glob("*.mcap")
    path.write_bytes(path.read_bytes()[:-20])
    assert len(list(bags.messages(tmp_path / "bag"))) in (10, 11)


def test_a_missing_bag_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="nowhere"):
        list(bags.messages(tmp_path / "nowhere"))


def test_a_file_that_is_no_bag_is_refused(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "bag.mcap").write_bytes(b"not a bag at all")
    with pytest.raises(FileFormatError, match="is not a bag"):
        list(bags.messages(tmp_path / "bag"))


def test_lacking_topics_are_named_with_those_that_are_there(tmp_path):
    write(tmp_path / "bag")
    with pytest.raises(FileFormatError, match=r"/object/state \(nav_msgs/msg/Odometry\).*/a, /b"):
        bags.require_topics(tmp_path / "bag", {"/object/state": "nav_msgs/msg/Odometry", "/a": HEADER}, "a test")


class Queue:
    """A subscription and its handle: `came` are the receive times of what waits; `looked` is called at its end."""

    msg_type = None

    def __init__(self) -> None:
        self.handle, self.came, self.looked = self, [], lambda: None

    def __enter__(self) -> None: ...

    def __exit__(self, *exception) -> None: ...

    def take_message(self, kind, raw):
        if self.came:
            return b"", {"received_timestamp": self.came.pop(0)}
        return self.looked()


def test_an_answer_is_not_written_before_its_input():
    """Both come after the queue of the inputs was emptied, and before that of the answers is."""
    node = RecorderNode.__new__(RecorderNode)  # its state alone; no node is needed
    node.latest, node.whole, node.pending, node.values = 0, 0, [], {}
    node.heartbeat = "/heartbeat"
    inputs, answers, written = Queue(), Queue(), []
    node.bag = SimpleNamespace(write=lambda *entry: written.append(entry[1]), flush=lambda: None, count=0)
    node.open = {
        topic: (queue, lambda received, data: node.pending.append((received, None, data)))
        for topic, queue in (("/inputs", inputs), ("/answers", answers))
    }

    def late() -> None:
        inputs.came, answers.came, inputs.looked = [11], [12], lambda: None

    inputs.came, inputs.looked = [1], late
    node.take()
    node.write()
    assert 12 not in written
    node.take()
    node.write()
    assert written == [1, 11, 12]


@pytest.fixture
def recording(ros_domain, tmp_path):
    """A source of messages and a recorder, each in its process; yields (source, recorder, folder of the bag)."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE), *sys.path)), "OMP_NUM_THREADS": "1"}
    parameters = tmp_path / "recorder.yaml"
    parameters.write_text(f"/recorder: {{ros__parameters: {{bag: {tmp_path / 'bag'}, required_nodes: [source]}}}}")
    call = [sys.executable, "-m", "dexhot.ros.core.process"]
    source = subprocess.Popen([*call, "probe_nodes:Source"], env=environment)
    recorder = subprocess.Popen([*call, "recorder", "--ros-args", "--params-file", str(parameters)], env=environment)
    yield source, recorder, tmp_path / "bag"
    for popen in (source, recorder):
        popen.kill()
        popen.wait()


def test_a_recorder_does_not_wait_for_the_publishers_of_its_own_process(ros_domain, tmp_path):
    """They are destroyed before it ends; the executor held on to them."""
    parameters = tmp_path / "recorder.yaml"
    parameters.write_text(f"/recorder: {{ros__parameters: {{bag: {tmp_path / 'bag'}, required_nodes: [source]}}}}")
    program = "import sys; from dexhot.ros.core import process; from dexhot.ros.record import recorder_node\n"
    program += "recorder_node.LAST_WORDS = 60.0\nsys.exit(process.main(sys.argv[1:]))"
    call = [sys.executable, "-c", program, "recorder", "probe_nodes:Source", "--ros-args", "--params-file"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE), *sys.path)), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*call, str(parameters)], env=environment) as both:
        try:
            grown(tmp_path / "bag", 2000)
            both.send_signal(signal.SIGINT)
            assert both.wait(timeout=60) == 0
        finally:
            both.kill()


@pytest.mark.ros
def test_a_kill_loses_at_most_a_second(recording):
    _, recorder, bag = recording
    grown(bag, 20_000)
    assert loses_at_most(bag, {"/object/state"}, 1.0)
    last = newest(bag, {"/object/state"})
    recorder.kill()
    recorder.wait()
    assert newest(bag, {"/object/state"}) >= last


@pytest.mark.ros
def test_a_recording_holds_every_message_of_every_topic(recording):
    _, recorder, bag = recording
    grown(bag, 20_000)
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(timeout=60) == 0
    found: dict[str, list[float]] = {"/object/state": [], "/leap/joint_states": []}
    for topic, _, message in bags.messages(bag, set(found)):
        value = message.pose.pose.position.x / 0.01 if topic == "/object/state" else message.position[0] / 0.1
        found[topic].append(round(value))
    assert all(len(k) > 20 and k == list(range(int(k[0]), int(k[0]) + len(k))) for k in found.values())
    assert {"/heartbeat", "/diagnostics"} <= set(bags.topics(bag))


@pytest.mark.ros
def test_a_recorder_outlasts_those_that_stop_with_it(recording):
    source, recorder, bag = recording
    grown(bag, 20_000)
    recorder.send_signal(signal.SIGINT)
    asked = time.time_ns()
    time.sleep(0.6)
    source.send_signal(signal.SIGINT)
    assert recorder.wait(timeout=60) == 0
    assert max(received for _, received, _ in bags.messages(bag, {"/object/state"})) - asked > 200_000_000
