"""DexYCB's motions without its pictures: sequences.npz and index.csv of a folder, left hands in a camera's frame.

sequences.npz: SEQUENCE/{keypoints (T, 21, 3) m in MediaPipe's order, object_quat_wxyz (T, 4), object_trans (T, 3)}, in
the frame of the master camera; index.csv: sequence, object. Gravity is not written down: gravity.py finds it, session
by session.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.dexycb import LICENCE, NAME, RATE
from dexhot.datasets.gravity import Vertical, carried, common_up, resting_pose, ups, world_from
from dexhot.datasets.ycb import COLLECTION
from dexhot.errors import FileFormatError
from dexhot.geometry.poses import compose, lowest, make_pose, transform
from dexhot.objects.asset import ObjectAsset

FILE, INDEX = "sequences.npz", "index.csv"
SIDE = "left"
IN_VIEW = 0.3  # m from the camera: before the hand comes, its keypoints lie in the camera
SHORTEST = 30  # frames with a hand


@dataclass
class DexYcbGrasp:
    """One grasp in the camera's frame."""

    name: str  # "20200709-subject-01/20200709_141931"
    object: str  # "025_mug"
    keypoints: np.ndarray  # (T, 21, 3) m
    object_pose: np.ndarray  # (T, 7)

    @property
    def session(self) -> str:
        """The recordings of a day, whose camera stood still."""
        return self.name.split("/")[0]


def read_sequences(folder: Path) -> list[DexYcbGrasp]:
    """All of a folder. Raises FileFormatError for a missing or damaged file."""
    try:
        with open(folder / INDEX, newline="") as stream:
            rows = [(row["sequence"], row["object"]) for row in csv.DictReader(stream)]
        with np.load(folder / FILE, allow_pickle=False) as file:
            return [_sequence(file, name, what) for name, what in rows]
    except (OSError, KeyError, ValueError) as e:
        raise FileFormatError(f"{folder}: {type(e).__name__}: {e}; it needs {FILE} and {INDEX}.") from e


def _sequence(file: np.lib.npyio.NpzFile, name: str, what: str) -> DexYcbGrasp:
    key = name.replace("/", "_")
    pose = make_pose(file[f"{key}/object_trans"], file[f"{key}/object_quat_wxyz"])
    pose[:, 3:] /= np.linalg.norm(pose[:, 3:], axis=1, keepdims=True)
    return DexYcbGrasp(name, what, file[f"{key}/keypoints"].astype(float), pose)


def verticals(sequences: list[DexYcbGrasp], assets: dict[str, ObjectAsset]) -> dict[str, Vertical]:
    """Up in the camera's frame of each session, from its sequences in their order; `assets` by object."""
    found = {}
    for session in sorted({one.session for one in sequences}):
        own = [one for one in sequences if one.session == session]
        found[session] = common_up(
            [ups(resting_pose(one.object_pose), assets[one.object].resting_poses) for one in own],
            np.stack([carried(one.object_pose) for one in own]),
        )
    return found


def trajectory(sequence: DexYcbGrasp, vertical: Vertical, vertices: np.ndarray) -> HandObjectTrajectory:
    """The clip with z up, from the first frame with a hand; `vertices` (V, 3) of the object place the table's top.

    Raises FileFormatError for a sequence without a hand.
    """
    seen = np.linalg.norm(sequence.keypoints[:, 0], axis=1) > IN_VIEW
    if seen.sum() < SHORTEST:
        raise FileFormatError(f"{sequence.name}: only {seen.sum()} frames show a hand; {SHORTEST} are needed.")
    first, stop = int(seen.argmax()), len(seen) - int(seen[::-1].argmax())
    chosen = np.flatnonzero(seen[first:stop]) + first
    world = world_from(vertical.up, sequence.object_pose[0, :3])
    rest = resting_pose(sequence.object_pose)
    start = sequence.object_pose[0] if rest is None else rest
    table = float(lowest(compose(world, start), vertices))
    world = world - np.array([0.0, 0.0, table, 0.0, 0.0, 0.0, 0.0])
    keypoints = transform(world, sequence.keypoints[chosen])
    track = HandTrack(keypoints, wrist_pose(keypoints, SIDE), np.ones(keypoints.shape[:2]))
    gravity = {
        "from": "resting poses of the session's objects",
        "recordings": len(vertical.agreeing),
        "agreeing": int(vertical.agreeing.sum()),
        "spread_deg": round(vertical.spread_deg, 2),
        "error_deg": round(vertical.error_deg, 2),
    }
    made = {"dataset": NAME, "sequence": sequence.name, "licence": LICENCE, "gravity": gravity}
    return HandObjectTrajectory(
        f"dexycb/{sequence.name.replace('/', '_')}", (chosen - chosen[0]) / RATE, {SIDE: track},
        f"{COLLECTION}/{sequence.object}", compose(world, sequence.object_pose[chosen]), provenance=made,
    )  # fmt: skip
