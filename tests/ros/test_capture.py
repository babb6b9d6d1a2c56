"""Captures: images are packed and kept in order, a kill loses a second, the disk is watched, and bags are played."""

import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header

from conftest import own_ros_domain
from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.data import bags
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO
from dexhot.errors import DexhotError, FileFormatError
from dexhot.hardware.camera import codec
from dexhot.hardware.camera.bag import find_frames
from dexhot.hardware.camera.frames import CameraError
from dexhot.hardware.camera.realsense import connected
from dexhot.ros.core import messages
from dexhot.ros.core.diagnostics import status
from dexhot.ros.core.qos import publish_profile
from dexhot.ros.record import capture_node, recorder_node
from dexhot.ros.record.bag_player_node import BagPlayerNode
from dexhot.ros.see.camera_messages import PUBLISHED, image
from growing_bag import grown, loses_at_most, newest

HERE = Path(__file__).parents[1]  # of the helpers


def color(k: int) -> np.ndarray:
    return np.full((48, 64, 3), 5 * k, np.uint8)


def depth(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 65536, (48, 64), np.uint16)


@pytest.fixture
def captured(bench, tmp_path):
    """(bench, bag) of 20 colour and depth images and joint states, recorded."""
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0, report_period=60.0)
    topics = ((Image, COLOR), (Image, DEPTH), (Image, "/thermal"), (JointState, "/leap/joint_states"))
    publishers = [bench.other.create_publisher(kind, topic, publish_profile("state")) for kind, topic in topics]

    def publish(k: int, frame_id: str) -> None:
        header = Header(stamp=messages.to_stamp(time.time()), frame_id=frame_id)
        odd = Image(header=header, height=1, width=1, encoding="32FC1", step=4, data=b"\0\0\0\0")
        made = image(header, color(k)), image(header, depth(k)), odd, JointState(header=header)
        for publisher, message in zip(publishers, made):
            publisher.publish(message)
        bench.spin_until(lambda: False, 0.05)

    def counts() -> list[int]:
        return [node.arrivals[topic].count if topic in node.arrivals else 0 for _, topic in topics]

    while not all(counts()):
        publish(0, "nobody may be listening yet")
    before = counts()
    for k in range(20):
        publish(k, "camera")
    assert bench.spin_until(lambda: all(now >= then + 20 for now, then in zip(counts(), before)))
    bench.stop()
    return bench, tmp_path / "bag"


def recorded(captured, *topics: str) -> list[tuple]:
    """(topic, message) of the twenty moments."""
    return [(t, m) for t, _, m in bags.messages(captured[1], set(topics)) if m.header.frame_id == "camera"]


@pytest.mark.ros
def test_images_are_packed_as_image_transport_names_them(captured):
    kinds = bags.topics(captured[1])
    packed = "sensor_msgs/msg/CompressedImage"
    assert kinds[f"{COLOR}/compressed"] == packed and kinds[f"{DEPTH}/compressedDepth"] == packed
    assert COLOR not in kinds and DEPTH not in kinds
    formats = {
        t: m.format for t, _, m in bags.messages(captured[1], {f"{COLOR}/compressed", f"{DEPTH}/compressedDepth"})
    }
    assert sorted(formats.values()) == ["16UC1; compressedDepth png", "rgb8; jpeg compressed bgr8"]


@pytest.mark.ros
def test_every_image_is_kept_in_order_and_depth_without_loss(captured):
    found = {f"{COLOR}/compressed": [], f"{DEPTH}/compressedDepth": []}
    for topic, message in recorded(captured, *found):
        found[topic].append(bytes(message.data))
    colors, depths = found.values()
    assert [round(codec.decode_color(c).mean() / 5) for c in colors] == list(range(20))
    assert all((codec.decode_depth(d) == depth(k)).all() for k, d in enumerate(depths)) and len(depths) == 20


@pytest.mark.ros
def test_an_image_that_cannot_be_packed_is_kept_as_it_is(captured):
    assert [m.encoding for _, m in recorded(captured, "/thermal")] == ["32FC1"] * 20


@pytest.mark.ros
def test_what_comes_is_reported_with_rate_and_age(captured):
    node = captured[0].tested
    node.report()
    rate = node.values["/leap/joint_states.rate_hz"]
    node.report()
    assert COLOR in node.warnings["silent"]  # since the last report, a moment ago
    assert 0.0 <= node.values[f"{COLOR}.age_ms"] < 60_000.0 and rate > 0.0


@pytest.mark.ros
def test_ages_are_those_of_the_simulated_clock_where_there_is_one(bench, tmp_path):
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0)
    publishers = [bench.other.create_publisher(k, t, 10) for k, t in ((Clock, "/clock"), (JointState, "/joints"))]
    assert bench.spin_until(lambda: all(p.get_subscription_count() for p in publishers))
    publishers[0].publish(Clock(clock=messages.to_stamp(50.0)))
    assert bench.spin_until(lambda: node.clock == 50.0)
    publishers[1].publish(JointState(header=Header(stamp=messages.to_stamp(49.5))))
    assert bench.spin_until(lambda: node.arrivals["/joints"].age == pytest.approx(0.5))


@pytest.mark.ros
def test_receive_times_of_packed_images_are_those_of_arrival(captured):
    """Packing takes longer than a joint state's way, and yet each image stands where it came."""
    found = recorded(captured, f"{DEPTH}/compressedDepth", "/leap/joint_states")
    ahead = np.cumsum([1 if topic.endswith("Depth") else -1 for topic, _ in found])
    assert np.abs(ahead).max() <= 6


@pytest.mark.ros
def test_images_beyond_the_backlog_are_dropped_and_reported(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(capture_node, "BACKLOG", 0)
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0)
    publisher = bench.other.create_publisher(Image, COLOR, publish_profile("sensor"))
    assert bench.spin_until(publisher.get_subscription_count)
    publisher.publish(image(Header(), color(1)))
    assert bench.spin_until(lambda: node.values["images_dropped"] == 1) and "1 dropped" in node.warnings["slow"]


@pytest.mark.ros
def test_messages_end_a_capture_in_time_where_no_timer_is_called(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(capture_node.CaptureNode, "watch", lambda node: None)  # as while messages keep it busy
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0, duration=0.2)
    publisher = bench.other.create_publisher(Image, COLOR, publish_profile("sensor"))
    assert bench.spin_until(publisher.get_subscription_count)
    while not node.finished:
        publisher.publish(image(Header(), color(1)))
        bench.spin_until(lambda: False, 0.05)
    assert node.finished == "0.2 s have passed" and node.exit_code == 0


@pytest.mark.ros
def test_a_running_realsense_is_found_under_its_own_names_and_they_are_reported(bench, tmp_path):
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0)
    names = "/camera/camera/color/image_raw", "/camera/camera/aligned_depth_to_color/image_raw"
    _ = [bench.publisher(Image, topic, "sensor") for topic in names]
    _ = bench.publisher(CameraInfo, "/camera/camera/color/camera_info", "sensor")
    said = f"{names[0]}, /camera/camera/color/camera_info, {names[1]}"
    assert bench.spin_until(lambda: node.values.get("camera") == said)


@pytest.mark.ros
def test_only_images_of_the_camera_that_was_named_count(bench, tmp_path):
    given = {"bag": str(tmp_path / "bag"), "min_free": 0.0, "patience": 1.0, "camera_namespace": "/wrist"}
    node = bench.start(capture_node.CaptureNode(), **given)
    other = bench.publisher(Image, COLOR)
    assert bench.spin_until(other.get_subscription_count)
    other.publish(image(Header(), color(1)))
    assert bench.spin_until(lambda: node.finished)
    assert f"no image in /wrist arrived within 1 s; advertised colour images: {COLOR}" in node.finished


@pytest.mark.ros
@pytest.mark.parametrize(("published", "code"), [("3", 0), ("5", 1), ("n/a", 0)])
def test_images_that_were_published_and_did_not_arrive_end_in_exit_code_1(bench, tmp_path, published, code):
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0)
    camera = bench.other.create_publisher(Image, COLOR, publish_profile("state"))
    diagnostics = bench.other.create_publisher(DiagnosticArray, "/diagnostics", publish_profile("state"))
    assert bench.spin_until(lambda: camera.get_subscription_count() and "/diagnostics" in node.open)
    for k in range(3):
        camera.publish(image(Header(), color(k)))
    for name, count in (("camera", published), ("another", "1000")):
        told = status(f"{name}: state", DiagnosticStatus.OK, "", {PUBLISHED + COLOR: count})
        diagnostics.publish(DiagnosticArray(status=[told]))
    assert bench.spin_until(lambda: COLOR in node.arrivals and node.arrivals[COLOR].count == 3)
    bench.stop()
    assert node.exit_code == code


@pytest.mark.ros
def test_a_disk_that_gets_full_ends_the_capture_with_a_whole_bag(bench, tmp_path, monkeypatch):
    free = [100.0]
    monkeypatch.setattr(capture_node, "free_gb", lambda path: free[0])
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=2.0)
    assert bench.spin_until(lambda: node.values.get("disk_free_gb") == 100.0) and not node.finished
    free[0] = 1.5
    assert bench.spin_until(lambda: node.finished)
    assert node.exit_code == 1 and "1.50 GB free, less than min_free = 2" in node.finished
    bench.stop()
    assert (tmp_path / "bag" / "metadata.yaml").is_file()


@pytest.mark.ros
def test_a_capture_that_is_over_does_not_wait_for_those_who_still_publish(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_node, "LAST_WORDS", float("inf"))
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0)
    publisher = bench.other.create_publisher(JointState, "/joints", 10)
    assert bench.spin_until(publisher.get_subscription_count)
    node.finish("it is over")
    bench.stop()
    assert (tmp_path / "bag" / "metadata.yaml").is_file()


@pytest.mark.ros
def test_no_image_within_the_patience_is_an_error(bench, tmp_path):
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0, patience=1.0)
    assert bench.spin_until(lambda: node.finished)
    assert node.exit_code == 1 and "no image arrived within 1 s" in node.finished


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path):
    given = {"camera": "sim", "out": str(tmp_path / "new"), "min_free": "9999"}
    with pytest.raises(DexhotError, match="less than min_free = 9999 GB"):
        plan(load_graph("capture"), given, {})
    assert not (tmp_path / "new").exists()


def test_a_camera_that_is_not_connected_is_refused_before_anything_is_made(tmp_path):
    pytest.importorskip("pyrealsense2", exc_type=ImportError)
    if connected():
        pytest.skip("a camera is connected")
    with pytest.raises(CameraError, match="no RealSense camera is connected"):
        plan(load_graph("capture"), {"out": str(tmp_path / "new")}, {})
    assert not (tmp_path / "new").exists()


def test_a_bag_that_lacks_images_is_no_camera(tmp_path):
    with pytest.raises(FileFormatError, match="nowhere"):
        plan(load_graph("capture"), {"camera": f"bag:{tmp_path / 'nowhere'}", "out": str(tmp_path / "new")}, {})
    assert not (tmp_path / "new").exists()


def run(*arguments: str, seconds: float = 90.0) -> subprocess.CompletedProcess:
    call = [sys.executable, "-m", "dexhot", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """The folder that `dexhot capture` of the drawn scene made in a namespace, and its output."""
    folder = tmp_path_factory.mktemp("capture") / "made"
    with own_ros_domain():
        size = ("width:=160", "height:=120", "--namespace", "robot1")
        result = run("capture", "--camera", "sim", "--out", str(folder), "--duration", "2", "--json", *size)
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout.splitlines()[-1]), result.stderr


@pytest.mark.ros
def test_the_command_records_colour_depth_and_infos(capture):
    _, told, log = capture
    assert {f"{COLOR}/compressed", f"{DEPTH}/compressedDepth", COLOR_INFO, DEPTH_INFO} <= told["messages"].keys()
    assert told["messages"][f"{COLOR}/compressed"] > 20 and re.search(r"\d s recorded, \d s left, arriving: ", log)


@pytest.mark.ros
def test_a_capture_has_the_names_of_its_namespace_and_is_read_without(capture):
    with bags.open_bag(capture[0] / "bag", as_recorded=True) as bag:
        recorded = {c.topic for c in bag.connections}
    assert {f"/robot1{COLOR_INFO}", "/robot1/heartbeat", "/rosout"} <= recorded and COLOR_INFO not in recorded
    assert {m.header.frame_id for _, _, m in bags.messages(capture[0] / "bag", {COLOR_INFO})} == {
        "robot1/camera_color_optical_frame"
    }


@pytest.mark.ros
def test_a_capture_is_a_camera(capture):
    found = list(find_frames(capture[0] / "bag"))
    assert len(found) > 20 and found[5].depth.max() == 800 and found[5].color.shape == (120, 160, 3)


@pytest.mark.ros
def test_a_capture_is_played_with_its_time_and_its_images(capture, bench):
    clock, heard = bench.listen(Clock, "/clock", "state"), bench.listen(Image, COLOR)
    source = str(capture[0] / "bag")
    node = bench.start(BagPlayerNode(), source=source, pace=4.0, loop=True)
    assert bench.spin_until(lambda: node.rounds >= 2)
    first, last = bags.contents(capture[0] / "bag"), messages.seconds(clock[-1].clock)
    begin = next(bags.messages(source))[1] * 1e-9
    assert begin - 0.1 <= last <= begin + first.duration + 60.0
    assert heard and heard[0].encoding == "rgb8" and messages.seconds(heard[0].header.stamp) < begin + first.duration
    assert any(messages.seconds(b.clock) < messages.seconds(a.clock) for a, b in pairwise(clock))  # it went back


@pytest.mark.ros
def test_commands_of_the_past_are_played_only_when_they_are_named(bench, tmp_path):
    joints = bags.typestore().types["sensor_msgs/msg/JointState"]
    types, empty = bags.typestore().types, np.zeros(0)
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](1, 0), "")
    with bags.BagWriter(tmp_path / "bag") as writer:
        for name in ("/leap/command", "/leap/joint_states", "/safety/estop_input"):
            topic = writer.topic(name, "sensor_msgs/msg/JointState")
            writer.write_message(topic, 10**9, joints(header, [], empty, empty, empty))
    node = bench.start(BagPlayerNode(), source=str(tmp_path / "bag"))
    assert set(node.outputs) == {"/leap/joint_states"}
    bench.stop()
    node.set_parameters([Parameter("play", value=["/leap/command"])])
    node.trigger_configure()
    assert set(node.outputs) == {"/leap/command"}


@pytest.mark.ros
def test_nothing_is_played_where_a_rigs_graph_runs(bench, capture, plain_node):
    clock = bench.listen(Clock, "/clock", "state")
    plain_node("supervisor")
    node = bench.start(BagPlayerNode(), source=str(capture[0] / "bag"))
    assert bench.spin_until(lambda: node.finished)
    assert node.exit_code == 1 and "(supervisor)" in node.finished and not node.played and not clock


@pytest.mark.ros
def test_playing_once_ends_by_itself(capture, ros_domain):
    result = run("replay", str(capture[0]), "rate:=8")
    assert result.returncode == 0 and "end of" in result.stderr


@pytest.mark.ros
def test_topics_that_a_bag_lacks_are_named_before_it_starts(capture):
    given = {"bag": str(capture[0]), "topics": f"{COLOR},/leap/joint_states"}
    with pytest.raises(FileFormatError, match=r"lacks topics to play: /leap/joint_states; it has: .*compressed"):
        plan(load_graph("replay"), given, {})


@pytest.mark.ros
def test_a_capture_asked_through_the_controller_names_what_it_lacks(capture):
    with pytest.raises(FileFormatError, match=r"lacks.*/controller/inputs"):
        plan(load_graph("replay"), {"bag": str(capture[0]), "what": "controller"}, {})


@pytest.mark.ros
def test_a_recording_of_librealsense_is_played_under_our_names(bench, tmp_path):
    pytest.importorskip("pyrealsense2", exc_type=ImportError)
    from software_camera import EPOCH, color_image, record

    record(tmp_path / "realsense.db3", 12)
    heard, aligned = bench.listen(Image, COLOR), bench.listen(Image, DEPTH)
    bench.start(BagPlayerNode(), source=str(tmp_path / "realsense.db3"), pace=0.5)
    assert bench.spin_until(lambda: len(heard) > 5 and aligned)
    pixels = np.frombuffer(heard[-1].data, np.uint8).reshape(240, 320, 3)
    assert (pixels == color_image(pixels[0, 0, 0])).all() and aligned[0].encoding == "16UC1"
    assert messages.seconds(heard[0].header.stamp) == pytest.approx(EPOCH * 1e-3, abs=1.0)


@pytest.mark.ros
def test_a_killed_capture_lacks_at_most_the_last_second(ros_domain, tmp_path):
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        f"/capture: {{ros__parameters: {{bag: {tmp_path / 'bag'}, min_free: 0.0}}}}\n"
        "/camera: {ros__parameters: {camera: sim, width: 320, height: 240}}\n"
    )
    images = {f"{COLOR}/compressed", f"{DEPTH}/compressedDepth"}
    call, options = [sys.executable, "-m", "dexhot.ros.core.process"], ["--ros-args", "--params-file", str(parameters)]
    camera, recorder = (subprocess.Popen([*call, name, *options]) for name in ("camera", "capture"))
    try:
        grown(tmp_path / "bag", 100_000)
        assert loses_at_most(tmp_path / "bag", images, 1.0)
        last = newest(tmp_path / "bag", images)
        recorder.kill()
        recorder.wait()
    finally:
        for popen in (camera, recorder):
            popen.kill()
            popen.wait()
    assert newest(tmp_path / "bag", images) >= last
    assert len(list(find_frames(tmp_path / "bag"))) > 10


@pytest.mark.ros
def test_a_camera_that_fails_ends_the_capture_with_exit_code_1(bench, tmp_path):
    node = bench.start(capture_node.CaptureNode(), bag=str(tmp_path / "bag"), min_free=0.0)
    diagnostics = bench.other.create_publisher(DiagnosticArray, "/diagnostics", publish_profile("state"))
    assert bench.spin_until(lambda: "/diagnostics" in node.open)
    for name in ("another", "camera"):
        assert not node.finished
        told = status(f"{name}: state", DiagnosticStatus.ERROR, "half an image", {})
        diagnostics.publish(DiagnosticArray(status=[told]))
        bench.spin_until(lambda name=name: node.finished or name == "another", 60.0)
    assert "the camera has failed: half an image" in node.finished and node.exit_code == 1


def frames_in(folder: Path, fx: str = "60.0") -> Path:
    for kind in ("color", "depth"):
        (folder / kind).mkdir(parents=True)
    (folder / "color" / "0.png").write_bytes(codec.encode_color(color(1)))
    (folder / "depth" / "0.png").write_bytes(codec.encode_depth(depth(1))[12:])
    (folder / "camera.yaml").write_text(f"{{fx: {fx}, fy: 60.0, cx: 32.0, cy: 24.0}}")
    return folder


@pytest.mark.parametrize("wrong", ["yaml", "color", "duration", "inside"])
def test_a_capture_that_cannot_begin_leaves_nothing(tmp_path, wrong):
    folder = frames_in(tmp_path / "frames", fx="abc" if wrong == "yaml" else "60.0")
    if wrong == "color":
        (folder / "color" / "0.png").write_text("no image")
    out = folder / "new" if wrong == "inside" else tmp_path / "new"
    given = {"camera": f"dir:{folder}", "out": str(out), "duration": "-1" if wrong == "duration" else "1"}
    said = {"yaml": "camera.yaml", "color": "0.png", "duration": "duration", "inside": "lies inside"}[wrong]
    with pytest.raises(DexhotError, match=said):
        plan(load_graph("capture"), given, {})
    assert not out.exists()
