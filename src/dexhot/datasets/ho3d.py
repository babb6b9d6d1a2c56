"""HO-3D v2 and v3 (Hampali et al., CVPR 2020) as published: right hands with YCB objects, RGB-D, in camera frames.

train/SEQ/, evaluation/SEQ/   rgb/0000.png (v2) or .jpg (v3), depth/0000.png, meta/0000.pkl; seg/0000.jpg or .png where
                              HO3D_*_segmentations_rendered was unpacked there (train only)
train.txt, evaluation.txt     SEQ/0000 per line, in the order of a submission

meta: camMat, objName, objRot, objTrans, handJoints3D (21 joints of MANO, or the wrist alone in evaluation), handPose,
handTrans, handBeta, handBoundingBox. They are in OpenGL's camera frame (y up, z backward); here in the optical frame.
Depth is in two channels, in units of DEPTH_UNIT. Gravity is not given: the world is the camera.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.data.files import replacing
from dexhot.data.keypoints import wrist_pose
from dexhot.data.labels import LABELS, label_boxes
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence, HandObjectTrajectory, HandTrack
from dexhot.datasets.labelled import LabelledClip, keypoint_rows, read_color
from dexhot.datasets.mano_motion import ManoMotion
from dexhot.datasets.ycb import COLLECTION
from dexhot.errors import ClipError, FileFormatError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, make_pose
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.humans.mano import mano
from dexhot.humans.model_files import mano_file
from dexhot.humans.safe_pickle import read_pickle
from dexhot.humans.skin import KEYPOINT_ORDER

NAME = "HO-3D"
DEPTH_UNIT = 0.00012498664727900177  # m
RATE = 30.0  # Hz; the files have no stamps
FLIP = np.array([1.0, -1.0, -1.0])  # OpenGL's camera frame -> the optical frame
FLIP_POSE = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0])  # the same as a pose: half a turn about x
FRAMES = {"v2": 11524, "v3": 20137}  # of evaluation.txt
TERMS = """\
HO-3D (Hampali et al., CVPR 2020, https://github.com/shreyashampali/ho3d) is for academic research only, not for
commercial use; it may not be passed on, and its paper must be cited. You download it yourself; dexhot reads your
copy."""


@dataclass
class FrameMeta:
    """One frame's pickle, in the optical frame."""

    camera: np.ndarray  # (3, 3)
    object_name: str
    object_pose: np.ndarray  # (7,), NaN without annotation
    joints: np.ndarray  # (21, 3) m in MediaPipe's order; NaN but for the wrist in the evaluation split
    hand: np.ndarray  # (51 + 10,) MANO's parameters and shape in OpenGL's frame, NaN without
    box: np.ndarray  # (4,) px of the hand, NaN without


def listed(folder: Path, split: str) -> list[str]:
    """ "SEQ/0000" per frame of "train" or "evaluation", in the published order. Raises FileFormatError."""
    path = folder / f"{split}.txt"
    if not path.is_file():
        raise FileFormatError(f"{folder} is not HO-3D: it lacks {path.name}.")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def version_of(folder: Path) -> str | None:
    """ "v2" or "v3", by the number of frames to evaluate; None for another number. Raises FileFormatError."""
    count = len(listed(folder, "evaluation"))
    return next((version for version, frames in FRAMES.items() if count == frames), None)


def sequences(folder: Path, split: str) -> dict[str, list[str]]:
    """Sequence -> its frames' names, in the published order."""
    found: dict[str, list[str]] = {}
    for line in listed(folder, split):
        sequence, _, frame = line.partition("/")
        found.setdefault(sequence, []).append(frame)
    return found


def read_meta(path: Path) -> FrameMeta:
    """Raises FileFormatError for a damaged or hostile file."""
    raw = read_pickle(path)
    try:
        pose = np.full(7, np.nan)
        if raw.get("objRot") is not None:
            turned = np.asarray(raw["objRot"], float).reshape(3)
            pose = make_pose(np.asarray(raw["objTrans"], float).reshape(3), rotvec_to_quat(turned))
            pose = compose(FLIP_POSE, pose)
        joints = np.full((21, 3), np.nan)
        if raw.get("handJoints3D") is not None:
            given = np.asarray(raw["handJoints3D"], float).reshape(-1, 3) * FLIP
            if len(given) == 21:
                joints = given[list(KEYPOINT_ORDER)]
            else:
                joints[0] = given[0]
        hand = np.full(61, np.nan)
        if raw.get("handPose") is not None:
            turned = np.asarray(raw["handPose"], float).reshape(48)
            hand = np.concatenate(
                [turned[:3], np.asarray(raw["handTrans"], float).reshape(3), turned[3:],
                 np.asarray(raw["handBeta"], float).reshape(10)]
            )  # fmt: skip
        box = np.full(4, np.nan) if raw.get("handBoundingBox") is None else np.array(raw["handBoundingBox"], float)
        return FrameMeta(np.asarray(raw["camMat"], float).reshape(3, 3), str(raw["objName"]), pose, joints, hand, box)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise FileFormatError(f"{path}: {type(e).__name__}: {e}; download it again.") from e


def labelled_clip(
    folder: Path, split: str, sequence: str, names: Sequence[str] | None = None, stride: int = 1
) -> LabelledClip:
    """Frames `names` (default: those of the split's list) of a sequence, every `stride`-th, with their truth.

    The truth is None where a frame's hand is withheld (the evaluation split). Raises FileFormatError, NotFoundError.
    """
    known_sequences = sequences(folder, split)
    if sequence not in known_sequences:
        raise NotFoundError(f"sequence of HO-3D's {split} split", sequence, known_sequences)
    chosen = list(names if names is not None else known_sequences[sequence])[::stride]
    place = folder / split / sequence
    metas = [read_meta(place / "meta" / f"{name}.pkl") for name in chosen]
    color = np.stack([_color(place, name) for name in chosen])
    depth = np.stack([_depth(place / "depth" / f"{name}.png") for name in chosen])
    time = np.array([int(name) for name in chosen]) / RATE
    camera = Intrinsics.from_matrix(color.shape[2], color.shape[1], metas[0].camera)
    name, what = f"ho3d/{sequence}", f"{COLLECTION}/{metas[0].object_name}"
    pose, joints = np.stack([m.object_pose for m in metas]), np.stack([m.joints for m in metas])
    labels = np.stack([_segments(place, frame, color.shape[1:3]) for frame in chosen])
    boxes = label_boxes(labels, ("object", "right"))
    given = np.stack([m.box for m in metas])
    boxes["right"] = np.where(np.isfinite(given), given, boxes["right"])
    made = {"dataset": NAME, "split": split, "sequence": sequence}
    known = np.isfinite(joints).all(axis=(1, 2))
    meshes = {}
    motion = hand_motion(metas)
    if motion is not None:
        meshes["right"] = motion.points(vertices=True)
    evidence = Evidence(
        name, time, labels, boxes, {"right": keypoint_rows(joints, camera, known)}, pose, meshes,
        made | {"level": "truth", "convention": "mano", "object": what},
    )  # fmt: skip
    recording = Recording(name, time, color, depth, camera, None, made)
    recording.validate()
    truth = None
    if known.all() and np.isfinite(pose).all() and len(known) >= 2:
        hand = HandTrack(joints, wrist_pose(joints, "right"), np.ones(joints.shape[:2]))
        truth = HandObjectTrajectory(name, time, {"right": hand}, what, pose, provenance=made)
    frames = [f"{sequence}/{frame}" for frame in chosen]
    return LabelledClip(recording, evidence, truth, frames, joints[:, 0])


def hand_motion(metas: Sequence[FrameMeta]) -> ManoMotion | None:
    """MANO's motion in the optical frame; None without a MANO file or where a frame has no parameters."""
    rows = np.stack([m.hand for m in metas])
    if not np.isfinite(rows).all() or not mano_file("right").is_file():
        return None
    return ManoMotion(mano("right"), rows[0, 51:], rows[:, :51]).seen_from(FLIP_POSE)


def write_submission(
    path: Path, expected: Sequence[str], joints: dict[str, np.ndarray], vertices: dict[str, np.ndarray]
) -> Path:
    """The zip that the HO-3D challenge takes: pred.json with joints (21, 3) and vertices (V, 3) of every frame.

    `expected`: the frames of evaluation.txt in order; `joints` and `vertices` by frame, m in the optical frame, joints
    in MediaPipe's order. They are written in MANO's order and OpenGL's frame. Raises ClipError naming missing frames.
    """
    missing = [frame for frame in expected if frame not in joints or frame not in vertices]
    if missing:
        raise ClipError(
            f"{len(missing)} of the {len(expected)} frames of evaluation.txt have no result, the first is "
            f"{missing[0]}; a submission needs all of them."
        )
    order = np.argsort(KEYPOINT_ORDER)
    rows = [
        [(joints[frame][order] * FLIP).round(4).tolist() for frame in expected],
        [(vertices[frame] * FLIP).round(4).tolist() for frame in expected],
    ]
    if all(np.array(frame)[:, 2].max() > 0 for frame in rows[0]):
        raise ClipError("the joints are behind the camera; they must be given in the optical frame, z forward.")
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pred.json", json.dumps(rows))
    return path


def _color(place: Path, name: str) -> np.ndarray:
    png, jpg = (place / "rgb" / f"{name}.{suffix}" for suffix in ("png", "jpg"))
    return read_color(png if png.is_file() else jpg)


def _depth(path: Path) -> np.ndarray:
    """(H, W) uint16 mm from the two channels."""
    pixels = read_color(path).astype(np.uint32)
    millimetres: np.ndarray = np.round((pixels[..., 0] + 256 * pixels[..., 1]) * (1e3 * DEPTH_UNIT)).astype(np.uint16)
    return millimetres


def _segments(place: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W) labels of a rendered segmentation of a quarter of the size: the hand blue, the object green; 0 without."""
    labels = np.zeros(size, np.uint8)
    found = [p for suffix in ("png", "jpg") if (p := place / "seg" / f"{name}.{suffix}").is_file()]
    if found:
        small = read_color(found[0])
        rows, columns = ((np.arange(n) * m) // n for n, m in zip(size, small.shape[:2]))
        seen = small[rows[:, None], columns[None]]
        labels[seen[..., 2] > 127] = LABELS["right"]
        labels[(seen[..., 1] > 127) & (seen[..., 2] <= 127)] = LABELS["object"]
    return labels
