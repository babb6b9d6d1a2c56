"""Cameras without ROS: packing, directories, bags, the drawn scene, and a device that disappears and comes back."""

import itertools
import struct

import numpy as np
import pytest
import yaml
from PIL import Image

from dexhot.data import bags
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera import codec
from dexhot.hardware.camera.align import Aligner
from dexhot.hardware.camera.bag import find_frames
from dexhot.hardware.camera.drawn import RADIUS, TABLE, SimCamera
from dexhot.hardware.camera.file import FileCamera, directory_frames
from dexhot.hardware.camera.frames import CameraError, CameraLostError, EndOfFrames, Frames
from dexhot.hardware.camera.reconnect import BLANK, FROZEN, RECENT, StreamHealth, WatchedCamera
from dexhot.hardware.camera.recording import open_recording
from dexhot.hardware.camera.source import Mode, camera_source

PINHOLE = Intrinsics(64, 48, 60.0, 60.0, 31.5, 23.5)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def made(number: int, stamp: float | None = None, depth: int = 700) -> Frames:
    color = np.full((48, 64, 3), number % 256, np.uint8)
    return Frames(number / 30 if stamp is None else stamp, number, color, np.full((48, 64), depth, np.uint16), PINHOLE)


# Packing


def test_depth_is_packed_without_loss_behind_12_bytes():
    depth = np.random.default_rng(0).integers(0, 65536, (48, 64), np.uint16)
    data = codec.encode_depth(depth)
    assert data[12:16] == b"\x89PNG" and (codec.decode_depth(data) == depth).all()


def test_colour_is_packed_as_jpeg_in_the_right_order_of_channels():
    color = np.zeros((48, 64, 3), np.uint8)
    color[..., 0] = 200
    data = codec.encode_color(color)
    assert data[:2] == b"\xff\xd8" and np.abs(codec.decode_color(data).astype(int) - color).max() < 6


def test_bgr_becomes_rgb():
    rows = np.arange(12, dtype=np.uint8)
    assert codec.pixels("bgr8", 2, 2, 6, rows)[0, 0].tolist() == [2, 1, 0]


def test_padded_rows_are_cut():
    rows = np.arange(2 * 8, dtype=np.uint8)
    assert codec.pixels("16UC1", 2, 3, 8, rows).shape == (2, 3)


def test_an_unknown_encoding_is_named_with_the_known_ones():
    with pytest.raises(FileFormatError, match=r"bayer_rggb8.*rgb8"):
        codec.pixels("bayer_rggb8", 1, 1, 2, np.zeros(2, np.uint8))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8 no image", b"\x89PNG\r\n\x1a\n"])
def test_broken_images_are_refused(data):
    with pytest.raises(FileFormatError):
        codec.decode_color(data)


# Alignment


def test_aligned_depth_of_the_same_camera_is_the_same():
    depth = np.random.default_rng(0).integers(500, 900, (48, 64)).astype(np.uint16)
    aligned = Aligner(PINHOLE, PINHOLE, np.eye(3), np.zeros(3))(depth)
    assert (
        aligned[1:-1, 1:-1] <= depth[1:-1, 1:-1]
    ).all()  # a pixel's corner touches its neighbours; the nearest stays


def test_the_nearest_of_two_surfaces_stays():
    depth = np.full((48, 64), 2000, np.uint16)
    depth[:, :32] = 500
    aligned = Aligner(PINHOLE, PINHOLE, np.eye(3), np.array([0.05, 0.0, 0.0]))(depth)
    assert (aligned[24, 6:37] == 500).all()


# The drawn scene


def test_the_drawn_ball_is_where_its_depth_says():
    camera = SimCamera(64, 48, 30.0)
    color, depth = camera.draw(1.0)
    assert depth.min() == pytest.approx(1e3 * (TABLE - 2 * RADIUS), abs=3) and depth.max() == 1e3 * TABLE
    assert (color[depth < 700][:, 0].astype(int) > color[depth < 700][:, 2]).all()


def test_the_drawn_camera_drops_what_is_read_too_late():
    clock = Clock()
    camera = SimCamera(64, 48, 30.0, clock, clock.sleep)
    first = camera.read(1.0)
    clock.sleep(1.0)
    assert camera.read(1.0).number - first.number == 30


# Directories and bags


@pytest.fixture
def directory(tmp_path):
    """Three frames as files."""
    for folder in ("color", "depth"):
        (tmp_path / folder).mkdir()
    for k in range(3):
        Image.fromarray(made(k).color).save(tmp_path / "color" / f"{k:03d}.png")
        Image.fromarray(made(k).depth + np.uint16(k)).save(tmp_path / "depth" / f"{k:03d}.png")
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump({"fx": 60, "fy": 60, "cx": 31.5, "cy": 23.5, "fps": 10}))
    return tmp_path


def test_a_directory_of_frames_is_read_in_order(directory):
    found = list(directory_frames(directory))
    assert [f.stamp for f in found] == pytest.approx([0.0, 0.1, 0.2])
    assert [int(f.depth[0, 0]) for f in found] == [700, 701, 702] and found[0].intrinsics == PINHOLE


@pytest.mark.parametrize(
    ("name", "told"),
    [("color/*.png", "lacks color"), ("camera.yaml", "camera.yaml"), ("depth/001.png", r"depth/001\.png is missing\.")],
)
def test_what_a_directory_lacks_is_named(directory, name, told):
    for path in directory.glob(name):
        path.unlink()
    with pytest.raises(FileFormatError, match=told):
        camera_source(f"dir:{directory}", Mode())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fx: [600\nfy: 2\n", "is not YAML in line 2"),
        ("fx: 600\nfy: 600\n", "lacks cx, cy; write fx, fy, cx, cy in pixels"),
        ("600", "no `name: value` entries"),
        ("fx: a\nfy: 1\ncx: 2\ncy: 2\n", "could not convert string to float: 'a'; write"),
    ],
)
def test_what_is_wrong_with_camera_yaml_is_told_in_one_line_from_everywhere(directory, text, told):
    (directory / "camera.yaml").write_text(text)
    for read in (lambda: camera_source(f"dir:{directory}", Mode()), lambda: open_recording(directory)):
        with pytest.raises(FileFormatError, match=told) as error:
            read()
        assert "camera.yaml" in str(error.value) and "\n" not in str(error.value)


def rvl(image: np.ndarray) -> bytes:
    """RVL from its definition (compressed_depth_image_transport), nibble by nibble."""
    numbers, last, rest = [], 0, [int(x) for x in image.ravel()]
    while rest:
        for empty in (True, False):
            run = list(itertools.takewhile(lambda x: (x == 0) == empty, rest))  # noqa: B023
            rest = rest[len(run) :]
            numbers.append(len(run))
        for value in run:
            numbers.append(2 * (value - last) if value >= last else 2 * (last - value) - 1)
            last = value
    text = ""
    for number in numbers:
        digits = f"{number:o}"[::-1]
        text += "".join(f"{int(d) + 8:x}" for d in digits[:-1]) + digits[-1]
    text += "0" * (-len(text) % 8)
    words = [int(text[k : k + 8], 16) for k in range(0, len(text), 8)]
    return struct.pack(f"<II{len(words)}I", image.shape[1], image.shape[0], *words)


def test_rvl_of_eight_pixels_worked_out_by_hand():
    """2 zeros, 3 others: +5, +2, 0; 1 zero, 1 other: -4; 1 zero, none. 2 3 a1 4 0 1 1 7 1 0 in nibbles."""
    image = np.array([[0, 0, 5, 7], [7, 0, 3, 0]], np.uint16)
    data = bytes.fromhex("04000000 02000000 1140a123 00000071")
    assert (codec.decode_depth(bytes(12) + data) == image).all() and rvl(image) == data


def test_rvl_is_lossless():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 65536, (24, 32), np.uint16)
    real = (700 + rng.integers(-3, 4, (24, 32))).astype(np.uint16)
    real[rng.uniform(size=real.shape) < 0.2] = 0
    for image in (noise, real, np.zeros_like(real), np.full_like(real, 65535)):
        found = codec.decode_depth(bytes(12) + rvl(image))
        assert found.dtype == np.uint16 and (found == image).all()


def test_packed_depth_in_metres_is_not_taken_for_millimetres():
    depth = np.full((24, 32), 700, np.uint16)
    data = codec.encode_depth(depth)
    assert (codec.unpacked("16UC1; compressedDepth png", data, depth=True) == depth).all()
    with pytest.raises(FileFormatError, match="'32FC1' is not read, only 16UC1"):
        codec.unpacked("32FC1; compressedDepth png", data, depth=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:200], "ends after|cut off"),
        (lambda data: data[:4], "does not begin with the size"),
        (lambda data: struct.pack("<II", 2**31, 2**31) + data[8:], "does not begin with the size"),
        (lambda data: data[:8] + b"\xff" * 12 + data[20:], "more than 32 bits"),
        (lambda data: data[:8] + struct.pack("<I", 0x0FF70000) + data[12:], "damaged after"),
    ],
)
def test_damaged_rvl_is_refused(change, told):
    data = rvl(np.random.default_rng(0).integers(1, 2000, (24, 32), np.uint16))
    with pytest.raises(FileFormatError, match=f"neither PNG nor readable RVL .*({told}).*format to png"):
        codec.decode_depth(bytes(12) + change(data))


def test_a_recording_keeps_its_pace(directory):
    clock = Clock()
    camera = FileCamera("d", lambda: directory_frames(directory), clock=clock, sleep=clock.sleep)
    times = [camera.read(1.0).stamp for _ in range(3)]
    assert np.diff(times) == pytest.approx([0.1, 0.1])


def test_a_recording_ends_or_starts_again(directory):
    clock = Clock()
    once, again = (
        FileCamera("d", lambda: directory_frames(directory), loop, clock, clock.sleep) for loop in (False, True)
    )
    for _ in range(3):
        once.read(1.0)
    with pytest.raises(EndOfFrames):
        once.read(1.0)
    assert [int(again.read(1.0).color[0, 0, 0]) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def write_bag(path, depth_offset: float = 0.0, info: bool = True, prefix: str = "") -> None:
    """Five images at 30 Hz as realsense2_camera publishes them, depth stamped `depth_offset` s later."""
    types = bags.typestore().types
    header, stamp = types["std_msgs/msg/Header"], types["builtin_interfaces/msg/Time"]
    image, camera_info = types["sensor_msgs/msg/Image"], types["sensor_msgs/msg/CameraInfo"]
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1])
    with bags.BagWriter(path) as writer:
        topics = [writer.topic(prefix + t, "sensor_msgs/msg/Image") for t in (COLOR, DEPTH)]
        infos = writer.topic(prefix + COLOR_INFO, "sensor_msgs/msg/CameraInfo")
        for n in range(5):
            for topic, pixels, encoding, late in zip(
                topics, (made(n).color, made(n).depth), ("rgb8", "16UC1"), (0.0, depth_offset)
            ):
                ns = round(1e9 * (1000 + n / 30 + late))
                head = header(stamp(ns // 10**9, ns % 10**9), "camera_color_optical_frame")
                data = pixels.view(np.uint8).ravel()
                writer.write_message(topic, ns, image(head, 48, 64, encoding, 0, len(data) // 48, data))
                if info and topic.topic == prefix + COLOR:
                    d, p = np.zeros(5), np.zeros(12)
                    writer.write_message(infos, ns, camera_info(head, 48, 64, "plumb_bob", d, k, k, p, 0, 0, roi))


def test_a_bag_of_realsense2_camera_gives_its_frames(tmp_path):
    write_bag(tmp_path / "bag")
    found = list(find_frames(tmp_path / "bag"))
    assert [int(f.color[0, 0, 0]) for f in found] == list(range(5)) and found[0].intrinsics == PINHOLE
    assert all((f.depth == 700).all() for f in found)


def test_a_damaged_bag_gives_its_frames_and_at_the_end_what_is_lost(tmp_path):
    write_bag(tmp_path / "bag")
    file = tmp_path / "bag" / "bag.mcap"
    with bags.open_bag(file) as bag:
        [chunk] = bag.parts[0].blocks
    file.write_bytes(file.read_bytes()[: chunk.offset + chunk.length] + b"\5cut")
    camera = camera_source(f"bag:{file}", Mode())()
    with pytest.raises(EndOfFrames) as end:
        for _ in range(6):
            assert camera.read(1.0) is not None
    assert camera.number == 5 and "truncated in the record" in end.value.lost[0]
    recording = open_recording(file)
    assert len(recording) == 5 and "truncated in the record" in recording.provenance["notes"][0]


def test_a_cameras_namespace_does_not_matter(tmp_path):
    """realsense2_camera of 2024 and later says /camera/camera/color/image_raw."""
    write_bag(tmp_path / "bag", prefix="/camera")
    assert all((f.depth == 700).all() for f in find_frames(tmp_path / "bag"))


def test_of_several_cameras_realsenses_default_comes_first_and_the_names_are_reported(tmp_path):
    with bags.BagWriter(tmp_path / "both") as both:
        for prefix in ("/a_wrist", "/camera"):
            write_bag(tmp_path / "bag" / prefix[1:], prefix=prefix)
            with bags.open_bag(tmp_path / "bag" / prefix[1:]) as reader:
                topics = {c.topic: both.topic(c.topic, c.msgtype) for c in reader.connections}
                for connection, received, data in reader.messages(reader.connections):
                    both.write(topics[connection.topic], received, bytes(data))
    names = find_frames(tmp_path / "both").names.split(", ")
    assert names == [f"/camera{COLOR}", f"/camera{COLOR_INFO}", f"/camera{DEPTH}"]
    chosen = Mode(namespace="/a_wrist/camera")
    assert f"/a_wrist{COLOR}" in camera_source(f"bag:{tmp_path / 'both'}", chosen)().name
    with pytest.raises(
        FileFormatError, match=f"no camera in /head; its colour images: /a_wrist{COLOR}, /camera{COLOR}"
    ):
        find_frames(tmp_path / "both", "/head")


def test_depth_of_another_moment_is_not_paired(tmp_path):
    write_bag(tmp_path / "bag", depth_offset=0.016)
    assert all(f.depth is None for f in find_frames(tmp_path / "bag"))


def test_what_a_bag_lacks_is_named_with_what_it_has(tmp_path):
    write_bag(tmp_path / "bag", info=False)
    with pytest.raises(FileFormatError, match=f"lacks.*{COLOR_INFO}; its topics: .*{COLOR}"):
        camera_source(f"bag:{tmp_path / 'bag'}", Mode())


@pytest.mark.parametrize("text", ["webkam", "bag:", "dir", "sim:2"])
def test_a_camera_that_does_not_exist_is_refused_with_those_that_do(text):
    with pytest.raises(NotFoundError, match="realsense:SERIAL"):
        camera_source(text, Mode())


# A device that disappears


class Device:
    """30 Hz while it is plugged in; away during `away` (from, to). Opening takes 2 s, as with a RealSense."""

    name, recorded, notice = "D435", False, ""

    def __init__(self, clock: Clock, away: tuple[float, float], raises: bool):
        self.clock, self.away, self.raises, self.number = clock, away, raises, 0
        if not self.there:
            raise CameraError("no camera is connected")
        clock.sleep(2.0)

    @property
    def there(self) -> bool:
        return not self.away[0] <= self.clock() < self.away[1]

    def read(self, timeout: float) -> Frames | None:
        if not self.there:
            if self.raises:
                raise CameraLostError("device disconnected")
            self.clock.sleep(timeout)
            return None
        self.clock.sleep(1 / 30)
        self.number += 1
        return made(self.number, self.clock())

    def close(self) -> None:
        pass


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("absence", [0.5, 3.0, 20.0])
def test_frames_are_back_within_6_s_of_the_cable(raises, absence):
    clock = Clock()
    back = 105.0 + absence
    camera = WatchedCamera(lambda: Device(clock, (105.0, back), raises), clock=clock, sleep=clock.sleep)
    while clock() < back:
        camera.read(0.2)
    while camera.read(0.2) is None:
        assert clock() < back + 6.0
    assert camera.lost is None and clock() < back + 6.0


def test_a_lost_camera_reports_since_when_and_why():
    clock = Clock()
    camera = WatchedCamera(lambda: Device(clock, (105.0, 1e9), False), clock=clock, sleep=clock.sleep)
    while clock() < 110.0:
        camera.read(0.2)
    since, why = camera.lost
    assert since == pytest.approx(105.0, abs=0.1) and "no camera is connected" in why


def test_a_camera_that_is_not_there_at_the_start_is_refused():
    clock = Clock()
    with pytest.raises(CameraError, match="no camera is connected"):
        WatchedCamera(lambda: Device(clock, (0.0, 1e9), False), clock=clock, sleep=clock.sleep)


def test_a_camera_is_not_polled_more_often_than_configured():
    clock, tried = Clock(), []

    def open_camera():
        tried.append(clock())
        return Device(clock, (105.0, 1e9), True)

    camera = WatchedCamera(open_camera, retry=0.5, clock=clock, sleep=clock.sleep)
    while clock() < 125.0:
        camera.read(0.2)
    assert np.diff(tried[1:]).min() >= 0.5 - 1e-9


# Health


def test_gaps_in_the_numbers_are_drops():
    health = StreamHealth()
    for number in (1, 2, 5, 6):
        health.add(made(number))
    assert health.dropped == 2


def test_a_new_count_after_a_reconnect_is_no_drop():
    health = StreamHealth()
    health.add(made(5))
    health.restart()
    health.add(made(90, stamp=0.0))
    assert health.dropped == 0 and health.stamps_back == 0


def test_a_frozen_image_under_new_stamps_is_seen():
    health = StreamHealth()
    for k in range(FROZEN + 1):
        health.add(made(256 * k, stamp=float(k)))
    assert "frozen" in health.warnings


def test_a_stamp_that_jumps_back_is_seen():
    health = StreamHealth()
    for stamp in (1.0, 2.0, 1.5):
        health.add(made(int(10 * stamp), stamp=stamp))
    assert health.stamps_back == 1 and "stamps" in health.warnings


def test_a_stamp_that_jumped_back_once_is_not_told_for_ever():
    health = StreamHealth()
    for stamp in (1.0, 0.5, *np.linspace(1.0, 5.0, RECENT)):
        health.add(made(int(100 * stamp), stamp=stamp))
    assert health.stamps_back == 1 and "stamps" not in health.warnings


def test_depth_that_is_all_zero_is_seen():
    health = StreamHealth()
    for k in range(BLANK):
        health.add(made(k, depth=0))
    assert "blank" in health.warnings


def test_a_good_stream_has_no_warnings():
    health = StreamHealth()
    for k in range(2 * FROZEN):
        health.add(made(k))
    assert not health.warnings and health.frames == 2 * FROZEN
