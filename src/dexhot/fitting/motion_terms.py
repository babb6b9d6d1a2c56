"""Motion over a clip, and what is likely of a pose or a size: terms of gradient descent (batch_terms.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dexhot.fitting.batch import BatchScene


@dataclass
class JointChange:
    """Squared change since the last frame beyond a threshold: of all keypoints together, of the object's position
    (eq. 9)."""

    keypoints: dict[str, np.ndarray]  # (21, 3) m of the last frame, by side
    place: np.ndarray | None  # (3,) m of the object's centre
    weight: float
    hand: float = 1.0  # w5
    object: float = 1.0  # w6
    threshold: float = 0.02  # m2, epsilon 1
    object_threshold: float = 0.03  # m2, epsilon 2
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) m2."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        for side, before in self.keypoints.items():
            off = scene.keypoints(side) - before
            change = (off**2).sum(axis=(1, 2)) - self.threshold
            moved = change > 0.0
            total += factor * self.hand * change * moved
            scene.push_keypoints(side, 2.0 * factor * self.hand * moved[:, None, None] * off)
        if self.place is not None and scene.model is not None:
            off = scene.place - self.place
            change = (off**2).sum(axis=1) - self.object_threshold
            moved = change > 0.0
            total += factor * self.object * change * moved
            scene.force += 2.0 * factor * self.object * moved[:, None] * off
        return total


def moving(scene: BatchScene) -> Iterator[tuple[str, np.ndarray]]:
    """Vertices (B, V, 3) of each hand, and the object's surface points."""
    for side in scene.hands:
        yield side, scene.hand_vertices(side)
    if scene.model is not None:
        yield "object", scene.object_samples


def push(scene: BatchScene, name: str, points: np.ndarray, gradient: np.ndarray) -> None:
    """Onto a hand's vertices or the object's points."""
    if name == "object":
        for b in range(scene.count):
            scene.push_object(b, points[b], gradient[b])
    else:
        scene.push_vertices(name, gradient)


def differences(gradient: np.ndarray) -> np.ndarray:
    """The transpose of np.diff along the first axis."""
    out = np.zeros((len(gradient) + 1, *gradient.shape[1:]))
    out[1:] += gradient
    out[:-1] -= gradient
    return out


def steps(rows: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """`factor` times the squared changes of rows (B, ...) from frame to frame, (B - 1,), and its gradient (B, ...)."""
    step = np.diff(rows, axis=0)
    return factor * (step**2).sum(axis=tuple(range(1, step.ndim))), differences(2.0 * factor * step)


@dataclass
class Smoothness:
    """Squared motion of all vertices between neighbouring frames, of hands and object (HOMan)."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) m2, the means over the object's points and over the vertices of all hands; the last frame has none."""
        total = np.zeros(scene.count)
        for name, points in moving(scene):
            bodies = 1 if name == "object" else len(scene.hands)
            value, gradient = steps(points, self.weight * self.scale / points.shape[1] / bodies)
            total[:-1] += value
            push(scene, name, points, gradient)
        return total


@dataclass
class Consistency:
    """Squared motion of the object's vertices and change of the hand's pose between frames (HandyPriors 4)."""

    weight: float
    pose: float = 1.0  # of the hand's angles (rad2) relative to the object's motion (m2)
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,): the mean over the object's points, and over the fingers' unknowns."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        if scene.model is not None:
            points = scene.object_samples
            value, gradient = steps(points, factor / points.shape[1])
            total[:-1] += value
            push(scene, "object", points, gradient)
        for side in scene.hands:
            for name in (f"{side}.fingers", f"{side}.turn", f"{side}.place"):
                if name not in scene.given:  # a robot's hand is known
                    continue
                value, gradient = steps(scene.given[name], factor * self.pose)
                total[:-1] += value
                scene.push(name, gradient)
        return total


@dataclass
class Oscillation:
    """Squared change of the object's velocity over three frames (HandyPriors 5)."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) m2, the mean over the object's points."""
        total = np.zeros(scene.count)
        if scene.model is None or scene.count < 3:
            return total
        points = scene.object_samples
        factor = self.weight * self.scale / points.shape[1]
        bend = np.diff(points, n=2, axis=0)
        total[1:-1] += factor * (bend**2).sum(axis=(1, 2))
        push(scene, "object", points, differences(differences(2.0 * factor * bend)))
        return total


@dataclass
class Sliding:
    """How far contact vertices of the hand slide in the object's frame from frame to frame (HandyPriors)."""

    weight: float
    near: float = 0.001  # m of the object's surface within which a vertex is in contact in both frames
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) m, the mean over the contact vertices."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        if scene.model is None:
            return total
        for side in scene.hands:
            vertices = scene.hand_vertices(side)
            touching = np.stack([scene.distances(b, vertices[b])[0] < self.near for b in range(scene.count)])
            local = [(vertices[b] - scene.place[b]) @ scene.rotation[b] for b in range(scene.count)]
            for b in range(1, scene.count):
                ids = np.flatnonzero(touching[b] & touching[b - 1])
                off = local[b][ids] - local[b - 1][ids]
                slid = np.linalg.norm(off, axis=1)
                ids, off, slid = ids[slid > 1e-9], off[slid > 1e-9], slid[slid > 1e-9]
                if not len(ids):
                    continue
                total[b] += factor * slid.mean()
                each = factor / len(ids) * off / slid[:, None]
                for frame, sign in ((b, 1.0), (b - 1, -1.0)):
                    world = sign * each @ scene.rotation[frame].T
                    np.add.at(scene.hands[side].by_points[frame], 16 + ids, world)
                    scene.push_object(frame, vertices[frame, ids], -world)
        return total


@dataclass
class PoseComponents:
    """Squared coefficients of the pose prior's components (HOMan's regularisation of MANO's PCA)."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) means over the components and hands."""
        total = np.zeros(scene.count)
        for side in scene.hands:
            fingers = scene.given[f"{side}.fingers"]
            factor = self.weight * self.scale / fingers.shape[1] / len(scene.hands)
            total += factor * (fingers**2).sum(axis=1)
            scene.push(f"{side}.fingers", 2.0 * factor * fingers)
        return total


@dataclass
class SizeDeviation:
    """Squared deviation of the scales of hands and object from the category's mean size, 1 (HOMan, after PHOSA)."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) of the whole clip, spread over its frames."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        for name in (*(f"{side}.scale" for side in scene.hands), "object.scale"):
            if name in scene.unknowns:
                off = scene.unknowns[name] - 1.0
                total += factor * float(off @ off)
                scene.push(name, 2.0 * factor * scene.count * off)
        return total


@dataclass
class ShapePrior:
    """Squared shape components, in standard deviations; TF-HOT names none, but its shapes are drawn from it."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) sums."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        for side in scene.hands:
            name = f"{side}.shape"
            if name in scene.unknowns:
                total += factor * (scene.unknowns[name] ** 2).sum(axis=1)
                shared = scene.count / len(scene.unknowns[name])
                scene.push(name, 2.0 * factor * shared * scene.unknowns[name])
        return total
