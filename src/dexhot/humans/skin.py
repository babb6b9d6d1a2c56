"""A hand skinned in MANO's layout: 16 joints (wrist, then three each of index, middle, little, ring, thumb), linear
blend skinning, shape components, and keypoints that are regressed from joints and vertices.

    hand = open_hand("right")                      # SkinnedHand: one side, any person
    person = hand.shaped(shape)                    # ShapedHand: one person
    posed = person.posed(pose)                     # PosedHand: one frame
    posed.keypoints(hand.table("mano"))            # (21, 3) m

A pose is the wrist's rotation, a translation and fifteen rotation vectors, each in the rest pose's axes: those of MANO,
so its parameters fit here unchanged. Points are numbered joints first (0-15), then vertices (16 ...). All lengths in m.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from dexhot.errors import FileFormatError, NotFoundError
from dexhot.geometry.rotations import (
    matrix_to_quat,
    quat_to_matrix,
    quat_to_rotvec,
    rotvec_to_quat,
)
from dexhot.humans.kernels import (
    MOST_MOVERS,
    POSE_SIZE,
    Binding,
    exponential,
    forward,
    pull_back,
    regressed_jacobians,
    regressed_points,
    skin,
)

JOINTS = 16
PARENTS = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14])
DIGITS = {"thumb": (13, 14, 15), "index": (1, 2, 3), "middle": (4, 5, 6), "ring": (10, 11, 12), "little": (7, 8, 9)}
# MediaPipe's order of 21 keypoints as joints 0-15 and tips 16-20 (thumb, index, middle, ring, little)
KEYPOINT_ORDER = (0, *(p for tip, joints in enumerate(DIGITS.values()) for p in (*joints, JOINTS + tip)))
# of a rotation vector (or a quaternion's x y z) in a mirror with the normal x
MIRRORED_TURN = np.array([1.0, -1.0, -1.0])
MIRRORED_POINT = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class KeypointTable:
    """The 21 keypoints of one convention as a regressor: keypoints = weights @ points[ids]. Each row sums to one."""

    name: str
    ids: np.ndarray  # (P,) points: joints 0-15, vertices from 16
    weights: np.ndarray  # (21, P)

    def __post_init__(self) -> None:
        if self.weights.shape != (21, len(self.ids)) or not np.allclose(self.weights.sum(axis=1), 1.0, atol=1e-4):
            raise FileFormatError(f"keypoint table {self.name}: 21 rows of {len(self.ids)} weights, each summing to 1.")

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The weights that are not 0: rows (E,), points (E,) and weights (E,)."""
        rows, columns = np.nonzero(self.weights)
        return rows.astype(np.int64), self.ids[columns].astype(np.int64), self.weights[rows, columns].astype(float)


@dataclass(frozen=True)
class PosePrior:
    """Gaussian prior over the 45 components of the fingers' rotation vectors, with limits; rad."""

    mean: np.ndarray  # (45,)
    covariance: np.ndarray  # (45, 45)
    components: np.ndarray  # (16, 45) principal directions, each scaled to one standard deviation
    lower: np.ndarray  # (45,)
    upper: np.ndarray  # (45,)

    @cached_property
    def whitening(self) -> np.ndarray:
        """(45, 45) that makes a difference from the mean one of standard deviations."""
        whiten: np.ndarray = np.linalg.cholesky(np.linalg.inv(self.covariance + 1e-4 * np.eye(45))).T
        return whiten

    def mirrored(self) -> "PosePrior":
        """The prior of the other side's hand."""
        sign = np.tile(MIRRORED_TURN, 15)
        ends = np.sort(np.stack([self.lower * sign, self.upper * sign]), axis=0)
        return PosePrior(
            self.mean * sign, self.covariance * np.outer(sign, sign), self.components * sign, ends[0], ends[1]
        )

    def fingers(self, coefficients: ArrayLike) -> np.ndarray:
        """Coefficients (..., n) of the first n components -> rotation vectors (..., 15, 3)."""
        c = np.asarray(coefficients, float)
        angles: np.ndarray = self.mean + c @ self.components[: c.shape[-1]]
        return angles.reshape(*c.shape[:-1], 15, 3)


@dataclass
class HandPose:
    """Pose of the wrist, and rotations of the finger joints."""

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))  # (3, 3) of the wrist
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))  # (3,) m, added to the rest pose's place
    fingers: np.ndarray = field(default_factory=lambda: np.zeros((15, 3)))  # rotation vectors, rad

    @classmethod
    def from_vector(cls, x: ArrayLike) -> "HandPose":
        """(51,) rotation vector of the wrist, translation, 45 finger angles: MANO's pose and trans in this order."""
        x = np.asarray(x, float)
        return cls(quat_to_matrix(rotvec_to_quat(x[:3])), x[3:6].copy(), x[6:POSE_SIZE].reshape(15, 3).copy())

    def vector(self) -> np.ndarray:
        """(51,), the inverse of `from_vector`."""
        return np.concatenate([quat_to_rotvec(matrix_to_quat(self.rotation)), self.translation, self.fingers.ravel()])

    def plus(self, step: np.ndarray) -> "HandPose":
        """The pose after a step (51,) in the Jacobians' columns."""
        turn = np.empty((3, 3))
        exponential(step[:3], turn)
        fingers = self.fingers + step[6:POSE_SIZE].reshape(15, 3)
        return HandPose(self.rotation @ turn, self.translation + step[3:6], fingers)

    def mirrored(self) -> "HandPose":
        """The other side's hand, in a mirror with the normal x."""
        mirror = np.outer(MIRRORED_POINT, MIRRORED_POINT)
        return HandPose(self.rotation * mirror, self.translation * MIRRORED_POINT, self.fingers * MIRRORED_TURN)


def require_shapes(what: str, model: object, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise FileFormatError for an array of `model` that has another shape; `what` names the model."""
    for name, shape in shapes.items():
        if getattr(model, name).shape != shape:
            raise FileFormatError(f"{what}: {name} has shape {getattr(model, name).shape}, expected {shape}.")


def model_faces(faces: np.ndarray, vertices: int) -> np.ndarray:
    """(F, 3) int of a model's file. Raises ValueError for faces of other vertices than its own."""
    faces = faces.astype(np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.min() < 0 or faces.max() >= vertices:
        raise ValueError("faces refer to vertices that do not exist")
    return faces


@dataclass
class SkinnedHand:
    """A hand model of one side: template, shape, skinning, conventions of keypoints."""

    name: str  # "open_hand", "mano"
    side: str  # "right", "left"
    vertices: np.ndarray  # (V, 3) template, m
    faces: np.ndarray  # (F, 3), outward
    shape_directions: np.ndarray  # (V, 3, S) m per standard deviation
    joints: np.ndarray  # (16, 3) m
    joint_directions: np.ndarray  # (16, 3, S)
    weights: np.ndarray  # (V, 16) of the joints, each row sums to one
    tips: np.ndarray  # (5,) vertices: thumb, index, middle, ring, little
    pose_directions: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, 135)))  # (V, 3, 135) MANO's, or none
    tables: dict[str, KeypointTable] = field(default_factory=dict)  # beside the model's own
    prior: PosePrior | None = None

    def __post_init__(self) -> None:
        V, S = len(self.vertices), self.shape_directions.shape[-1]
        shapes = {
            "vertices": (V, 3),
            "shape_directions": (V, 3, S),
            "joints": (JOINTS, 3),
            "joint_directions": (JOINTS, 3, S),
            "weights": (V, JOINTS),
            "tips": (5,),
        }
        require_shapes(f"hand model {self.name}", self, shapes)
        if len(self.pose_directions) and self.pose_directions.shape != (V, 3, 135):
            raise FileFormatError(f"hand model {self.name}: pose_directions must be ({V}, 3, 135).")
        own = np.zeros((21, 21))
        own[np.arange(21), KEYPOINT_ORDER] = 1.0
        ids = np.concatenate([np.arange(JOINTS), JOINTS + self.tips])
        self.tables = {self.own_convention: KeypointTable(self.own_convention, ids, own)} | self.tables
        self._bind()

    @property
    def own_convention(self) -> str:
        """Name of the table that takes the model's joints and tip vertices as they are."""
        return "mano" if self.name == "mano" else "open"

    @property
    def shape_size(self) -> int:
        """Number of shape components."""
        return int(self.shape_directions.shape[-1])

    def _bind(self) -> None:
        """The four strongest bones of every point, and which joints move it."""
        self.joint_count, self.parents = JOINTS, PARENTS
        weights = np.concatenate([np.eye(JOINTS), self.weights])
        self.bones, self.bone_weights = strongest_bones(weights)
        self.below = np.zeros((JOINTS, JOINTS), bool)
        for m in range(JOINTS):
            k = m
            while k >= 0:
                self.below[k, m] = True
                k = PARENTS[k]
        held = self.bone_weights > 0.0
        moved = np.zeros((len(weights), JOINTS), bool)
        for c in range(4):
            moved |= self.below[:, self.bones[:, c]].T & held[:, c : c + 1]
        self.mover_counts = np.minimum(moved.sum(axis=1), MOST_MOVERS).astype(np.int64)
        self.movers = np.argsort(~moved, axis=1, kind="stable")[:, :MOST_MOVERS].astype(np.int64)

    def table(self, convention: str) -> KeypointTable:
        """The regressor of a convention. Raises NotFoundError if the model has none for it."""
        if convention not in self.tables:
            raise NotFoundError(f"keypoint convention of the {self.name} model", convention, self.tables)
        return self.tables[convention]

    def shaped(self, shape: ArrayLike | None = None) -> "ShapedHand":
        """The hand of one person; `shape` (n,) of up to S components, in standard deviations."""
        return ShapedHand(self, np.zeros(self.shape_size) if shape is None else np.asarray(shape, float))

    def mirrored(self) -> "SkinnedHand":
        """The other side's hand."""
        flip = MIRRORED_POINT
        pose = self.pose_directions
        if len(pose):  # of rotation matrices R - 1: an entry (i, j) changes its sign with both axes
            pose = pose * flip[None, :, None] * np.tile(np.outer(flip, flip).ravel(), 15)
        return replace(
            self,
            side="left" if self.side == "right" else "right",
            vertices=self.vertices * flip,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            shape_directions=self.shape_directions * flip[:, None],
            joints=self.joints * flip,
            joint_directions=self.joint_directions * flip[:, None],
            pose_directions=pose,
            prior=self.prior.mirrored() if self.prior else None,
        )


class ShapedHand:
    """One person's hand, or body, in the rest pose."""

    def __init__(self, hand: SkinnedHand, shape: np.ndarray, scale: float = 1.0):
        """`scale`: how many times as large as its shape says."""
        if shape.ndim != 1 or len(shape) > hand.shape_size or not np.isfinite(shape).all():
            raise FileFormatError(
                f"a shape of the {hand.name} model is up to {hand.shape_size} finite numbers, not {shape.shape}."
            )
        self.hand = hand
        self.shape = np.concatenate([shape, np.zeros(hand.shape_size - len(shape))])
        self.scale = scale
        self.joints = scale * (hand.joints + hand.joint_directions @ self.shape)
        self.rest = np.concatenate([self.joints, scale * (hand.vertices + hand.shape_directions @ self.shape)])

    def posed(self, pose: HandPose) -> "PosedHand":
        """The hand in one pose."""
        return PosedHand(self, pose)


class PosedHand:
    """A person's hand in one pose: points, keypoints and their Jacobians."""

    def __init__(self, person: ShapedHand, pose: HandPose):
        hand = person.hand
        self.person, self.pose = person, pose
        self.local, self.world, self.axes = (np.empty((hand.joint_count, 3, 3)) for _ in range(3))
        self.joints = np.empty((hand.joint_count, 3))
        forward(
            np.ascontiguousarray(pose.rotation), pose.translation, pose.fingers, person.joints, hand.parents,
            self.local, self.world, self.axes, self.joints,
        )  # fmt: skip
        self.rest = person.rest
        if len(hand.pose_directions):
            bend = (self.local[1:] - np.eye(3)).ravel()
            self.rest = person.rest.copy()
            self.rest[hand.joint_count :] += person.scale * (hand.pose_directions @ bend)
        self._points: np.ndarray | None = None
        self._keypoints: dict[str, np.ndarray] = {}  # by table, which several terms of one fit share
        self._jacobians: dict[str, np.ndarray] = {}

    @property
    def binding(self) -> Binding:
        """As the kernels take the hand."""
        hand, person = self.person.hand, self.person
        return (
            self.rest, person.joints, hand.bones, hand.bone_weights, hand.below, hand.movers, hand.mover_counts,
            self.world, self.axes, self.joints,
        )  # fmt: skip

    @property
    def points(self) -> np.ndarray:
        """(16 + V, 3) joints, then vertices, m; of a body (24 + V, 3)."""
        if self._points is None:
            hand, self._points = self.person.hand, np.empty_like(self.rest)
            skin(self.rest, self.person.joints, hand.bones, hand.bone_weights, self.world, self.joints, self._points)
        return self._points

    @property
    def vertices(self) -> np.ndarray:
        """(V, 3) m."""
        return self.points[self.person.hand.joint_count :]

    def keypoints(self, table: KeypointTable) -> np.ndarray:
        """(21, 3) m, MediaPipe's order; of every call the same array."""
        if table.name not in self._keypoints:
            found = np.empty((21, 3))
            regressed_points(*table.entries, self.binding, found)
            self._keypoints[table.name] = found
        return self._keypoints[table.name]

    def point_jacobians(self, ids: np.ndarray) -> np.ndarray:
        """d points / d pose, (K, 3, 51), exact (pose-dependent corrections of the surface included)."""
        hand = self.person.hand
        out = np.empty((len(ids), 3, POSE_SIZE))
        regressed_jacobians(np.arange(len(ids)), np.asarray(ids, np.int64), np.ones(len(ids)), self.binding, out)
        if len(hand.pose_directions) and (surface := np.flatnonzero(ids >= JOINTS)).size:
            out[surface, :, 6:] += self._correction_jacobians(ids[surface])
        return out

    def _correction_jacobians(self, ids: np.ndarray) -> np.ndarray:
        """(K, 3, 45) of the pose-dependent corrections of vertices."""
        hand = self.person.hand
        carried = np.einsum("kc,kcij->kij", hand.bone_weights[ids], self.world[hand.bones[ids]])
        # axes are world axes: world_k J_k; d local_k = local_k [J_k e_b]x
        turn = np.einsum("kji,kjb->kib", self.world[1:], self.axes[1:])  # J_k
        cross = np.zeros((15, 3, 3, 3))  # joint, parameter, matrix
        for (i, j, a), sign in zip(((0, 1, 2), (0, 2, 1), (1, 2, 0)), (-1.0, 1.0, -1.0)):
            cross[:, :, i, j], cross[:, :, j, i] = sign * turn[:, a], -sign * turn[:, a]
        change = np.einsum("kij,kbjl->kbil", self.local[1:], cross).reshape(15, 3, 9)
        shift = np.einsum("vckn,kbn->vckb", hand.pose_directions[ids - JOINTS].reshape(-1, 3, 15, 9), change)
        moved: np.ndarray = np.einsum("vij,vjkb->vikb", carried, shift).reshape(len(ids), 3, 45)
        return self.person.scale * moved

    def keypoint_jacobians(self, table: KeypointTable) -> np.ndarray:
        """d keypoints / d pose, (21, 3, 51)."""
        if table.name not in self._jacobians:
            if len(self.person.hand.pose_directions):
                rows = self.point_jacobians(table.ids)
                found = (table.weights @ rows.reshape(len(rows), -1)).reshape(21, 3, POSE_SIZE)
            else:
                found = np.empty((21, 3, POSE_SIZE))
                regressed_jacobians(*table.entries, self.binding, found)
            self._jacobians[table.name] = found
        return self._jacobians[table.name]

    def pull_back(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient by the points (16 + V, 3) -> by the pose (51,; of a body 75) and by the shape (S,): the transposed
        Jacobians."""
        hand, person = self.person.hand, self.person
        count = hand.joint_count
        pose, by_rest, by_joint = np.empty(3 + 3 * count), np.empty_like(self.rest), np.empty((count, 3))
        pull_back(
            np.ascontiguousarray(gradient, float), self.rest, person.joints, hand.bones, hand.bone_weights,
            hand.parents, self.world, self.axes, self.joints, pose, by_rest, by_joint,
        )  # fmt: skip
        if len(hand.pose_directions):
            by_bend = person.scale * np.tensordot(by_rest[count:], hand.pose_directions, axes=2).reshape(
                count - 1, 3, 3
            )
            turned = np.swapaxes(self.local[1:], 1, 2) @ by_bend  # d local = local [w]x
            by_turn = np.stack([turned[:, 2, 1], turned[:, 0, 2], turned[:, 1, 0]], axis=1)
            by_turn -= np.stack([turned[:, 1, 2], turned[:, 2, 0], turned[:, 0, 1]], axis=1)
            # axes are world J, with the right Jacobian J of each joint
            pose[6:] += np.einsum("kji,kjb,ki->kb", self.world[1:], self.axes[1:], by_turn).ravel()
        by_joint += by_rest[:count]
        shape = np.tensordot(by_joint, hand.joint_directions, axes=2)
        shape += np.tensordot(by_rest[count:], hand.shape_directions, axes=2)
        return pose, person.scale * shape

    def shape_jacobians(self, table: KeypointTable) -> np.ndarray:
        """d keypoints / d shape, (21, 3, S)."""
        hand = self.person.hand
        moved = np.zeros((JOINTS, 3, hand.shape_size))
        moved[0] = hand.joint_directions[0]
        for k in range(1, JOINTS):
            bone = hand.joint_directions[k] - hand.joint_directions[PARENTS[k]]
            moved[k] = moved[PARENTS[k]] + self.world[PARENTS[k]] @ bone
        moved -= self.world @ hand.joint_directions
        directions = np.concatenate([hand.joint_directions, hand.shape_directions])[table.ids]
        bones, weights = hand.bones[table.ids], hand.bone_weights[table.ids]
        carried = np.einsum("kc,kcij->kij", weights, self.world[bones])
        points = carried @ directions + np.einsum("kc,kcis->kis", weights, moved[bones])
        out: np.ndarray = np.tensordot(table.weights, points, axes=1)
        return out


def strongest_bones(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N, J) of points -> the four strongest bones of each (N, 4), and their weights, which sum to one."""
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :4].astype(np.int64)
    strongest = np.take_along_axis(weights, bones, axis=1)
    return bones, strongest / strongest.sum(axis=1, keepdims=True)
