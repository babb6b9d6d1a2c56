"""Frames as the messages of realsense2_camera: raw images, and the camera's intrinsics; keypoints as clouds."""

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from dexhot.data.keypoints import estimated
from dexhot.data.recording import check_intrinsics
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO, KEYPOINT_FIELDS, RELATIVE_DEPTH
from dexhot.errors import FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.codec import pixels
from dexhot.hardware.camera.frames import OPTICAL_FRAME, Frames
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.refusals import RefusedError

PUBLISHED = "published:"  # prefix of the diagnostic values that count the images of a topic


def image(header: Header, values: np.ndarray) -> Image:
    """Image message of (H, W, 3) RGB, (H, W) grey uint8, or (H, W) uint16 mm."""
    encoding = {(3, 1): "rgb8", (2, 1): "mono8", (2, 2): "16UC1"}[values.ndim, values.itemsize]
    height, width = values.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=values.nbytes // height)
    message.data = messages.bytes_array(np.ascontiguousarray(values).view(np.uint8))
    return message


def camera_info(header: Header, i: Intrinsics) -> CameraInfo:
    """CameraInfo of an unrectified camera."""
    info = CameraInfo(header=header, height=i.height, width=i.width, distortion_model="plumb_bob", d=list(i.d))
    info.k = i.matrix.ravel()
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = i.projection.ravel()
    return info


def read_image(message: Image) -> np.ndarray:
    """(H, W, 3) RGB or grey (H, W) uint8, or (H, W) uint16, mm. Raises RefusedError."""
    try:
        return pixels(message.encoding, message.height, message.width, message.step, np.asarray(message.data))
    except (FileFormatError, ValueError) as e:
        raise RefusedError(f"an image of {message.width}x{message.height}: {e}") from e


def read_camera_info(message: CameraInfo) -> Intrinsics:
    """Raises RefusedError for intrinsics that no camera of that image size has."""
    found = Intrinsics.from_matrix(message.width, message.height, message.k, message.d)
    try:
        check_intrinsics(found, "camera_info")
    except FileFormatError as e:
        raise RefusedError(str(e)) from e
    return found


def keypoint_cloud(
    header: Header,
    points: np.ndarray,
    fields: tuple[str, ...] = KEYPOINT_FIELDS,
    relative_depth: np.ndarray | None = None,
) -> PointCloud2:
    """PointCloud2 of points (N, F), one column for each of `fields`; and one of `relative_depth` (N,), if given."""
    if relative_depth is not None:
        points, fields = np.column_stack([points, relative_depth]), (*fields, RELATIVE_DEPTH)
    rows = np.ascontiguousarray(points, "<f4")
    size = rows.itemsize * rows.shape[1]
    message = PointCloud2(header=header, height=1, width=len(rows), point_step=size, row_step=size * len(rows))
    message.fields = [
        PointField(name=name, offset=rows.itemsize * k, datatype=PointField.FLOAT32, count=1)
        for k, name in enumerate(fields)
    ]
    message.data = messages.bytes_array(rows.view(np.uint8))
    return message


def read_cloud(message: PointCloud2, fields: tuple[str, ...] = KEYPOINT_FIELDS, count: int = 21) -> np.ndarray:
    """(count, F) float of a cloud with exactly these float32 fields. Raises RefusedError."""
    names = tuple((f.name, f.datatype, f.offset) for f in message.fields)
    wanted = tuple((name, PointField.FLOAT32, 4 * k) for k, name in enumerate(fields))
    if names != wanted or message.width * message.height != count or len(message.data) != 4 * len(fields) * count:
        said = ", ".join(name[:20] for name, *_ in names[:8])
        raise RefusedError(
            f"a cloud of {message.width * message.height} points with {said or 'no fields'}; expected {count} with "
            f"float32 {', '.join(fields)}."
        )
    return np.frombuffer(message.data, "<f4").reshape(count, len(fields)).astype(float)


def read_keypoints(message: PointCloud2) -> tuple[np.ndarray, np.ndarray | None]:
    """(21, 6) of a hand's keypoints, and their relative depth (21,) px or None. Raises RefusedError."""
    fields = (*KEYPOINT_FIELDS, RELATIVE_DEPTH)
    if len(message.fields) != len(fields):
        return read_cloud(message), None
    rows = read_cloud(message, fields)
    return rows[:, :-1], estimated(rows[:, -1])


class FramesPublisher:
    """Publishes frames on the four topics; an image without subscribers is not converted."""

    def __init__(self, node: DexhotNode, with_depth: bool = True):
        self.node, self.with_depth = node, with_depth
        self.color, self.depth = (node.advertise(Image, topic, "sensor") for topic in (COLOR, DEPTH))
        self.infos = [node.advertise(CameraInfo, topic, "sensor") for topic in (COLOR_INFO, DEPTH_INFO)]
        self.published = {COLOR: 0, DEPTH: 0}  # images

    def publish(self, frames: Frames, stamp: Time | None = None) -> None:
        """Publish with the frames' stamp, or with `stamp`."""
        header = Header(
            stamp=stamp or messages.to_stamp(frames.stamp), frame_id=self.node.p.frame_prefix + OPTICAL_FRAME
        )
        info = camera_info(header, frames.intrinsics)
        images = (self.color, COLOR, frames.color), (self.depth, DEPTH, frames.depth)
        for (publisher, topic, values), informer in zip(images, self.infos):
            if values is None:
                continue
            if publisher.get_subscription_count():
                publisher.publish(image(header, values))
                self.published[topic] += 1
            informer.publish(info)

    def heard(self, by: str = "") -> bool:
        """Whether all four topics, or those of colour alone, have a subscriber, and one of them is the node `by` if
        given."""
        publishers = (self.color, self.depth, *self.infos)
        if not self.with_depth:
            publishers = (self.color, self.infos[0])
        if not all(p.get_subscription_count() for p in publishers):
            return False
        subscribed = (self.node.get_subscriptions_info_by_topic(p.topic_name) for p in publishers if by)
        here = self.node.get_namespace()
        return all(any((i.node_namespace, i.node_name) == (here, by) for i in infos) for infos in subscribed)

    def delivered(self, timeout: float) -> bool:
        """Wait up to `timeout` s until every subscriber has received all published messages."""
        deadline = Duration(seconds=timeout)
        return all(p.wait_for_all_acked(deadline) for p in (self.color, self.depth, *self.infos))
