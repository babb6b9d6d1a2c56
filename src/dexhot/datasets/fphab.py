"""F-PHAB (Garcia-Hernando et al., CVPR 2018) as published: first-person RGB-D of hands with objects.

Hand_pose_annotation_v1/SUBJECT/ACTION/N/skeleton.txt         t, then 63 numbers, mm in the depth camera's frame
(or ..._v1_1)                                                 wrist, five knuckles, three joints a finger
Object_6D_pose_annotation_v1/SUBJECT/ACTION/N/object_pose.txt  t, then 16 numbers, columns of the pose (mm)
Object_models/OBJECT_model/OBJECT_model.ply                    m; juice_bottle, liquid_soap, milk, salt
Video_files/SUBJECT/ACTION/N/color/color_0000.jpeg             1920x1080, from the colour camera
data_split_action_recognition.txt                              the 1:1 split: "Training 600", paths, "Test 575", paths

Right hands. Gravity is not given: a clip's world is the depth camera, turned so that the object,
which stands at the start, is upright. The camera is worn and moves a little in a clip, which is not corrected.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.gravity import resting_pose, ups, world_from
from dexhot.datasets.hand_poses import PUBLISHED_ORDER, HandPoses, as_right
from dexhot.errors import ClipError, FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, lowest, matrix_to_pose, transform

NAME, COLLECTION = "F-PHAB", "fphab"
RATE = 30.0  # Hz
HANDS, OBJECTS = ("Hand_pose_annotation_v1_1", "Hand_pose_annotation_v1"), "Object_6D_pose_annotation_v1"
SPLIT, SPLITS = "data_split_action_recognition.txt", {"Training": "train", "Test": "test"}
MODELS = ("juice_bottle", "liquid_soap", "milk", "salt")
IGNORED = ("Subject_2/close_milk/4", "Subject_2/put_tea_bag/2", "Subject_4/flip_sponge/2")  # by the authors
CAMERA_UP = np.array([0.0, -1.0, 0.0])  # of a camera that a person wears, roughly
STANDING = 0.9  # of the height in the tallest resting pose
COLOUR = Intrinsics(1920, 1080, 1395.749023, 1395.749268, 935.732544, 540.681030)
COLOUR_T_DEPTH = matrix_to_pose(  # m
    np.array(
        [
            [0.999988496304, -0.00468848412856, 0.000982563360594, 0.0257],
            [0.00469115935266, 0.999985218048, -0.00273845880292, 0.00122],
            [-0.000969709653873, 0.00274303671904, 0.99999576807, 0.003902],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
)
TERMS = """\
F-PHAB (Garcia-Hernando et al., CVPR 2018, https://github.com/guiggh/hand_pose_action) is for academic research only,
not for commercial use; it may not be passed on or modified, and its paper must be cited. You request and download it
yourself; dexhot reads your copy."""


@dataclass(frozen=True)
class FphabSequence:
    """One repetition of an action, in the depth camera's frame."""

    name: str  # "Subject_1/pour_juice_bottle/1"
    split: str  # "train", "test", "" where the list has it not
    object: str  # of MODELS
    time: np.ndarray  # (T,) s
    keypoints: np.ndarray  # (T, 21, 3) m, MediaPipe's order
    object_pose: np.ndarray  # (T, 7)


def read_split(folder: Path) -> dict[str, str]:
    """SUBJECT/ACTION/N -> "train" or "test", of the paper's 1:1 split. Raises FileFormatError."""
    path = folder / SPLIT
    if not path.is_file():
        raise FileFormatError(f"{folder} is not F-PHAB as published: it needs {SPLIT}.")
    found: dict[str, str] = {}
    part = ""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        first, *_ = [*line.split(), ""]
        if first in SPLITS:
            part = SPLITS[first]
        elif first:
            if not part or first.count("/") != 2:
                raise FileFormatError(f"{path}, line {number}: {line!r} is not SUBJECT/ACTION/N and its class.")
            found[first] = part
    return found


def skeleton_files(folder: Path) -> dict[str, Path]:
    """SUBJECT/ACTION/N -> its skeleton.txt, without the ignored ones. Raises FileFormatError for another folder."""
    for root in HANDS:
        found = sorted((folder / root).glob("Subject_*/*/*/skeleton.txt"))
        if found:
            names = {"/".join(path.parent.parts[-3:]): path for path in found}
            return {name: path for name, path in names.items() if name not in IGNORED}
    raise FileFormatError(f"{folder} is not F-PHAB as published: it needs {HANDS[1]}/Subject_1/ACTION/1/skeleton.txt.")


def fphab_poses(folder: Path, every: int = 1) -> HandPoses:
    """All hand poses in the colour camera's frame, every `every`-th of each sequence, with the pictures if they are
    there. Raises FileFormatError."""
    points, images = [], []
    for name, path in skeleton_files(folder).items():
        frames, rows = _skeleton(path)
        points.append(transform(COLOUR_T_DEPTH, rows[::every]))
        place = folder / "Video_files" / name / "color"
        images += [place / f"color_{t:04d}.jpeg" for t in frames[::every]]
    there = all(image.is_file() for image in images)
    return as_right(HandPoses(COLLECTION, np.concatenate(points), True, tuple(images) if there else (), COLOUR))


def object_sequences(folder: Path) -> list[str]:
    """Names of those with object poses, of an object that has a mesh."""
    there = skeleton_files(folder)
    found = sorted((folder / OBJECTS).glob("Subject_*/*/*/object_pose.txt"))
    names = ["/".join(path.parent.parts[-3:]) for path in found]
    return [name for name in names if name in there and object_of(name)]


def object_of(name: str) -> str:
    """The object in an action's name, "" for one without a mesh: Subject_1/pour_juice_bottle/1 -> juice_bottle."""
    return next((model for model in MODELS if model in name.split("/")[1]), "")


def mesh_file(folder: Path, name: str) -> Path:
    """Raises FileFormatError."""
    path = folder / "Object_models" / f"{name}_model" / f"{name}_model.ply"
    if not path.is_file():
        raise FileFormatError(f"{path} is missing: unpack F-PHAB's object models.")
    return path


def read_sequence(folder: Path, name: str) -> FphabSequence:
    """The frames that have both poses. Raises FileFormatError."""
    frames, points = _skeleton(skeleton_files(folder)[name])
    path = folder / OBJECTS / name / "object_pose.txt"
    rows = _rows(path, 17)
    matrices = rows[:, 1:].reshape(-1, 4, 4).transpose(0, 2, 1).copy()  # the file has columns
    matrices[:, :3, 3] *= 1e-3
    of_object = {int(t): matrix for t, matrix in zip(rows[:, 0], matrices)}
    both = [k for k, t in enumerate(frames) if int(t) in of_object]
    if len(both) < 2:
        raise FileFormatError(f"{path} and the hand's file share {len(both)} frames; two are needed.")
    poses = np.stack([matrix_to_pose(of_object[int(frames[k])]) for k in both])
    split = read_split(folder).get(name, "")
    return FphabSequence(name, split, object_of(name), frames[both] / RATE, points[both], poses)


def trajectory(sequence: FphabSequence, resting_poses: np.ndarray, vertices: np.ndarray) -> HandObjectTrajectory:
    """The clip, z up, with the object's first place on the table's top at z = 0.

    resting_poses (P, 7) and vertices (V, 3) m: the object's. Raises ClipError where it does not stand at the start.
    """
    rest = resting_pose(sequence.object_pose)
    if rest is None:
        raise ClipError(f"{sequence.name}: the object moves from the start, so the vertical is not known.")
    up = _standing_up(ups(rest, resting_poses), resting_poses, vertices)
    if up is None:
        raise ClipError(f"{sequence.name}: the object has no resting pose in which it stands upright in the picture.")
    world = world_from(up, rest[:3])
    pose = compose(world, sequence.object_pose)
    pose[:, 2] -= (drop := float(lowest(pose[0], vertices)))
    keypoints = transform(world, sequence.keypoints) - [0.0, 0.0, drop]
    track = HandTrack(keypoints, wrist_pose(keypoints, "right"), np.ones(keypoints.shape[:2]))
    made = {"dataset": NAME, "file": sequence.name, "split": sequence.split}
    name = f"{COLLECTION}/{sequence.name.replace('/', '-')}"
    time = sequence.time - sequence.time[0]
    return HandObjectTrajectory(name, time, {"right": track}, f"{COLLECTION}/{sequence.object}", pose, provenance=made)


def _standing_up(candidates: np.ndarray, resting_poses: np.ndarray, vertices: np.ndarray) -> np.ndarray | None:
    """Of directions (P, 3) the one in which the object stands, which bottles and cartons do, upward in the picture."""
    if not len(candidates):
        return None
    heights = np.ptp(transform(resting_poses[:, None], vertices)[..., 2], axis=1)
    standing = candidates[heights > STANDING * heights.max()]
    best: np.ndarray = standing[int(np.argmax(standing @ CAMERA_UP))]
    return best if best @ CAMERA_UP > 0.0 else None


def _skeleton(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers (T,) and keypoints (T, 21, 3) m."""
    rows = _rows(path, 64)
    points: np.ndarray = 1e-3 * rows[:, 1:].reshape(-1, 21, 3)[:, PUBLISHED_ORDER]
    return rows[:, 0].astype(int), points


def _rows(path: Path, width: int) -> np.ndarray:
    rows: list[list[float]] = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            rows.append([float(x) for x in line.split()])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != width or not np.isfinite(rows[-1]).all():
            raise FileFormatError(f"{path}, line {number}: expected {width} numbers; download it again.")
    if not rows:
        raise FileFormatError(f"{path} is empty; download it again.")
    return np.array(rows)


def _lines(path: Path) -> Iterable[str]:
    if not path.is_file():
        raise FileFormatError(f"{path} is missing: the copy of F-PHAB is not whole.")
    return [line for line in path.read_text().splitlines() if line.strip()]
