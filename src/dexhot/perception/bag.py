"""Writes Evidence as a bag of topics (docs/perception.md), stamped as the colour images."""

from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.bags import BagWriter, typestore
from dexhot.data.topics import HAND_KEYPOINTS, KEYPOINT_FIELDS, LABELS, OBJECT_POSE
from dexhot.data.types import Evidence
from dexhot.errors import FileFormatError
from dexhot.hardware.camera.frames import OPTICAL_FRAME
from dexhot.scratch import make_scratch, remove_scratch

SIGMA = 0.005, 0.05  # m, rad: standard deviations published with a pose


def write_evidence(evidence: Evidence, path: Path) -> Path:
    """One bag folder. Raises FileFormatError if `path` exists."""
    if path.exists():
        raise FileFormatError(f"{path} exists; a bag is never written over: give another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = make_scratch(path.parent)
    try:
        with BagWriter(scratch / path.name) as bag:
            _write(evidence, bag)
        (scratch / path.name).rename(path)
    finally:
        remove_scratch(scratch)
    return path


def _write(evidence: Evidence, bag: BagWriter) -> None:
    types = typestore().types

    def make(kind: str, /, **fields: Any) -> Any:
        return types[kind](**fields)

    labels = bag.topic(LABELS, "sensor_msgs/msg/Image")
    clouds = {side: bag.topic(HAND_KEYPOINTS[side], "sensor_msgs/msg/PointCloud2") for side in evidence.keypoints}
    poses = bag.topic(OBJECT_POSE, "geometry_msgs/msg/PoseWithCovarianceStamped")
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * k, datatype=7, count=1)
        for k, name in enumerate(KEYPOINT_FIELDS)
    ]
    covariance = np.diag([SIGMA[0] ** 2] * 3 + [SIGMA[1] ** 2] * 3).ravel()
    for k, time in enumerate(evidence.time):
        ns = round(float(time) * 1e9)
        stamp = make("builtin_interfaces/msg/Time", sec=ns // 10**9, nanosec=ns % 10**9)
        header = make("std_msgs/msg/Header", stamp=stamp, frame_id=OPTICAL_FRAME)
        height, width = evidence.labels[k].shape
        image = make(
            "sensor_msgs/msg/Image", header=header, height=height, width=width, encoding="mono8", is_bigendian=0,
            step=width, data=evidence.labels[k].ravel(),
        )  # fmt: skip
        bag.write_message(labels, ns, image)
        for side, topic in clouds.items():
            points = evidence.keypoints[side][k].astype("<f4")
            if np.isnan(points[:, 3]).all():
                continue
            cloud = make(
                "sensor_msgs/msg/PointCloud2", header=header, height=1, width=len(points), fields=fields,
                is_bigendian=False, point_step=24, row_step=24 * len(points), data=points.view(np.uint8).ravel(),
                is_dense=False,
            )  # fmt: skip
            bag.write_message(topic, ns, cloud)
        if np.isnan(evidence.object_pose[k]).any():
            continue
        x, y, z, qw, qx, qy, qz = map(float, evidence.object_pose[k])
        pose = make(
            "geometry_msgs/msg/Pose",
            position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=make("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
        )
        known = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance)
        bag.write_message(poses, ns, make("geometry_msgs/msg/PoseWithCovarianceStamped", header=header, pose=known))
