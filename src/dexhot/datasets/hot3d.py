"""HOT3D sequences (Banerjee et al., CVPR 2025): two hands and objects, tracked by motion capture while a headset
records.

A sequence is a folder with metadata.json, umetrack_hand_user_profile.json, umetrack_hand_pose_trajectory.jsonl and
dynamic_objects.csv; object meshes (<uid>.glb, with instance.json for their names) lie in its folder objects/ or in the
object library. The world of the files has y up; ours has z up, the table's top at z = 0 and the object's first position
at x = y = 0.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.umetrack import THUMB_CMC, UmeTrackHand
from dexhot.errors import FileFormatError
from dexhot.geometry.poses import compose, lowest, make_pose

Z_UP = make_pose([0.0, 0.0, 0.0], [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])  # ours_T_theirs: 90 degrees about x
SIDES = {"0": "left", "1": "right"}
MOVES = 0.01  # m, below it an object counts as static


@dataclass
class Sequence:
    """One recording as stored in its files, in their world frame."""

    name: str
    stamps: np.ndarray  # (T,) ns
    hands: dict[str, dict[str, np.ndarray]]  # side -> "wrist" (T, 7), "angles" (T, 22), "confidence" (T,)
    objects: dict[str, np.ndarray]  # uid -> (T, 7)
    profile: Path


def read_sequence(folder: Path) -> Sequence:
    """Frames in which hands and objects are all tracked. A hand with untracked frames is omitted. Raises
    FileFormatError for a missing or damaged file, and if no hand is tracked throughout.
    """
    needed = ["umetrack_hand_user_profile.json", "umetrack_hand_pose_trajectory.jsonl", "dynamic_objects.csv"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise FileFormatError(f"{folder} is not a HOT3D sequence: it lacks {', '.join(missing)}.")
    frames = _read_hands(folder / needed[1])
    objects = _read_objects(folder / needed[2])
    stamps = np.array(sorted(set(frames).intersection(*objects.values())))
    seen = {side: sum(side in frames[t] for t in stamps) for side in SIDES.values()}
    sides = [side for side, count in seen.items() if count == len(stamps)]
    if len(stamps) < 2 or not sides:
        raise FileFormatError(f"{folder}: no hand is tracked throughout its {len(stamps)} frames (frames: {seen}).")
    hands = {
        side: {key: np.array([frames[t][side][key] for t in stamps]) for key in ("wrist", "angles", "confidence")}
        for side in sides
    }
    poses = {uid: np.array([track[t] for t in stamps]) for uid, track in objects.items()}
    name = str(_read_json(folder / "metadata.json").get("recording_name", folder.name))
    return Sequence(name, stamps, hands, poses, folder / needed[0])


def moved_objects(sequence: Sequence, library: Path) -> dict[str, str]:
    """uid -> name of the objects that move and have a mesh in `library`. Raises FileFormatError if there are none."""
    instances = _read_json(library / "instance.json")
    names = {uid: instances.get(uid, {}).get("instance_name", uid) for uid in sequence.objects}
    moving = {
        uid: name
        for uid, name in names.items()
        if np.linalg.norm(sequence.objects[uid][:, :3] - sequence.objects[uid][0, :3], axis=1).max() > MOVES
    }
    usable = {uid: name for uid, name in moving.items() if (library / f"{uid}.glb").is_file()}
    if not usable:
        raise FileFormatError(
            f"{sequence.name}: none of the moving objects ({', '.join(moving.values()) or 'none'}) has a mesh "
            f"in {library}; name the object library's folder with --objects DIR."
        )
    return usable


def trajectory(sequence: Sequence, uid: str, name: str, vertices: np.ndarray) -> HandObjectTrajectory:
    """The hands with one object, whose mesh vertices (V, 3) determine the table's height."""
    pose = compose(Z_UP, sequence.objects[uid])
    table = np.percentile(
        lowest(pose, vertices), 10
    )  # noise is about 1 mm; the object may be in the air most of the time
    to_ours = make_pose([-pose[0, 0], -pose[0, 1], -table], [1.0, 0.0, 0.0, 0.0])
    to_ours = compose(to_ours, Z_UP)
    model = UmeTrackHand(sequence.profile)
    hands = {}
    for side, track in sequence.hands.items():
        keypoints = model.keypoints(track["angles"], compose(to_ours, track["wrist"]), side)
        confidence = np.repeat(track["confidence"][:, None], 21, axis=1)
        confidence[:, THUMB_CMC] *= 0.5  # not a landmark of the model, but a point between two joints
        hands[side] = HandTrack(keypoints, wrist_pose(keypoints, side), confidence, "umetrack", track["angles"])
    return HandObjectTrajectory(
        name=f"hot3d/{sequence.name}_{name}",
        time=1e-9 * (sequence.stamps - sequence.stamps[0]),
        hands=hands,
        object_name=f"hot3d/{name}",
        object_pose=compose(to_ours, sequence.objects[uid]),
        provenance={"dataset": "HOT3D", "sequence": sequence.name, "object_uid": uid, "table_y_m": float(table)},
    )


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises FileFormatError."""
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as e:
        raise FileFormatError(f"{path}: {e}; download the file again.") from e
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} is not a JSON object; download the file again.")
    return found


def _read_hands(path: Path) -> dict[int, dict[str, dict[str, np.ndarray]]]:
    """stamp -> side -> wrist, angles, confidence."""
    frames: dict[int, dict[str, dict[str, np.ndarray]]] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            frame = json.loads(line)
            frames[int(frame["timestamp_ns"])] = {
                SIDES[key]: {
                    "wrist": np.array(hand["wrist_xform"]["t_xyz"] + hand["wrist_xform"]["q_wxyz"], float),
                    "angles": np.array(hand["joint_angles"], float),
                    "confidence": np.array(hand.get("hand_confidence", 1.0)),
                }
                for key, hand in frame["hand_poses"].items()
            }
        except (ValueError, KeyError, TypeError) as e:
            raise FileFormatError(f"{path}, line {number}: {type(e).__name__}: {e}; download the file again.") from e
    return frames


def _read_objects(path: Path) -> dict[str, dict[int, np.ndarray]]:
    """uid -> stamp -> pose (7,)."""
    objects: dict[str, dict[int, np.ndarray]] = {}
    with open(path, newline="") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if number == 1:
                continue
            try:
                uid, stamp, *pose = row
                objects.setdefault(uid, {})[int(stamp)] = np.array(pose, float).reshape(7)
            except ValueError as e:
                raise FileFormatError(f"{path}, line {number}: {e}; download the file again.") from e
    return objects
