"""Depth-to-colour extrinsics, as stored in recordings: color_T_depth as rotation and translation.

librealsense    /device_0/sensor_N/.../tf/... of both streams: each maps a common reference frame to its sensor
realsense-ros   <namespace>/extrinsics/depth_to_color (realsense2_camera_msgs/Extrinsics)
any driver      /tf_static, between the frames of the images' headers
"""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.topics import TF_STATIC
from dexhot.errors import FileFormatError

Extrinsics = tuple[np.ndarray, np.ndarray]  # rotation (3, 3), translation (3,) m


def of_librealsense(bag: Path, depth: str, color: str) -> Extrinsics:
    """color_T_depth of two streams, named /device_0/sensor_N/Color_0. Raises FileFormatError."""
    (turn_d, shift_d), (turn_c, shift_c) = (_sensor(bag, stream) for stream in (depth, color))
    turn = turn_c @ turn_d.T
    return turn, shift_c - turn @ shift_d


def of_driver(bag: Path, prefix: str, depth_frame: str, color_frame: str) -> Extrinsics | None:
    """color_T_depth of a camera under the namespace `prefix`, from its extrinsics or /tf_static; None: not recorded."""
    there = set(bags.topics(bag))
    if (topic := f"{prefix}/extrinsics/depth_to_color") in there:
        for _, _, message in bags.messages(bag, {topic}):
            return _rotation(message.rotation), np.array(message.translation, float)
    if TF_STATIC not in there:
        return None
    found = _chain(bag, color_frame, depth_frame)
    return None if found is None else (found[:3, :3], found[:3, 3])


def static_transform(bag: Path, parent: str, image_topic: str) -> np.ndarray | None:
    """parent_T_camera (7,) of the frame of `image_topic`'s images, by /tf_static; None if it does not connect them."""
    from dexhot.geometry.poses import matrix_to_pose

    if TF_STATIC not in bags.topics(bag):
        return None
    frame = next((str(message.header.frame_id) for _, _, message in bags.messages(bag, {image_topic})), "")
    found = _chain(bag, parent, frame)
    return None if found is None else matrix_to_pose(found)


def entries(text: str) -> dict[str, str]:
    """librealsense's "name=value;name=value"."""
    return dict(entry.split("=", 1) for entry in text.split(";") if "=" in entry)


def _sensor(bag: Path, stream: str) -> Extrinsics:
    prefix = f"{stream}/tf/"
    names = {name for name in bags.topics(bag) if name.startswith(prefix)}
    for _, _, message in bags.messages(bag, names) if names else ():
        found = entries(message.data)
        rotation, translation = (np.array([float(x) for x in found[n].split(",")]) for n in ("rotation", "translation"))
        return _rotation(rotation), translation
    raise FileFormatError(f"{bag} has no {prefix}..., so its depth cannot be aligned to colour.")


def _rotation(values: Any) -> np.ndarray:
    """(3, 3) from librealsense's nine values in column-major order."""
    return np.array(values, float).reshape(3, 3).T


def _chain(bag: Path, target: str, source: str) -> np.ndarray | None:
    """target_T_source (4, 4) through the static transforms; None if they do not connect the two frames."""
    from dexhot.geometry.poses import pose_to_matrix  # SciPy, which a graph is described without

    links: dict[str, dict[str, np.ndarray]] = {}
    for _, _, message in bags.messages(bag, {TF_STATIC}):
        for t in message.transforms:
            p, q = t.transform.translation, t.transform.rotation
            parent_T_child = pose_to_matrix([p.x, p.y, p.z, q.w, q.x, q.y, q.z])
            links.setdefault(t.header.frame_id, {})[t.child_frame_id] = parent_T_child
            links.setdefault(t.child_frame_id, {})[t.header.frame_id] = np.linalg.inv(parent_T_child)
    reached = {target: np.eye(4)} if target in links else {}
    waiting = deque(reached)
    while waiting:
        frame = waiting.popleft()
        for other, frame_T_other in links[frame].items():
            if other not in reached:
                reached[other] = reached[frame] @ frame_T_other
                waiting.append(other)
    return reached.get(source)
