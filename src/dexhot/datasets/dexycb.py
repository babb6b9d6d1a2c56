"""DexYCB (Chao et al., CVPR 2021) as published: 1,000 grasps of 20 YCB objects, seen by eight RealSense cameras.

SUBJECT/SEQUENCE/meta.yml         ycb_ids, ycb_grasp_ind, mano_sides, mano_calib, extrinsics, serials, num_frames
SUBJECT/SEQUENCE/pose.npz         pose_y (T, N, 7): quaternion x y z w, position; pose_m (T, 1, 51): PCA, position
SUBJECT/SEQUENCE/SERIAL/          color_000000.jpg, aligned_depth_to_color_000000.png (mm), labels_000000.npz
calibration/intrinsics/SERIAL_640x480.yml, calibration/extrinsics_*/extrinsics.yml, calibration/mano_*/mano.yml
models/OBJECT/textured_simple.obj

Poses of pose.npz are in the frame of the master camera, those of the labels in their own camera's. Here the world is
z up as the AprilTag on the table says, the table's top at z = 0, the grasped object's first position at x = y = 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dexhot.data.keypoints import wrist_pose
from dexhot.data.labels import LABELS, label_boxes
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence, HandObjectTrajectory, HandTrack
from dexhot.datasets.gravity import world_from
from dexhot.datasets.labelled import (
    LabelledClip,
    keypoint_rows,
    read_color,
    read_depth,
)
from dexhot.datasets.mano_motion import ManoMotion
from dexhot.datasets.ycb import COLLECTION
from dexhot.errors import ClipError, FileFormatError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, inverse, lowest, make_pose, matrix_to_pose, transform
from dexhot.geometry.rotations import from_xyzw, quat_rotate
from dexhot.humans.mano import mano, mano_pca
from dexhot.humans.model_files import mano_file

NAME, LICENCE = "DexYCB", "CC BY-NC 4.0"
RATE = 30.0  # Hz
SUBJECTS = (
    "20200709-subject-01", "20200813-subject-02", "20200820-subject-03", "20200903-subject-04", "20200908-subject-05",
    "20200918-subject-06", "20200928-subject-07", "20201002-subject-08", "20201015-subject-09", "20201022-subject-10",
)  # fmt: skip
SERIALS = (
    "836212060125", "839512060362", "840412060917", "841412060263", "932122060857", "932122060861", "932122061900",
    "932122062010",
)  # fmt: skip
OBJECTS = {
    1: "002_master_chef_can", 2: "003_cracker_box", 3: "004_sugar_box", 4: "005_tomato_soup_can",
    5: "006_mustard_bottle", 6: "007_tuna_fish_can", 7: "008_pudding_box", 8: "009_gelatin_box",
    9: "010_potted_meat_can", 10: "011_banana", 11: "019_pitcher_base", 12: "021_bleach_cleanser", 13: "024_bowl",
    14: "025_mug", 15: "035_power_drill", 16: "036_wood_block", 17: "037_scissors", 18: "040_large_marker",
    19: "051_large_clamp", 20: "052_extra_large_clamp", 21: "061_foam_brick",
}  # fmt: skip
SEQUENCES = 100  # of a subject, in the order of their names: five of each object
HAND_LABEL = 255
TERMS = """\
DexYCB (Chao et al., CVPR 2021, https://dex-ycb.github.io) is under CC BY-NC 4.0: not for commercial use, and its paper
must be cited. Its object models are the YCB objects' (CC BY 4.0). You download it yourself; dexhot reads your copy."""


@dataclass(frozen=True)
class DexYcbSequence:
    """What its meta.yml says, and where its cameras stood."""

    name: str  # "20200709-subject-01/20200709_141754"
    folder: Path
    side: str
    objects: list[str]
    grasped: int  # index into objects
    frames: int
    serials: list[str]
    shape: np.ndarray  # (10,) MANO's
    master_T_camera: dict[str, np.ndarray]  # serial -> (7,)
    master_T_tag: np.ndarray  # (7,) the tag lies on the table

    @property
    def object_name(self) -> str:
        """Of the grasped one, in the library."""
        return f"{COLLECTION}/{self.objects[self.grasped]}"

    @property
    def clip(self) -> str:
        """A name for a file."""
        return self.name.replace("/", "_")


@dataclass
class DexYcbMotion:
    """pose.npz in the world; frames without a hand have `known` False."""

    hand: ManoMotion | None  # None without a MANO file of that side
    keypoints: np.ndarray  # (T, 21, 3) m
    known: np.ndarray  # (T,)
    object_pose: np.ndarray  # (T, 7) world_T_mesh of the grasped object
    world_T_master: np.ndarray  # (7,)


def sequence_names(folder: Path) -> list[str]:
    """The sequences that were downloaded. Raises FileFormatError for a folder that is not DexYCB's."""
    found = sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in folder.glob("*-subject-*/*/meta.yml"))
    if not found or not (folder / "calibration").is_dir():
        raise FileFormatError(
            f"{folder} is not DexYCB: it needs calibration/ and SUBJECT/SEQUENCE/meta.yml, as {SUBJECTS[0]}/... ."
        )
    return found


def split_of(setup: str, split: str) -> Iterator[tuple[str, int, str]]:
    """(subject, number of the sequence, serial) of an official split: setup s0 to s3; train, val or test.

    Raises NotFoundError.
    """
    every, all_of = range(10), range(SEQUENCES)
    table: dict[str, dict[str, tuple[Any, Any, Any]]] = {
        "s0": {
            "train": (every, range(8), [i for i in all_of if i % 5 != 4]),
            "val": ((0, 1), range(8), range(4, SEQUENCES, 5)),
            "test": (range(2, 10), range(8), range(4, SEQUENCES, 5)),
        },
        "s1": {
            "train": ((0, 1, 2, 3, 4, 5, 9), range(8), all_of),
            "val": ((6,), range(8), all_of),
            "test": ((7, 8), range(8), all_of),
        },
        "s2": {"train": (every, range(6), all_of), "val": (every, (6,), all_of), "test": (every, (7,), all_of)},
        "s3": {
            "train": (every, range(8), [i for i in all_of if i // 5 not in (3, 7, 11, 15, 19)]),
            "val": (every, range(8), [i for i in all_of if i // 5 in (3, 19)]),
            "test": (every, range(8), [i for i in all_of if i // 5 in (7, 11, 15)]),
        },
    }
    if setup not in table:
        raise NotFoundError("setup of DexYCB", setup, table)
    if split not in table[setup]:
        raise NotFoundError(f"split of DexYCB's {setup}", split, table[setup])
    subjects, cameras, numbers = table[setup][split]
    for subject in subjects:
        for number in numbers:
            for camera in cameras:
                yield SUBJECTS[subject], number, SERIALS[camera]


def numbered(folder: Path, subject: str) -> list[str]:
    """The sequences of a subject in the order that the splits count; the number is known only where all are there."""
    return sorted(p.parent.name for p in (folder / subject).glob("*/meta.yml"))


def read_sequence(folder: Path, name: str) -> DexYcbSequence:
    """Raises FileFormatError naming the file and what is wrong with it."""
    path = folder / name
    meta = _yaml(path / "meta.yml")
    try:
        ids = [int(k) for k in meta["ycb_ids"]]
        shape = np.array(_yaml(folder / "calibration" / f"mano_{meta['mano_calib'][0]}" / "mano.yml")["betas"], float)
        placed = _yaml(folder / "calibration" / f"extrinsics_{meta['extrinsics']}" / "extrinsics.yml")["extrinsics"]
        poses = {key: _pose(rows) for key, rows in placed.items()}
        tag = poses.pop("apriltag")
        return DexYcbSequence(
            name, path, str(meta["mano_sides"][0]), [OBJECTS[k] for k in ids], int(meta["ycb_grasp_ind"]),
            int(meta["num_frames"]), [str(s) for s in meta["serials"]], shape, poses, tag,
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, ValueError) as e:
        raise FileFormatError(f"{path}/meta.yml or its calibration: {type(e).__name__}: {e}; download it again.") from e


def read_motion(sequence: DexYcbSequence, vertices: np.ndarray, joints_serial: str | None = None) -> DexYcbMotion:
    """The hand's and the grasped object's motion in the world. `vertices` (V, 3): of the object, for the table.

    Keypoints come from MANO where its file is there, else from the labels of the camera `joints_serial`, by default the
    first that was downloaded. Raises FileFormatError.
    """
    path = sequence.folder / "pose.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            objects, hands = file["pose_y"].astype(float), file["pose_m"].astype(float)[:, 0]
        pose = make_pose(objects[:, sequence.grasped, 4:], from_xyzw(objects[:, sequence.grasped, :4]))
    except (OSError, KeyError, IndexError, ValueError) as e:
        raise FileFormatError(f"{path}: {type(e).__name__}: {e}; download it again.") from e
    known = (hands != 0.0).any(axis=1)
    if not known.any():
        raise ClipError(f"{sequence.name}: no frame of pose.npz has a hand.")
    up = quat_rotate(sequence.master_T_tag[3:], np.array([0.0, 0.0, 1.0]))
    cameras = np.stack([placed[:3] for placed in sequence.master_T_camera.values()])
    if ((cameras - sequence.master_T_tag[:3]) @ up).mean() < 0.0:  # cameras look down at the table
        up = -up
    world = world_from(up, pose[0, :3])
    table = np.percentile(lowest(compose(world, pose), vertices), 10)
    world = world + np.array([0.0, 0.0, -table, 0.0, 0.0, 0.0, 0.0])
    hand = None
    if mano_file(sequence.side).is_file():
        mean, components = mano_pca(sequence.side)
        full = np.concatenate([hands[:, :3], hands[:, 48:51], mean + hands[:, 3:48] @ components], axis=1)
        hand = ManoMotion(mano(sequence.side), sequence.shape, full).seen_from(world)
        keypoints = hand.points()
    else:
        keypoints = _labelled_keypoints(sequence, joints_serial, known, world)
    return DexYcbMotion(hand, keypoints, known, compose(world, pose), world)


def trajectory(sequence: DexYcbSequence, motion: DexYcbMotion) -> HandObjectTrajectory:
    """From the first to the last frame with a hand."""
    seen = np.flatnonzero(motion.known)
    keypoints, model, parameters = motion.keypoints[seen], "", np.zeros((0, 0))
    if motion.hand is not None:
        shapes = np.tile(motion.hand.shape, (len(seen), 1))
        model, parameters = "mano", np.concatenate([motion.hand.parameters[seen], shapes], axis=1)
    track = HandTrack(keypoints, wrist_pose(keypoints, sequence.side), np.ones(keypoints.shape[:2]), model, parameters)
    return HandObjectTrajectory(
        f"dexycb/{sequence.clip}", seen / RATE, {sequence.side: track}, sequence.object_name, motion.object_pose[seen],
        provenance={"dataset": NAME, "sequence": sequence.name, "licence": LICENCE},
    )  # fmt: skip


def labelled_clip(sequence: DexYcbSequence, serial: str, vertices: np.ndarray, stride: int = 1) -> LabelledClip:
    """One camera's view with its truth, every `stride`-th frame. Raises FileFormatError, NotFoundError."""
    if serial not in sequence.serials:
        raise NotFoundError(f"camera of {sequence.name}", serial, sequence.serials)
    motion = read_motion(sequence, vertices, serial)
    frames = np.arange(0, sequence.frames, stride)
    camera = _intrinsics(sequence, serial)
    folder = sequence.folder / serial
    color = np.stack([read_color(folder / f"color_{t:06d}.jpg") for t in frames])
    depth = np.stack([read_depth(folder / f"aligned_depth_to_color_{t:06d}.png") for t in frames])
    raw = [_labels(folder / f"labels_{t:06d}.npz") for t in frames]
    segments = np.stack([one["seg"] for one in raw])
    grasped = next(k for k, name in OBJECTS.items() if name == sequence.objects[sequence.grasped])
    labels = np.zeros(segments.shape, np.uint8)
    labels[segments == grasped] = LABELS["object"]
    labels[segments == HAND_LABEL] = LABELS[sequence.side]
    joints = np.stack([one["joint_3d"][0] for one in raw]).astype(float)
    known = (joints != -1.0).any(axis=(1, 2))
    pose = np.stack([_mesh_pose(one["pose_y"][sequence.grasped]) for one in raw])
    world_T_camera = compose(motion.world_T_master, sequence.master_T_camera[serial])
    made = {"dataset": NAME, "sequence": sequence.name, "serial": serial, "licence": LICENCE}
    time = frames / RATE
    name = f"dexycb/{sequence.clip}_{serial}"
    meshes = {}
    if motion.hand is not None:
        seen = ManoMotion(motion.hand.hand, motion.hand.shape, motion.hand.parameters[frames])
        points = seen.seen_from(inverse(world_T_camera)).points(vertices=True)
        meshes[sequence.side] = np.where(motion.known[frames, None, None], points, np.nan)
    evidence = Evidence(
        name, time, labels, label_boxes(labels, ("object", sequence.side)),
        {sequence.side: keypoint_rows(joints, camera, known)}, pose, meshes,
        made | {"level": "truth", "convention": "mano", "object": sequence.object_name},
    )  # fmt: skip
    truth = None
    if known.sum() >= 2:
        points = transform(world_T_camera, np.where(known[:, None, None], joints, joints[known][0]))
        hand = HandTrack(points, wrist_pose(points, sequence.side), np.repeat(known[:, None], 21, 1).astype(float))
        truth = HandObjectTrajectory(
            name, time, {sequence.side: hand}, sequence.object_name, compose(world_T_camera, pose), provenance=made
        )
    recording = Recording(name, time, color, depth, camera, world_T_camera, made)
    recording.validate()
    return LabelledClip(recording, evidence, truth, [f"{sequence.name}/{serial}/{t:06d}" for t in frames])


def _labelled_keypoints(
    sequence: DexYcbSequence, serial: str | None, known: np.ndarray, world: np.ndarray
) -> np.ndarray:
    """Keypoints (T, 21, 3) of a camera's labels, in the world."""
    there = [s for s in sequence.serials if (sequence.folder / s / "labels_000000.npz").is_file()]
    serial = serial or (there[0] if there else None)
    if serial is None:
        raise FileFormatError(
            f"{sequence.name}: keypoints need MANO ({mano_file(sequence.side)}, `dexhot models`) or the labels of one "
            "camera; neither is there."
        )
    found = np.zeros((sequence.frames, 21, 3))
    for t in np.flatnonzero(known):
        found[t] = _labels(sequence.folder / serial / f"labels_{t:06d}.npz")["joint_3d"][0]
        known[t] = (found[t] != -1.0).any()
    return transform(compose(world, sequence.master_T_camera[serial]), found)


def _intrinsics(sequence: DexYcbSequence, serial: str) -> Intrinsics:
    path = sequence.folder.parents[1] / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
    try:
        found = _yaml(path)["color"]
        fx, fy, cx, cy = (float(found[key]) for key in ("fx", "fy", "ppx", "ppy"))
        return Intrinsics(640, 480, fx, fy, cx, cy)
    except (KeyError, TypeError, ValueError) as e:
        raise FileFormatError(f"{path}: {type(e).__name__}: {e}; download the calibration again.") from e


def _labels(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in ("seg", "pose_y", "joint_3d")}
    except (OSError, KeyError, ValueError) as e:
        raise FileFormatError(f"{path}: {type(e).__name__}: {e}; download it again.") from e


def _mesh_pose(rows: np.ndarray) -> np.ndarray:
    """(3, 4) -> (7,)."""
    return matrix_to_pose(np.vstack([rows.astype(float), [0.0, 0.0, 0.0, 1.0]]))


def _pose(rows: Any) -> np.ndarray:
    return _mesh_pose(np.array(rows, float).reshape(3, 4))


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as e:
        raise FileFormatError(f"{path}: {e}; download it again.") from e
