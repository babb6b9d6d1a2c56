"""GRAB (Taheri et al., ECCV 2020) as published: 120 Hz mocap with MANO hands, 51 objects, ten people.

grab/SUBJECT/OBJECT_ACTION.npz    rhand, lhand: {params: {global_orient, transl, fullpose}, vtemp}; object: {params,
                                  object_mesh}; framerate, n_frames, obj_name, sbj_id, motion_intent
tools/object_meshes/contact_meshes/OBJECT.ply, tools/subject_meshes/GENDER/SUBJECT_rhand.ply

The entries are Python objects; humans/safe_pickle.py reads them. Objects are turned by the transpose of the
rotation vector's matrix (GRAB's ObjectModel multiplies row vectors). A hand is MANO with the person's own template and
a flat mean. z is up; here the table's top is at z = 0 and the object's first position at x = y = 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.mano_motion import ManoMotion
from dexhot.errors import FileFormatError
from dexhot.geometry.poses import compose, lowest, make_pose
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.humans.mano import mano
from dexhot.humans.model_files import missing_mano
from dexhot.humans.safe_pickle import read_object_npz

NAME, COLLECTION = "GRAB", "grab_full"
RATE = 60.0  # Hz, kept of the 120
TEST_SUBJECT = "s1"
TEST_SEQUENCES, RETARGETED = 197, 1269  # DexTrack's test set, and all that it retargeted
HANDS = {"right": "rhand", "left": "lhand"}
TERMS = """\
GRAB (Taheri et al., ECCV 2020, https://grab.is.tue.mpg.de) is for non-commercial scientific research only: its licence
(https://github.com/otaheri/GRAB/blob/master/LICENSE) asks users to cite the paper and forbids passing the data on. You
download it yourself, with MANO (https://mano.is.tue.mpg.de); dexhot reads your copy."""


@dataclass(frozen=True)
class Hand:
    """One hand's parameters, and the file of its person's template."""

    parameters: np.ndarray  # (T, 51) rotation vector, translation, 45 finger angles
    template: str  # relative to the dataset's folder


@dataclass(frozen=True)
class GrabSequence:
    """One file, at RATE."""

    subject: str
    name: str  # "mug_pass_1"
    object: str
    mesh: str  # relative to the dataset's folder
    rate: float  # Hz
    hands: dict[str, Hand]
    object_pose: np.ndarray  # (T, 7)


def sequence_files(folder: Path) -> list[Path]:
    """All of them, by subject and name. Raises FileFormatError for another folder."""
    found = sorted(folder.glob("grab/s*/*.npz"))
    if not found:
        raise FileFormatError(f"{folder} is not GRAB as published: it needs grab/s1/*.npz and tools/.")
    return found


def split_of(subject: str) -> str:
    """ "test" for subject s1, else "train" (DexTrack, section 4.1)."""
    return "test" if subject == TEST_SUBJECT else "train"


def read_sequence(path: Path, sides: Iterable[str] = ("right",)) -> GrabSequence:
    """Raises FileFormatError for a damaged or hostile file."""
    raw = read_object_npz(path)
    try:
        rate = float(raw["framerate"])
        step = max(1, round(rate / RATE))
        hands = {side: _hand(raw[HANDS[side]], step) for side in sides}
        pose = _placed(raw["object"]["params"])[::step]
        mesh = str(raw["object"]["object_mesh"])
        return GrabSequence(
            path.parent.name, path.stem, str(raw["obj_name"]), mesh, rate / step, hands, pose
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as e:
        raise FileFormatError(f"{path}: {type(e).__name__}: {e}; download it again.") from e


def trajectory(folder: Path, sequence: GrabSequence, vertices: np.ndarray) -> HandObjectTrajectory:
    """The clip with the table's top at z = 0; `vertices` (V, 3) m of the object's mesh.

    Raises FileFormatError without MANO, or without the person's template.
    """
    pose = sequence.object_pose
    top = float(lowest(pose[0], vertices))  # it stands on the table at the start
    world = make_pose([-pose[0, 0], -pose[0, 1], -top], [1.0, 0.0, 0.0, 0.0])
    hands = {}
    for side, hand in sequence.hands.items():
        template = _template(folder, hand.template)
        model = mano(side, template=template)
        hands[side] = ManoMotion(model, np.zeros(model.shape_size), hand.parameters).seen_from(world).track()
    time = np.arange(len(pose)) / sequence.rate
    made = {
        "dataset": "GRAB full", "subject": sequence.subject, "file": f"{sequence.subject}/{sequence.name}.npz",
        "split": split_of(sequence.subject), "template": {s: h.template for s, h in sequence.hands.items()},
    }  # fmt: skip
    return HandObjectTrajectory(
        f"{COLLECTION}/{sequence.subject}_{sequence.name}", time, hands, f"{COLLECTION}/{sequence.object}",
        compose(world, pose), provenance=made,
    )  # fmt: skip


def mesh_file(folder: Path, sequence: GrabSequence) -> Path:
    """Of its object. Raises FileFormatError."""
    for path in (
        folder / sequence.mesh,
        folder / "tools" / "object_meshes" / "contact_meshes" / f"{sequence.object}.ply",
    ):
        if path.is_file():
            return path
    raise FileFormatError(f"{folder} lacks the mesh {sequence.mesh}; unpack GRAB's object meshes into tools/.")


def _hand(raw: Any, step: int) -> Hand:
    params = raw["params"]
    parts = [np.asarray(params[key], float)[::step] for key in ("global_orient", "transl", "fullpose")]
    if [p.shape[1:] for p in parts] != [(3,), (3,), (45,)]:
        raise ValueError(f"a hand has {[p.shape for p in parts]} numbers")
    return Hand(np.concatenate(parts, axis=1), str(raw["vtemp"]))


def _placed(params: Any) -> np.ndarray:
    """(T, 7) of rows that turn row vectors: the rotation's transpose."""
    turn, place = np.asarray(params["global_orient"], float), np.asarray(params["transl"], float)
    return make_pose(place, rotvec_to_quat(-turn))


def _template(folder: Path, name: str) -> np.ndarray:
    path = folder / name
    if not path.is_file():
        raise FileFormatError(f"{path} is missing: unpack GRAB's subject meshes into tools/. MANO: {missing_mano()}")
    mesh = trimesh.load_mesh(path, process=False)
    return np.asarray(mesh.vertices, float)
