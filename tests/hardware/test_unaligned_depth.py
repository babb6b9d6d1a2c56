"""Bags of realsense2_camera without align_depth: depth is aligned where the bag holds how, else it is named."""

import json

import numpy as np
import pytest
from rosbags.rosbag2 import Writer
from rosbags.rosbag2.enums import StoragePlugin
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dexhot.data.topics import COLOR, DEPTH, DEPTH_INFO
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera import codec
from dexhot.hardware.camera.align import Aligner
from dexhot.hardware.camera.bag import find_frames
from ros.test_capture import run

WIDTH, HEIGHT, COUNT = 64, 48, 15
K_COLOR, K_DEPTH = (60.0, 32.0, 24.0), (45.0, 31.0, 23.0)  # focal length, principal point
ANGLE, SHIFT = 0.05, (0.04, 0.002, 0.001)  # rad about y, m: color_T_depth
TURN = np.array([[np.cos(ANGLE), 0.0, np.sin(ANGLE)], [0.0, 1.0, 0.0], [-np.sin(ANGLE), 0.0, np.cos(ANGLE)]])
EXTRINSICS = "realsense2_camera_msgs/msg/Extrinsics"


def depth_image(k: int) -> np.ndarray:
    z = np.full((HEIGHT, WIDTH), 800, np.uint16)
    z[10:30, 20:40] = 500 + k
    return z


def write_bag(path, extra: str = "", color: str = "/color/image_raw", encoding: str = "rgb8", ns: str = "/camera"):
    """15 pairs as `ros2 bag record` has them; `extra`: "tf_static" or "extrinsics" says where the depth camera is."""
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg("float64[9] rotation\nfloat64[3] translation\n", EXTRINSICS))
    made = types.types
    header, time = made["std_msgs/msg/Header"], made["builtin_interfaces/msg/Time"]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def put(topic: str, kind: str, ns_time: int, **fields) -> None:
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=types)
            writer.write(topics[topic], ns_time, types.serialize_cdr(made[kind](**fields), kind))

        topics: dict = {}
        start = 1_700_000_000_000_000_000
        if extra == "extrinsics":
            rotation = TURN.T.ravel()  # column by column
            put(f"{ns}/extrinsics/depth_to_color", EXTRINSICS, start, rotation=rotation, translation=np.array(SHIFT))
        if extra == "tf_static":
            vector, quat = made["geometry_msgs/msg/Vector3"], made["geometry_msgs/msg/Quaternion"]
            back = (0.0, -np.sin(ANGLE / 2), 0.0, np.cos(ANGLE / 2))  # camera_link_T_color undoes color_T_depth
            links = (
                ("camera_link", "camera_depth_optical_frame", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
                (
                    "camera_link",
                    "camera_color_optical_frame",
                    -TURN.T @ SHIFT,
                    back,
                ),
            )
            transforms = [
                made["geometry_msgs/msg/TransformStamped"](
                    header(time(0, 0), parent),
                    child,
                    made["geometry_msgs/msg/Transform"](vector(*map(float, p)), quat(*map(float, q))),
                )
                for parent, child, p, q in links
            ]
            put("/tf_static", "tf2_msgs/msg/TFMessage", start, transforms=transforms)
        for k in range(COUNT):
            t = start + k * 33_333_333
            stamp = time(t // 10**9, t % 10**9)
            depth = depth_image(k)
            channels = {"rgb8": 3, "yuv422_yuy2": 2}[encoding]
            pixels = np.full((HEIGHT, WIDTH, channels), 128, np.uint8)
            images = (
                (ns + color, "camera_color_optical_frame", encoding, channels * WIDTH, pixels.ravel()),
                (
                    f"{ns}/depth/image_rect_raw",
                    "camera_depth_optical_frame",
                    "16UC1",
                    2 * WIDTH,
                    depth.view("u1").ravel(),
                ),
            )
            for (topic, frame, form, step, data), (f, cx, cy) in zip(images, (K_COLOR, K_DEPTH)):
                h = header(stamp, frame)
                kind = "sensor_msgs/msg/Image"
                size = {"height": HEIGHT, "width": WIDTH}
                put(topic, kind, t, header=h, **size, encoding=form, is_bigendian=0, step=step, data=data)
                put(
                    f"{ns}/{'depth' if 'depth' in topic else 'color'}/camera_info",
                    "sensor_msgs/msg/CameraInfo",
                    t,
                    header=h,
                    **size,
                    distortion_model="plumb_bob",
                    d=np.zeros(5),
                    k=np.array([f, 0, cx, 0, f, cy, 0, 0, 1.0]),
                    r=np.eye(3).ravel(),
                    p=np.zeros(12),
                    binning_x=0,
                    binning_y=0,
                    roi=made["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
                )
    return path


@pytest.mark.parametrize("extra", ["tf_static", "extrinsics"])
def test_depth_is_aligned_where_the_bag_holds_how(tmp_path, extra):
    found = list(find_frames(write_bag(tmp_path / "bag", extra)))
    (fc, *c), (fd, *d) = K_COLOR, K_DEPTH
    align = Aligner(Intrinsics(WIDTH, HEIGHT, fd, fd, *d), Intrinsics(WIDTH, HEIGHT, fc, fc, *c), TURN, SHIFT)
    assert len(found) == COUNT and all((f.depth == align(depth_image(k))).all() for k, f in enumerate(found))
    assert (found[0].depth != depth_image(0)).any() and (found[0].depth == 500).any()


def test_depth_that_cannot_be_aligned_is_named_with_what_is_lacking(tmp_path):
    source = find_frames(write_bag(tmp_path / "bag", ns="/camera/camera"))
    assert source.depth is None and [f.depth for f in source] == [None] * COUNT
    for word in ("/camera/camera/depth/image_rect_raw", "/camera/camera/extrinsics/depth_to_color", "align_depth"):
        assert word in source.left_out


def test_static_transforms_of_other_frames_do_not_align(tmp_path):
    path = write_bag(tmp_path / "bag", "tf_static")
    from dexhot.hardware.camera.extrinsics import of_driver

    assert of_driver(path, "/camera", "another_depth_frame", "camera_color_optical_frame") is None
    assert of_driver(path, "/camera", "camera_depth_optical_frame", "another_color_frame") is None


def test_rectified_colour_and_yuyv_are_colour(tmp_path):
    path = write_bag(tmp_path / "bag", color="/color/image_rect_raw", encoding="yuv422_yuy2")
    assert [f.color.shape for f in find_frames(path)] == [(HEIGHT, WIDTH, 3)] * COUNT


def test_yuyv_is_converted_by_bt_601():
    """Y U Y V of a red and a dark red pixel, computed by hand: R = 1.164 (Y - 16) + 1.596 (V - 128)."""
    pixels = codec.pixels("yuv422_yuy2", 1, 2, 4, np.array([82, 90, 50, 240], np.uint8))
    assert np.abs(pixels[0].astype(int) - [[255, 1, 0], [218, 0, 0]]).max() <= 2
    same = codec.pixels("uyvy", 1, 2, 4, np.array([90, 82, 240, 50], np.uint8))
    assert (same == pixels).all()


@pytest.mark.ros
def test_every_frame_of_a_bag_is_captured_and_depth_that_is_left_out_is_reported(tmp_path, ros_domain):
    """Also when the bag is shorter than the recorder takes to come up."""
    source, out = write_bag(tmp_path / "bag"), tmp_path / "out"
    result = run("capture", "--camera", f"bag:{source}", "--out", str(out), "--json")
    assert result.returncode == 0, result.stderr
    recorded = json.loads(result.stdout.splitlines()[-1])["messages"]
    assert recorded[f"{COLOR}/compressed"] == COUNT
    assert not {DEPTH_INFO, f"{DEPTH}/compressedDepth"} & recorded.keys()
    assert "the depth of /camera/depth/image_rect_raw is omitted" in result.stderr


@pytest.mark.ros
def test_the_bag_of_the_field_is_captured(tmp_path, ros_domain, shared_data):
    source = shared_data.parent / "cases" / "06-depth-not-aligned" / "rs_unaligned"
    result = run("capture", "--camera", f"bag:{source}", "--out", str(tmp_path / "out"), "--duration", "3", "--json")
    assert result.returncode == 0 and "/camera/depth/image_rect_raw" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["messages"][f"{COLOR}/compressed"] == COUNT
