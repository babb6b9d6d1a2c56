"""TACO (Liu et al., CVPR 2024), version 1 as published: a tool in the right hand acts on a target in the left one.

Hand_Poses/TRIPLET/SEQUENCE/right_hand.pkl, right_hand_shape.pkl    MANO: hand_pose (48,) with a flat mean, hand_trans
                                                                     (3,) m of the wrist, by frame; hand_shape (10,)
Object_Poses/TRIPLET/SEQUENCE/tool_ID.npy, target_ID.npy            (T, 4, 4) m
Object_Models/ID_cm.obj                                              in centimetres
SPLITS                                                               SEQUENCE,GROUP per line, of TACO-Instructions

Only the right hand and the tool are imported, as DexTrack does. z is up; the table's top is at z = 0 here.

DexTrack's appendix C: initial frames often penetrate table or object, so the first 60 are replaced by the hand of the
first 60 frames of GRAB's s2/phone_pass and a linear transition to the clip's 60th. The transition's length is not
published; here it is 60 frames.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.mano_motion import ManoMotion
from dexhot.errors import ClipError, FileFormatError
from dexhot.geometry.poses import compose, inverse, lowest, make_pose, matrix_to_pose, transform
from dexhot.geometry.rotations import slerp
from dexhot.humans.mano import mano
from dexhot.humans.safe_pickle import read_pickle

NAME, LICENCE = "TACO", "CC BY 4.0"
RATE = 30.0  # Hz
SPLITS = "v1_overall_data_train_test_split.txt"
GROUPS = {"train": "train", "test_1": "S0", "test_2": "S1", "test_3": "S2", "test_4": "S3"}
SIZES = {  # group -> sequences, of the two known splits of the whole dataset
    "published": {"train": 953, "S0": 225, "S1": 234, "S2": 354, "S3": 551},  # TACO-Instructions, 2,317 sequences
    "dextrack": {
        "train": 1565,
        "S0": 207,
        "S1": 139,
        "S2": 120,
        "S3": 285,
    },  # appendix C, 2,316; its list is not published
}
REPAIRED = 60  # frames
TERMS = """\
TACO (Liu et al., CVPR 2024, https://taco2024.github.io) is under CC BY 4.0: its paper must be cited. Its hands need
MANO (https://mano.is.tue.mpg.de, licence of its own). You download both yourself; dexhot reads your copy."""


@dataclass(frozen=True)
class TacoSequence:
    """One recording."""

    name: str  # "20231105_019"
    triplet: str  # "(stir, spoon, bowl)"
    tool: str  # "104", of the mesh
    hand: ManoMotion
    tool_pose: np.ndarray  # (T, 7)


def sequence_folders(folder: Path) -> list[Path]:
    """Of the hands, by triplet and name. Raises FileFormatError for another folder."""
    found = sorted(p.parent for p in folder.glob("Hand_Poses/*/*/right_hand.pkl"))
    if not found:
        raise FileFormatError(f"{folder} is not TACO: it needs Hand_Poses/TRIPLET/SEQUENCE/right_hand.pkl.")
    return found


def read_splits(path: Path) -> tuple[dict[str, str], str]:
    """TacoSequence -> train, S0, S1, S2 or S3, and which known split of the whole dataset it is.

    Raises FileFormatError for a list of other sizes, with both.
    """
    found = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        name, _, group = (part.strip() for part in line.partition(","))
        if not line.strip():
            continue
        group = GROUPS.get(group, group)
        if not name or group not in GROUPS.values():
            raise FileFormatError(f"{path}, line {number}: {line!r} is not SEQUENCE,GROUP ({', '.join(GROUPS)}).")
        found[name] = group
    counts = dict(Counter(found.values()))
    for split, sizes in SIZES.items():
        if counts == sizes:
            return found, split
    raise FileFormatError(
        f"{path} has {counts}; TACO's published split has {SIZES['published']}, DexTrack's {SIZES['dextrack']}. Use "
        f"{SPLITS} of github.com/leolyliu/TACO-Instructions."
    )


def read_sequence(folder: Path, place: Path) -> TacoSequence:
    """`place`: its folder of hands. Raises FileFormatError for a damaged or hostile file, or without MANO."""
    triplet, name = place.parts[-2:]
    objects = folder / "Object_Poses" / triplet / name
    tools = sorted(objects.glob("tool_*.npy"))
    if not tools:
        raise FileFormatError(f"{objects} has no tool_*.npy; download TACO's object poses.")
    try:
        pose = matrix_to_pose(np.load(tools[0], allow_pickle=False).astype(float))
        frames = read_pickle(place / "right_hand.pkl")
        rows = [frames[key] for key in sorted(frames)]
        turned = np.stack([np.asarray(row["hand_pose"], float).reshape(48) for row in rows])
        wrist = np.stack([np.asarray(row["hand_trans"], float).reshape(3) for row in rows])
        shape_file = place / "right_hand_shape.pkl"
        shape = np.zeros(10)
        if shape_file.is_file():
            shape = np.asarray(read_pickle(shape_file)["hand_shape"], float).reshape(10)
        if len(pose) != len(turned):
            raise ValueError(f"{len(turned)} frames of the hand beside {len(pose)} of the tool")
    except (OSError, KeyError, TypeError, ValueError, AttributeError, EOFError) as e:
        raise FileFormatError(f"{place}: {type(e).__name__}: {e}; download it again.") from e
    motion = ManoMotion(mano("right"), shape, np.concatenate([turned[:, :3], wrist, turned[:, 3:]], axis=1))
    motion.parameters[:, 3:6] -= motion.root  # the files give where the wrist is, MANO what is added to its place
    return TacoSequence(name, triplet, tools[0].stem.removeprefix("tool_"), motion, pose)


def trajectory(sequence: TacoSequence, group: str, vertices: np.ndarray, split: str) -> HandObjectTrajectory:
    """Right hand and tool; `vertices` (V, 3) m of the tool place the table's top at its lowest first point."""
    pose = sequence.tool_pose
    world = make_pose([-pose[0, 0], -pose[0, 1], -float(lowest(pose[0], vertices))], [1.0, 0.0, 0.0, 0.0])
    track = sequence.hand.seen_from(world).track()
    made = {
        "dataset": NAME, "sequence": sequence.name, "triplet": sequence.triplet, "group": group, "split": split,
        "licence": LICENCE, "left_out": "left hand and target",
    }  # fmt: skip
    return HandObjectTrajectory(
        f"taco/{sequence.name}", np.arange(len(pose)) / RATE, {"right": track}, f"taco/{sequence.tool}",
        compose(world, pose), provenance=made,
    )  # fmt: skip


def repaired_start(
    clip: HandObjectTrajectory, donor: HandObjectTrajectory, frames: int = REPAIRED
) -> HandObjectTrajectory:
    """The clip with other initial frames of the hand (DexTrack, appendix C); `donor`: GRAB's s2/phone_pass_1.

    First the donor's first `frames` frames, moved to the clip's object, which rests; then a transition of as many
    frames from the donor's last to the clip's frame `frames`: wrists on a geodesic, fingers linear in the wrist's
    frame; then the clip. Raises ClipError for clips that are too short.
    """
    if len(clip.time) <= frames or len(donor.time) < frames:
        raise ClipError(
            f"{clip.name} has {len(clip.time)} frames and {donor.name} {len(donor.time)}; the repair needs {frames}."
        )
    own, other = clip.hands["right"], donor.hands["right"]
    shift = np.append(clip.object_pose[0, :2] - donor.object_pose[0, :2], 0.0)
    approach = other.keypoints[:frames] + shift
    start, end = wrist_pose(approach[-1], "right"), own.wrist_pose[frames]
    fingers = [
        transform(inverse(pose), points) for pose, points in ((start, approach[-1]), (end, own.keypoints[frames]))
    ]
    share = (np.arange(frames) + 1.0) / (frames + 1.0)
    turned = slerp([0.0, 1.0], np.stack([start[3:], end[3:]]), share)
    wrists = make_pose(start[:3] + share[:, None] * (end[:3] - start[:3]), turned)
    local = fingers[0] + share[:, None, None] * (fingers[1] - fingers[0])
    keypoints = np.concatenate([approach, transform(wrists[:, None], local), own.keypoints[frames:]])
    confidence = np.concatenate([np.ones((2 * frames, 21)), own.confidence[frames:]])
    track = HandTrack(keypoints, wrist_pose(keypoints, "right"), confidence)
    pose = np.concatenate([np.tile(clip.object_pose[0], (frames, 1)), clip.object_pose])
    time = np.arange(len(pose)) * float(np.median(np.diff(clip.time)))
    made = {"initial_frames": {"replaced": frames, "transition": frames, "from": donor.name}}
    return replace(clip, time=time, hands={"right": track}, object_pose=pose, provenance=clip.provenance | made)
