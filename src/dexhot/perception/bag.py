"""Writes Evidence as a bag of topics (docs/perception.md), stamped as the colour images, and reads it again.

Prompts and boxes are JSON in std_msgs/String, {"stamp": ns, "object": [...], ...}: of a click [[u, v], ...], of a box
[u0, v0, u1, v1], px. vision_msgs, which has a type for boxes, is in no wheel.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.bags import BagWriter, messages, typestore
from dexhot.data.files import WRITTEN
from dexhot.data.topics import BOXES, HAND_KEYPOINTS, KEYPOINT_FIELDS, LABELS, OBJECT_POSE, PROMPTS, RELATIVE_DEPTH
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
        WRITTEN[path] = None
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
    marks = bag.topic(PROMPTS, "std_msgs/msg/String")
    boxes = bag.topic(BOXES, "std_msgs/msg/String")
    first = round(float(evidence.time[0]) * 1e9) if len(evidence.time) else 0
    given = {"stamp": first, **evidence.provenance.get("prompts", {})}
    bag.write_message(marks, first, make("std_msgs/msg/String", data=json.dumps(given)))
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * k, datatype=7, count=1)
        for k, name in enumerate((*KEYPOINT_FIELDS, RELATIVE_DEPTH))
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
        known = {name: x[k].tolist() for name, x in evidence.boxes.items() if np.isfinite(x[k]).all()}
        bag.write_message(boxes, ns, make("std_msgs/msg/String", data=json.dumps({"stamp": ns, **known})))
        for side, topic in clouds.items():
            points = evidence.keypoints[side][k].astype("<f4")
            if np.isnan(points[:, 3]).all():
                continue
            if side in evidence.relative_depth:
                points = np.column_stack([points, evidence.relative_depth[side][k].astype("<f4")])
            size = 4 * points.shape[1]
            cloud = make(
                "sensor_msgs/msg/PointCloud2", header=header, height=1, width=len(points),
                fields=fields[: points.shape[1]], is_bigendian=False, point_step=size, row_step=size * len(points),
                data=points.view(np.uint8).ravel(), is_dense=False,
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
        wide = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance)
        bag.write_message(poses, ns, make("geometry_msgs/msg/PoseWithCovarianceStamped", header=header, pose=wide))


def read_evidence(path: Path) -> Evidence:
    """The Evidence that `write_evidence` wrote: what has no topic (hand meshes, notes) is missing. Raises
    FileFormatError for a bag without labels, or with JSON that is none."""
    size: tuple[int, ...] = ()
    stamps: list[int] = []
    images: list[np.ndarray] = []
    prompts: Any = {}
    rows: dict[str, dict[int, Any]] = {name: {} for name in ("boxes", "pose", *HAND_KEYPOINTS)}
    sides = {topic: side for side, topic in HAND_KEYPOINTS.items()}
    seen: set[str] = set()
    for topic, _, message in messages(path, {LABELS, PROMPTS, BOXES, OBJECT_POSE, *sides}):
        seen.add(topic)
        if topic == LABELS:
            size = message.height, message.width
            stamps.append(_ns(message.header.stamp))
            images.append(np.asarray(message.data, np.uint8).reshape(size))
        elif topic in (PROMPTS, BOXES):
            said = _said(path, topic, message.data)
            stamp = said.pop("stamp", 0)
            if topic == PROMPTS:
                prompts = said
            else:
                rows["boxes"][stamp] = said
        elif topic == OBJECT_POSE:
            p, q = message.pose.pose.position, message.pose.pose.orientation
            rows["pose"][_ns(message.header.stamp)] = [p.x, p.y, p.z, q.w, q.x, q.y, q.z]
        else:
            points = np.frombuffer(bytes(message.data), "<f4").reshape(-1, len(message.fields))
            rows[sides[topic]][_ns(message.header.stamp)] = points
    if not stamps:
        raise FileFormatError(f"{path} has no {LABELS}: it is not a bag of `dexhot perceive --bag`.")
    names = sorted({name for said in rows["boxes"].values() for name in said})
    nowhere = np.full(4, np.nan)
    boxes = {
        name: np.stack([np.array(rows["boxes"].get(ns, {}).get(name, nowhere)) for ns in stamps]) for name in names
    }
    keypoints, relative, known = {}, {}, len(KEYPOINT_FIELDS)
    for side in (side for topic, side in sides.items() if topic in seen):
        columns = max((points.shape[1] for points in rows[side].values()), default=known)
        unseen = np.full((21, columns), np.nan)
        points = np.stack([rows[side].get(ns, unseen) for ns in stamps]).astype(float)
        keypoints[side] = points[..., :known]
        if columns > known:
            relative[side] = points[..., known]
    pose = np.array([rows["pose"].get(ns, np.full(7, np.nan)) for ns in stamps])
    time = np.array(stamps) * 1e-9
    return Evidence(path.name, time, np.stack(images), boxes, keypoints, pose, {}, {"prompts": prompts}, relative)


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _said(path: Path, topic: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"{text[:40]!r} is not an object")
    except ValueError as e:
        raise FileFormatError(f"{path}: {topic} is not JSON: {e}.") from e
    return found
