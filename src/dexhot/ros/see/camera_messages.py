"""Frames as the messages of realsense2_camera: raw images, and the camera's intrinsics."""

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.frames import OPTICAL_FRAME, Frames
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode

PUBLISHED = "published:"  # prefix of the diagnostic values that count the images of a topic


def image(header: Header, pixels: np.ndarray) -> Image:
    """Image message of (H, W, 3) RGB, (H, W) grey uint8, or (H, W) uint16 mm."""
    encoding = {(3, 1): "rgb8", (2, 1): "mono8", (2, 2): "16UC1"}[pixels.ndim, pixels.itemsize]
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=pixels.nbytes // height)
    message.data = messages.bytes_array(np.ascontiguousarray(pixels).view(np.uint8))
    return message


def camera_info(header: Header, i: Intrinsics) -> CameraInfo:
    """CameraInfo of an unrectified camera: P uses K."""
    info = CameraInfo(header=header, height=i.height, width=i.width, distortion_model="plumb_bob", d=list(i.d))
    info.k = [i.fx, 0.0, i.cx, 0.0, i.fy, i.cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [i.fx, 0.0, i.cx, 0.0, 0.0, i.fy, i.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class FramesPublisher:
    """Publishes frames on the four topics; an image without subscribers is not converted."""

    def __init__(self, node: DexhotNode):
        self.node = node
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
        for (publisher, topic, pixels), informer in zip(images, self.infos):
            if pixels is None:
                continue
            if publisher.get_subscription_count():
                publisher.publish(image(header, pixels))
                self.published[topic] += 1
            informer.publish(info)

    def heard(self, by: str = "") -> bool:
        """Whether all four topics have a subscriber, and one of them is the node `by` if given."""
        publishers = (self.color, self.depth, *self.infos)
        if not all(p.get_subscription_count() for p in publishers):
            return False
        subscribed = (self.node.get_subscriptions_info_by_topic(p.topic_name) for p in publishers if by)
        here = self.node.get_namespace()
        return all(any((i.node_namespace, i.node_name) == (here, by) for i in infos) for infos in subscribed)

    def delivered(self, timeout: float) -> bool:
        """Wait up to `timeout` s until every subscriber has received all published messages."""
        deadline = Duration(seconds=timeout)
        return all(p.wait_for_all_acked(deadline) for p in (self.color, self.depth, *self.infos))
