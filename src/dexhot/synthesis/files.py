"""Rendered clips on disk: a folder with a bag like a RealSense's, the truth beside it, and what detectors would see.

bag/                colour, depth, camera infos and /tf_static: world -> camera
truth.npz           HandObjectTrajectory, in the world
truth_evidence.npz  Evidence without errors: labels, keypoints, poses, hand meshes
evidence.npz        Evidence with the errors of the clip's level
synth.json          how it was made; the file that identifies such a folder
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.bags import BagWriter, typestore
from dexhot.data.files import save, write_text
from dexhot.data.recording import Recording
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO, TF_STATIC
from dexhot.data.types import Evidence
from dexhot.geometry.rotations import to_xyzw
from dexhot.hardware.camera.codec import encode_color, encode_depth
from dexhot.hardware.camera.frames import OPTICAL_FRAME
from dexhot.scratch import make_scratch, remove_scratch
from dexhot.synthesis.clip import Truth

MADE = "synth.json"
EPOCH = 1_700_000_000  # s, stamp of a bag's first frame: always the same, so that equal seeds give equal bags


def write_clip(folder: Path, recording: Recording, evidence: Evidence, truth: Truth, settings: dict[str, Any]) -> Path:
    """Write all files to a temporary folder, then rename it to `folder`, which must not exist."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = make_scratch(folder.parent)
    try:
        inner = scratch / folder.name
        inner.mkdir()
        write_bag(inner / "bag", recording)
        save(truth.trajectory, inner / "truth.npz")
        for found, name in ((truth.evidence, "truth_evidence.npz"), (evidence, "evidence.npz")):
            save(replace(found, time=EPOCH + found.time), inner / name)  # stamps as in the bag
        made = {"schema": "dexhot/synth", "settings": settings, "provenance": recording.provenance}
        write_text(inner / MADE, json.dumps(made, indent=1, default=str))
        os.rename(inner, folder)
    finally:
        remove_scratch(scratch)
    return folder


def settings_of(folder: Path) -> dict[str, Any] | None:
    """What a complete clip's folder was made with; None for any other folder."""
    try:
        found = json.loads((folder / MADE).read_text())
        return dict(found["settings"]) if found["schema"] == "dexhot/synth" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_bag(path: Path, recording: Recording) -> Path:
    """A bag as `dexhot capture` records it: compressed images under realsense-ros's names."""
    with BagWriter(path) as bag:
        color = bag.topic(f"{COLOR}/compressed", "sensor_msgs/msg/CompressedImage")
        depth = bag.topic(f"{DEPTH}/compressedDepth", "sensor_msgs/msg/CompressedImage")
        infos = [bag.topic(topic, "sensor_msgs/msg/CameraInfo") for topic in (COLOR_INFO, DEPTH_INFO)]
        if recording.world_T_camera is not None:
            tf = bag.topic(TF_STATIC, "tf2_msgs/msg/TFMessage")
            bag.write_message(tf, _ns(recording.time[0]), _static(recording))
        for t, time in enumerate(recording.time):
            at = _ns(time)
            header = _header(at, OPTICAL_FRAME)
            bag.write_message(
                color, at, _packed(header, "rgb8; jpeg compressed bgr8", encode_color(recording.color[t]))
            )
            bag.write_message(
                depth, at, _packed(header, "16UC1; compressedDepth png", encode_depth(recording.depth[t]))
            )
            for topic in infos:
                bag.write_message(topic, at, _info(header, recording))
    return path


def _ns(time: float) -> int:
    return EPOCH * 1_000_000_000 + round(float(time) * 1e9)


def _message(kind: str, *values: Any) -> Any:
    return typestore().types[kind](*values)


def _header(at: int, frame: str) -> Any:
    stamp = _message("builtin_interfaces/msg/Time", at // 1_000_000_000, at % 1_000_000_000)
    return _message("std_msgs/msg/Header", stamp, frame)


def _packed(header: Any, form: str, data: bytes) -> Any:
    return _message("sensor_msgs/msg/CompressedImage", header, form, np.frombuffer(data, np.uint8))


def _info(header: Any, recording: Recording) -> Any:
    i = recording.intrinsics
    k, p = i.matrix.ravel(), i.projection.ravel()
    all_ = _message("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
    kind = "sensor_msgs/msg/CameraInfo"
    return _message(kind, header, i.height, i.width, "plumb_bob", np.array(i.d), k, np.eye(3).ravel(), p, 0, 0, all_)


def _static(recording: Recording) -> Any:
    assert recording.world_T_camera is not None
    x, y, z = map(float, recording.world_T_camera[:3])
    place = _message("geometry_msgs/msg/Vector3", x, y, z)
    turn = _message("geometry_msgs/msg/Quaternion", *map(float, to_xyzw(recording.world_T_camera[3:])))
    transform = _message("geometry_msgs/msg/Transform", place, turn)
    header = _header(_ns(recording.time[0]), "world")
    link = _message("geometry_msgs/msg/TransformStamped", header, OPTICAL_FRAME, transform)
    return _message("tf2_msgs/msg/TFMessage", [link])
