"""Hands and an object in many frames of a clip, or in many hypotheses of one frame, for gradient descent.

    bodies = Bodies({"right": hand}, model, table, components=16)
    scene = BatchScene(bodies, unknowns, camera)       # B samples, each with every body
    loss = term.add(scene)                             # (B,), and its gradient into the scene
    gradient = scene.pull_back()                       # by each of the unknowns

Unknowns are arrays by name, B rows each: "<side>.turn" 6D rotations, "<side>.place" m of the middle knuckle,
"<side>.fingers" coefficients of the pose prior's components or 45 angles (rad), "<side>.shape" (B, S) and
"<side>.scale" (1,), or "<side>.points" (B, V, 3) m of a given surface; "object.turn", "object.place" m of its centre,
"object.scale" (1,). What is not in them is fixed.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from dexhot.fitting import kernels
from dexhot.fitting.scene import HandObjectScene, ObjectModel, SceneState
from dexhot.fitting.viewpoint import Viewpoint
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.raster.channels import CHANNELS
from dexhot.geometry.rotations import matrix_from_6d, matrix_to_6d
from dexhot.humans.skin import JOINTS, HandPose, KeypointTable, PosedHand, ShapedHand, SkinnedHand

Unknowns = dict[str, np.ndarray]
KNUCKLE = 4  # joint about which a hand turns: the middle finger's first, as in HOMan


@dataclass(frozen=True)
class GivenSurface:
    """A body whose points are known in every sample, such as a robot's hand: drawn and touched, not solved for."""

    size: int  # number of its points
    faces: np.ndarray  # (F, 3)


@dataclass(frozen=True)
class Bodies:
    """What is in the scene, apart from where."""

    hands: dict[str, SkinnedHand]
    model: ObjectModel | None
    table: str  # the keypoints' convention
    components: int = 45  # of the pose prior; 45: the angles themselves
    surfaces: dict[str, GivenSurface] = field(default_factory=dict)  # by the side that they have in masks

    def faces(self, side: str) -> np.ndarray:
        """(F, 3) of a hand or a surface."""
        return self.surfaces[side].faces if side in self.surfaces else self.hands[side].faces

    def size(self, side: str) -> int:
        """Number of vertices of a hand or a surface."""
        return self.surfaces[side].size if side in self.surfaces else len(self.hands[side].vertices)

    def keypoint_table(self, side: str) -> KeypointTable:
        """Of one hand."""
        return self.hands[side].table(self.table)

    def angles(self, side: str, fingers: np.ndarray) -> np.ndarray:
        """Unknowns (B, n) -> rotation vectors (B, 45)."""
        prior = self.hands[side].prior
        if self.components == 45 or prior is None:
            return fingers
        angles: np.ndarray = prior.mean + fingers @ prior.components[: self.components]
        return angles

    def fingers(self, side: str, angles: np.ndarray) -> np.ndarray:
        """Rotation vectors (B, 45) -> the nearest unknowns (B, n)."""
        prior = self.hands[side].prior
        if self.components == 45 or prior is None:
            return angles.copy()
        rows = prior.components[: self.components]
        found: np.ndarray = (angles - prior.mean) @ rows.T / (rows**2).sum(axis=1)
        return found

    def unknowns_of(self, side: str, people: list[ShapedHand], poses: list[HandPose]) -> Unknowns:
        """A hand's poses as unknowns."""
        places = [person.posed(pose).joints[KNUCKLE] for person, pose in zip(people, poses)]
        return {
            f"{side}.turn": matrix_to_6d(np.stack([pose.rotation for pose in poses])),
            f"{side}.place": np.stack(places),
            f"{side}.fingers": self.fingers(side, np.stack([pose.fingers.ravel() for pose in poses])),
        }

    def object_unknowns(self, rotations: np.ndarray, positions: np.ndarray) -> Unknowns:
        """An object's rotations (B, 3, 3) and positions (B, 3) of its mesh frame as unknowns."""
        assert self.model is not None
        return {"object.turn": matrix_to_6d(rotations), "object.place": positions + rotations @ self.model.centre}


@dataclass
class Grown:
    """The posed hands of one side."""

    posed: list[PosedHand]  # of B samples, the knuckle anywhere
    points: np.ndarray  # (B, 16 + V, 3) m, where they are
    by_points: np.ndarray  # the loss's gradient
    poses: list[HandPose]


class BatchScene:
    """Every body at the unknowns of B samples, and the gradient of a loss by them."""

    def __init__(self, bodies: Bodies, unknowns: Unknowns, camera: Intrinsics | None, fixed: Unknowns | None = None):
        """`camera`: of the small images in which masks are compared, None where no term draws any; `fixed`: unknowns
        that keep their values."""
        self.bodies, self.camera = bodies, camera
        self.unknowns, self.given = unknowns, {**(fixed or {}), **unknowns}
        self.count = max(len(x) for name, x in self.given.items() if not name.endswith("scale"))
        self.hands = {side: self._grow(side) for side in bodies.hands if f"{side}.turn" in self.given}
        self.hands |= {side: self._known(side) for side in bodies.surfaces if f"{side}.points" in self.given}
        self.model = bodies.model if "object.turn" in self.given else None
        if self.model is not None:
            self.rotation = self._rows(matrix_from_6d(self.given["object.turn"]))
            self.place = self._rows(self.given["object.place"])
            self.scale = float(self.given.get("object.scale", np.ones(1))[0])
            self.force, self.torque, self.stretch = np.zeros((self.count, 3)), np.zeros((self.count, 3)), 0.0
        self._drawn: dict[str, Any] = {}  # renders by what is in them
        self._by_mask: dict[str, np.ndarray] = {}
        self._by_image: dict[str, np.ndarray] = {}
        self.direct: Unknowns = {}  # gradients by an unknown itself

    def _rows(self, x: np.ndarray) -> np.ndarray:
        rows: np.ndarray = np.broadcast_to(x, (self.count, *x.shape[1:]))
        return rows

    def _grow(self, side: str) -> Grown:
        hand, given = self.bodies.hands[side], self.given
        scale = float(given.get(f"{side}.scale", np.ones(1))[0])
        shapes = given.get(f"{side}.shape", np.zeros((1, hand.shape_size)))
        people = [ShapedHand(hand, shape, scale) for shape in shapes]
        R = self._rows(matrix_from_6d(given[f"{side}.turn"]))
        place = self._rows(given[f"{side}.place"])
        angles = self._rows(self.bodies.angles(side, given[f"{side}.fingers"])).reshape(-1, 15, 3)
        posed, poses, points = [], [], []
        for b in range(self.count):
            one = people[min(b, len(people) - 1)].posed(HandPose(R[b], np.zeros(3), angles[b]))
            shift = place[b] - one.joints[KNUCKLE]
            posed.append(one)
            points.append(one.points + shift)
            poses.append(HandPose(R[b], shift, angles[b]))
        stacked = np.stack(points)
        return Grown(posed, stacked, np.zeros_like(stacked), poses)

    def _known(self, side: str) -> Grown:
        """A surface, in the place of a hand without joints."""
        points = self._rows(self.given[f"{side}.points"])
        stacked = np.concatenate([np.zeros((self.count, JOINTS, 3)), points], axis=1)
        return Grown([], stacked, np.zeros_like(stacked), [])

    # where things are

    def hand_vertices(self, side: str) -> np.ndarray:
        """(B, V, 3) m."""
        return self.hands[side].points[:, JOINTS:]

    def keypoints(self, side: str) -> np.ndarray:
        """(B, 21, 3) m."""
        table = self.bodies.keypoint_table(side)
        found: np.ndarray = table.weights @ self.hands[side].points[:, table.ids]
        return found

    def placed(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) of the object's mesh frame -> (B, N, 3) m."""
        assert self.model is not None
        turned = (self.scale * (points - self.model.centre)) @ np.swapaxes(self.rotation, 1, 2)
        moved: np.ndarray = turned + self.place[:, None]
        return moved

    @cached_property
    def object_vertices(self) -> np.ndarray:
        """(B, V, 3) m, of the mesh that is drawn."""
        assert self.model is not None
        return self.placed(self.model.vertices)

    @cached_property
    def object_samples(self) -> np.ndarray:
        """(B, N, 3) m, points of its surface."""
        assert self.model is not None
        return self.placed(self.model.samples)

    def distances(self, b: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (N,) m of points (N, 3) to the object of sample b, and its gradient by them (N, 3)."""
        assert self.model is not None
        R, centre = self.rotation[b], self.model.centre
        local = (points - self.place[b]) @ R / self.scale + centre
        found, gradients = np.empty(len(points)), np.empty_like(points)
        kernels.distances_beyond(local, *self.model.volume, found, gradients)
        return self.scale * found, gradients @ R.T

    # gradients

    def push_vertices(self, side: str, gradient: np.ndarray) -> None:
        """A gradient by a hand's vertices (B, V, 3)."""
        self.hands[side].by_points[:, JOINTS:] += gradient

    def push_keypoints(self, side: str, gradient: np.ndarray) -> None:
        """A gradient by a hand's keypoints (B, 21, 3)."""
        table = self.bodies.keypoint_table(side)
        by_ids = np.swapaxes(gradient, 1, 2) @ table.weights
        for total, here in zip(self.hands[side].by_points, np.swapaxes(by_ids, 1, 2)):
            np.add.at(total, table.ids, here)

    def push_object(self, b: int, points: np.ndarray, gradient: np.ndarray) -> None:
        """A gradient (N, 3) by points (N, 3) that move with the object of sample b."""
        self.force[b] += gradient.sum(axis=0)
        arm = points - self.place[b]
        self.torque[b] += np.cross(arm, gradient).sum(axis=0)
        self.stretch += float((arm * gradient).sum()) / self.scale

    def push_distances(self, b: int, points: np.ndarray, found: np.ndarray, slopes: np.ndarray) -> None:
        """A gradient by the signed distances of points to the object, on the object's side of it: `slopes` (N, 3) is
        the loss's gradient by the points, `found` (N,) distance times the loss's gradient by it."""
        self.push_object(b, points, -slopes)
        self.stretch += float(found.sum()) / self.scale

    def push(self, name: str, gradient: np.ndarray) -> None:
        """A gradient by an unknown itself."""
        if name in self.unknowns:
            self.direct[name] = self.direct.get(name, 0.0) + gradient

    # other cameras

    def seen_from(self, at: Viewpoint, camera: Intrinsics) -> "BatchScene":
        """The same bodies in another camera's frame; `camera` is of its small images. What terms push into it counts
        once `take_back` has it."""
        there = copy(self)
        there.__dict__.pop("object_vertices", None)
        there.__dict__.pop("object_samples", None)
        there.camera = camera
        there.hands = {
            side: replace(one, points=at.points_there(one.points), by_points=np.zeros_like(one.points))
            for side, one in self.hands.items()
        }
        if self.model is not None:
            there.rotation, there.place = at.rotation @ self.rotation, at.points_there(self.place)
            there.force, there.torque, there.stretch = np.zeros_like(self.force), np.zeros_like(self.torque), 0.0
        there._drawn, there._by_mask, there._by_image = {}, {}, {}
        return there

    def take_back(self, there: "BatchScene", at: Viewpoint) -> None:
        """The gradient of what was pushed into the scene that the other camera sees."""
        there._pull_pictures()
        for side, one in self.hands.items():
            one.by_points += there.hands[side].by_points @ at.rotation
        if self.model is not None:
            self.force += there.force @ at.rotation
            self.torque += there.torque @ at.rotation
            self.stretch += there.stretch

    # pictures

    def drawn(self, what: str = "all") -> Any:
        """The render (geometry/raster) of all bodies, or with "object" of it alone, as a term compares it."""
        if what not in self._drawn:
            assert self.camera is not None, "a term draws, but there is no camera"
            self._drawn[what] = rasterizer(self.bodies, self.camera, what, tuple(self.hands)).forward(
                np.concatenate(self._meshes(what), axis=1), self._colors(what)
            )
        return self._drawn[what]

    def _meshes(self, what: str) -> list[np.ndarray]:
        hands = [self.hand_vertices(side) for side in self.hands] if what == "all" else []
        return hands + ([self.object_vertices] if self.model is not None else [])

    def _colors(self, what: str) -> np.ndarray | None:
        return self.model.colors if what == "object" and self.model is not None else None

    def visible_faces(self, b: int, body: str) -> np.ndarray:
        """Numbers of a body's faces (a side, or "object") that are seen in some pixel of sample b."""
        faces = self.drawn().faces[b]
        first = 0
        for side in self.hands:
            size = len(self.bodies.faces(side))
            if side == body:
                found = np.unique(faces[(faces >= first) & (faces < first + size)]) - first
                return found.astype(np.int64)
            first += size
        return (np.unique(faces[faces >= first]) - first).astype(np.int64)

    def push_mask(self, gradient: np.ndarray, what: str = "all") -> None:
        """A gradient by the render's mask (B, H, W, 4)."""
        self._by_mask[what] = self._by_mask.get(what, 0.0) + gradient

    def push_image(self, gradient: np.ndarray, what: str = "object") -> None:
        """A gradient by the render's image (B, H, W, 3)."""
        self._by_image[what] = self._by_image.get(what, 0.0) + gradient

    def _pull_pictures(self) -> None:
        for what in {*self._by_mask, *self._by_image}:
            render = self._drawn[what]
            assert self.camera is not None
            drawer = rasterizer(self.bodies, self.camera, what, tuple(self.hands))
            by_points = drawer.backward(render, self._by_mask.get(what), self._by_image.get(what))[0].astype(float)
            first = 0
            for side in self.hands if what == "all" else ():
                size = self.bodies.size(side)
                self.push_vertices(side, by_points[:, first : first + size])
                first += size
            if self.model is not None:
                for b in range(self.count):
                    self.push_object(b, self.object_vertices[b], by_points[b, first:])
        self._by_mask, self._by_image = {}, {}

    def pull_back(self) -> Unknowns:
        """The gradient of everything that was pushed, by each unknown."""
        self._pull_pictures()
        found: Unknowns = {}
        for side, grown in self.hands.items():
            if not any(name.startswith(f"{side}.") for name in self.unknowns):
                continue
            found |= self._pull_hand(side, grown)
        if self.model is not None:
            turn = np.stack([R.T @ torque for R, torque in zip(self.rotation, self.torque)])
            found["object.turn"] = by_6d(self._rows(self.given["object.turn"]), turn)
            found["object.place"] = self.force
            found["object.scale"] = np.array([self.stretch])
        kept = {name: self._folded(name, found[name]) for name in self.unknowns if name in found}
        for name, gradient in self.direct.items():
            kept[name] = kept[name] + gradient
        return kept

    def _folded(self, name: str, gradient: np.ndarray) -> np.ndarray:
        """Summed over the samples where one row of unknowns serves them all."""
        return gradient.sum(axis=0, keepdims=True) if len(self.given[name]) < len(gradient) else gradient

    def _pull_hand(self, side: str, grown: Grown) -> Unknowns:
        hand = self.bodies.hands[side]
        force = grown.by_points.sum(axis=1)  # moves the knuckle
        bent, shaped = [], []
        for one, gradient, total in zip(grown.posed, grown.by_points, force):
            gradient = gradient.copy()
            gradient[KNUCKLE] -= total  # the knuckle stays where it is
            pose, shape = one.pull_back(gradient)
            bent.append(pose)
            shaped.append(shape)
        poses = np.stack(bent)
        fingers = poses[:, 6:]
        if self.bodies.components < 45 and hand.prior is not None:
            fingers = fingers @ hand.prior.components[: self.bodies.components].T
        scale = grown.posed[0].person.scale
        arms = grown.points - grown.points[:, KNUCKLE : KNUCKLE + 1]
        return {
            f"{side}.turn": by_6d(self._rows(self.given[f"{side}.turn"]), poses[:, :3]),
            f"{side}.place": force,
            f"{side}.fingers": fingers,
            f"{side}.shape": np.stack(shaped),
            f"{side}.scale": np.array([(arms * grown.by_points).sum() / scale]),
        }

    # results

    def scene(self, b: int, side: str) -> HandObjectScene:
        """One hand and the object of a sample, as the tracker's results are."""
        grown = self.hands[side]
        model = self.model if self.model is None or self.scale == 1.0 else scaled(self.model, self.scale)
        R, t = (np.eye(3), np.array([0.0, 0.0, 1.0])) if model is None else (self.rotation[b], self.origin(b))
        return HandObjectScene(grown.posed[b].person, model, SceneState(grown.poses[b], R, t))

    def origin(self, b: int) -> np.ndarray:
        """(3,) m, of the object's mesh frame."""
        assert self.model is not None
        place: np.ndarray = self.place[b] - self.scale * self.rotation[b] @ self.model.centre
        return place


def scaled(model: ObjectModel, scale: float) -> ObjectModel:
    """The object `scale` times as large about its mesh frame's origin."""
    return replace(
        model,
        values=model.values * scale,
        origin=model.origin * scale,
        spacing=model.spacing * scale,
        samples=model.samples * scale,
        vertices=model.vertices * scale,
        centre=model.centre * scale,
        radius=model.radius * scale,
    )


def by_6d(six: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """A gradient by small turns (B, 3) in a rotation's own frame -> by its 6D representation (B, 6)."""
    a, c = six[:, :3], six[:, 3:]
    length = np.linalg.norm(a, axis=1, keepdims=True)
    R = matrix_from_6d(six)
    x, y, z = R[..., 0], R[..., 1], R[..., 2]
    along = (x * c).sum(axis=1, keepdims=True)
    across = np.linalg.norm(c - along * x, axis=1, keepdims=True)
    by_a = (turn[:, 2:] * y - turn[:, 1:2] * z - turn[:, :1] * along / across * z) / length
    by_c = turn[:, :1] * z / across
    return np.concatenate([by_a, by_c], axis=1)


_RASTERIZERS: dict[Any, Any] = {}


def rasterizer(bodies: Bodies, camera: Intrinsics, what: str, sides: tuple[str, ...]) -> Any:
    """Of the bodies' faces: kept, for it is used in every iteration."""
    from dexhot.geometry.raster.rasterizer import Rasterizer

    key = (tuple(id(bodies.faces(s)) for s in sides), id(bodies.model), camera, what)
    if key not in _RASTERIZERS:
        faces, labels, first = [], [], 0
        for side in sides if what == "all" else ():
            own = bodies.faces(side)
            faces.append(own + first)
            labels.append(np.full(len(own), CHANNELS[side]))
            first += bodies.size(side)
        if bodies.model is not None:
            faces.append(bodies.model.faces + first)
            labels.append(np.full(len(bodies.model.faces), CHANNELS["object"]))
        if len(_RASTERIZERS) > 8:
            _RASTERIZERS.clear()
        made = Rasterizer(camera, np.concatenate(faces), np.concatenate(labels))
        _RASTERIZERS[key] = bodies, made  # the bodies too, so that no other takes their place in memory
    return _RASTERIZERS[key][1]


def merged(*parts: Mapping[str, np.ndarray]) -> Unknowns:
    """Copies of unknowns, all in one."""
    return {name: np.array(x, float) for part in parts for name, x in part.items()}
