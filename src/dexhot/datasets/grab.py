"""GRAB demonstrations: 95 clips of real people lifting, passing and using 50 objects, from MyoSuite's wheel.

The source (MyoDM, after TCDM) holds the joint angles of the MyoHand and object poses, converted from GRAB's mocap. The
conversion introduced errors that `correct` removes; they were found by comparing the clips with the model
(docs/datasets.md describes each).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.myohand import CONFIDENCE, MyoHand, object_centre
from dexhot.geometry.poses import lowest, make_pose
from dexhot.geometry.rotations import quat_rotate
from dexhot.objects.asset import guessed_mass

SOURCE = "myosuite 2.8.5"
REQUIREMENT, WHEEL = "myosuite==2.8.5", "myosuite-2.8.5-py3-none-any.whl"
SHA256 = "64c6c81f0e85c05d50d155ee584c2d4ac55f659e1460011799659087c588cf9b"
CLIPS, OBJECTS = "myosuite/envs/myo/myodm/data", "myosuite/simhive/object_sim"
IMPORTER, OBJECT_IMPORTER = 1, 2  # increased when the output changes, so that old files are rewritten

OBJECT_ORIGIN = np.array([0.0, 0.0, 0.035])  # m, zero of the object's slide joints in the model
PERIOD = 0.04  # s; the files state 0.02, but the motion is GRAB's 120 Hz resampled to 25 Hz

TERMS = """\
GRAB (Taheri et al., ECCV 2020, https://grab.is.tue.mpg.de) is for non-commercial scientific research only: its licence
(https://github.com/otaheri/GRAB/blob/master/LICENSE) asks users to cite the paper and forbids passing the data on.
The clips come from the wheel myosuite 2.8.5 (Apache-2.0) of the Python package registry (86 MB), whose authors ask
users of these clips to comply with GRAB's licence. They are kept in dexhot's cache and nowhere else."""


@dataclass
class SourceObject:
    """An object from the wheel, in its mesh frame."""

    vertices: np.ndarray  # (V, 3) the visual mesh, for rendering only; it fills the holes of the mug and the tori
    faces: np.ndarray  # (F, 3)
    pieces: list[tuple[np.ndarray, np.ndarray]]  # convex contact pieces: vertices (v, 3) and faces (f, 3)
    mass: float  # kg
    mass_from: str  # how it was estimated
    centre: np.ndarray  # (3,) the source's centre of mass


def read_object(folder: Path, name: str) -> SourceObject:
    """Object `name` of the unpacked wheel at `folder`."""
    base = folder / OBJECTS / name
    visual = trimesh.load_mesh(base / f"{name}.stl")
    number = lambda path: int(path.stem.removeprefix("contact"))  # noqa: E731
    hulls = [trimesh.load_mesh(path).convex_hull for path in sorted(base.glob("contact*.stl"), key=number)]
    mass, mass_from = guessed_mass(sum(h.volume for h in hulls))
    pieces = [(np.array(h.vertices), np.array(h.faces)) for h in hulls]
    centre = object_centre(folder, name)
    return SourceObject(np.array(visual.vertices), np.array(visual.faces), pieces, mass, mass_from, centre)


def read_clip(path: Path, hand: MyoHand, source: SourceObject, object_name: str) -> HandObjectTrajectory:
    """One clip of the unpacked wheel, corrected, with the table's top at z = 0."""
    clip = path.stem.removeprefix("MyoHand_")
    with np.load(path, allow_pickle=False) as raw:
        robot, pose, init = raw["robot"], raw["object"].astype(float), raw["object_init"]
    pose[:, 3:] /= np.linalg.norm(pose[:, 3:], axis=1, keepdims=True)
    object_pose, hand_shift = correct(pose, init.shape == (6,), source)
    keypoints = hand.keypoints(robot[1:]) + hand_shift
    track = HandTrack(
        keypoints=keypoints,
        wrist_pose=wrist_pose(keypoints, "right"),
        confidence=np.tile(CONFIDENCE, (len(keypoints), 1)),
        model="myohand",
        parameters=robot[1:].astype(float),
    )
    return HandObjectTrajectory(
        name=f"grab/{clip}",
        time=PERIOD * np.arange(len(object_pose)),
        hands={"right": track},
        object_name=f"grab/{object_name}",
        object_pose=object_pose,
        provenance={"dataset": "GRAB", "source": SOURCE, "sha256": SHA256, "file": path.name, "importer": IMPORTER},
    )


def correct(pose: np.ndarray, world_init: bool, source: SourceObject) -> tuple[np.ndarray, np.ndarray]:
    """Source object poses (T+1, 7) -> world_T_mesh (T, 7) and the shift of the hand (3,), m.

    The source wrongly aligned mesh origins to the centre of mass c: from frame 1 on the object is offset by R0 c - c
    from frame 0 (the only correct one, which is dropped), and the hand by R0 c. `world_init` marks the clips whose
    initial pose was given in the world: there the object is offset by R0 c and the model's offset. Finally both are
    shifted so that the object starts on the table's top (by 0 to 5 mm; 57 mm for the wineglass).
    """
    start = quat_rotate(pose[1, 3:], source.centre)
    error = start if world_init else pose[1, :3] - pose[0, :3] - OBJECT_ORIGIN
    out = make_pose(pose[1:, :3] - error, pose[1:, 3:])
    drop = np.array([0.0, 0.0, min(lowest(out[0], vertices) for vertices, _ in source.pieces)])
    out[:, :3] -= drop
    return out, -start - drop
