"""Grasp selection: opposing contacts close to the human fingertips.

All in the object's mesh frame. A fingertip is a sphere; a contact is the position of its centre, one tip radius off the
surface, and the outward surface normal there. Measured fingertips have errors of a centimetre, which often puts them on
an edge or a slope that pushes the object away; so contacts are searched on the level set around each of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from scipy.optimize import nnls

from dexhot.geometry.sdf import ConvexUnion

TAKES_PART = 0.2  # weight above which a fingertip is part of a grasp
EDGES = 8  # of the pyramid inside a friction cone
REACH = 0.03  # m, lever arm that converts a net torque to a force
EVENNESS, THUMB_FORCE = 0.1, 3.0  # of balanced forces: weight of evenness, and desired sum of the thumb's


@dataclass(frozen=True)
class GraspOptions:
    """Lengths in m."""

    search: float = 0.036  # largest distance of a contact from the measured tip
    grid: float = 0.004  # spacing of candidates
    displacement: float = 0.012  # a displacement from the measured tip by this much costs 1
    alignment: float = 20.0  # cost of a contact normal at right angles to the opposition axis
    spacing: float = 0.024  # fingertips nearer to each other cost up to `crowding`
    crowding: float = 4.0
    friction: float = 0.1  # friction cone of the force balance, narrow because tangential forces cause creep
    imbalance: float = 30.0  # cost of a grasp without any force balance
    omitted: float = 14.0  # cost of omitting a finger: between two fingertips an object can rotate and roll away
    weak: float = 40.0  # cost of a grasp that can hold nothing of the load (load_margin.py)
    starts: int = 4  # starts of the search per finger subset
    miss: float = 0.0015  # a fingertip error of this much costs 1
    overlap: float = 0.002  # and so does an overlap of this depth


@dataclass
class Grasp:
    """Contacts of k fingertips."""

    centre: np.ndarray  # (k, 3) m, of the tip's sphere
    normal: np.ndarray  # (k, 3) outward
    weight: np.ndarray  # (k,) in [0, 1]: participation of a tip
    force: np.ndarray  # (k, 3) on the object, balanced, the thumb's normal component is 1
    cost: float  # of alignment, crowding, imbalance and omitted fingers

    @property
    def active(self) -> np.ndarray:
        """(k,) bool: the fingertips that participate."""
        return takes_part(self.weight)


@dataclass(frozen=True)
class GraspSpace:
    """Constants of the grasp search: the object's shape, the fingertips and their allowed positions."""

    solid: ConvexUnion
    radius: float  # m, of the tips' spheres
    thumb: int  # index of the tip that opposes the others
    allowed: Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N,) bool: allowed positions of a tip's centre
    options: GraspOptions = field(default_factory=GraspOptions)

    def contacts_near(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres (C, 3) around x (3,) whose sphere touches the solid, and the outward directions (C, 3) there."""
        o = self.options
        steps = np.arange(-o.search, o.search + 1e-9, o.grid)
        ball = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
        points = x + ball[np.linalg.norm(ball, axis=1) <= o.search]
        distance, normal = self.solid.distance(points)
        near = np.abs(distance - self.radius) < o.grid
        points, distance, normal = points[near], distance[near], normal[near]
        for _ in range(2):
            points = points + (self.radius - distance)[:, None] * normal
            distance, normal = self.solid.distance(points)
        keep = (np.abs(distance - self.radius) < 3e-4) & self.allowed(points)
        return points[keep], normal[keep]


def takes_part(weight: np.ndarray) -> np.ndarray:
    """Whether fingertips of `weight` (...), 0 to 1, are part of a grasp."""
    return weight > TAKES_PART


def choose_grasps(space: GraspSpace, measured: np.ndarray, weight: np.ndarray) -> list[Grasp]:
    """Grasps near measured tip centres (k, 3), the cheapest first. weight (k,): confidence of each tip's contact."""
    candidates = [space.contacts_near(x) for x in measured]
    weight = np.where([len(c[0]) > 0 for c in candidates], weight, 0.0)
    rng = np.random.default_rng(0)
    grasps: dict[tuple[int, ...], Grasp] = {}
    for used in _finger_choices(weight, space.thumb):
        choice = _Choice(space, measured, weight * used, candidates)
        for start in range(space.options.starts):
            shift = rng.normal(0.0, 0.015, measured.shape) if start else 0.0
            chosen = choice.descend(measured + shift)
            if tuple(chosen) not in grasps:
                grasp = choice.grasp(chosen)
                grasp.cost += space.options.omitted * (weight * ~used).sum()
                grasps[tuple(chosen)] = grasp
    return sorted(grasps.values(), key=lambda grasp: grasp.cost)


def _finger_choices(weight: np.ndarray, thumb: int) -> Iterator[np.ndarray]:
    """(k,) bool each: the thumb with every non-empty subset of the fingers that may touch."""
    fingers = [i for i in np.flatnonzero(takes_part(weight)) if i != thumb]
    for chosen in product((True, False), repeat=len(fingers)):
        if any(chosen):
            used = np.zeros(len(weight), bool)
            used[thumb] = True
            used[fingers] = chosen
            yield used


class _Choice:
    """Selection of one candidate per tip, for tips measured at (k, 3) with weight (k,)."""

    def __init__(
        self,
        space: GraspSpace,
        measured: np.ndarray,
        weight: np.ndarray,
        candidates: list[tuple[np.ndarray, np.ndarray]],
    ):
        self.space, self.measured, self.weight, self.candidates = space, measured, weight, candidates

    def descend(self, start: np.ndarray) -> np.ndarray:
        """Coordinate descent: the best candidate (k,) of each tip in turn, until none changes; -1 for a tip without
        candidates."""
        centre = np.array(start, float)
        chosen = np.full(len(start), -1)
        for _ in range(10):
            before = chosen.copy()
            for k, near in enumerate(self.measured):
                if self.weight[k] == 0.0:
                    centre[k] = near
                    continue
                points, normals = self.candidates[k]
                chosen[k] = int(self.tip_cost(k, near, points, normals, centre, chosen).argmin())
                centre[k] = points[chosen[k]]
            if (chosen == before).all():
                break
        return chosen

    def tip_cost(
        self, k: int, near: np.ndarray, points: np.ndarray, normals: np.ndarray, centre: np.ndarray, chosen: np.ndarray
    ) -> np.ndarray:
        """Cost (C,) of each of `points` for tip k, measured at `near`, with the other tips at `centre` (k, 3)."""
        o, weight, thumb = self.space.options, self.weight, self.space.thumb
        others = [i for i in range(len(centre)) if i != k]
        cost: np.ndarray = ((points - near) ** 2).sum(1) / o.displacement**2
        if k == thumb:
            middle = (weight[others, None] * centre[others]).sum(0) / max(weight[others].sum(), 1e-6)
            cost = cost + o.alignment * _misaligned(normals, points - middle)
            for i in others:
                if chosen[i] >= 0:
                    normal = self.candidates[i][1][chosen[i]]
                    cost = cost + o.alignment * weight[i] * _misaligned(normal, centre[i] - points)
        else:
            cost = weight[k] * (cost + o.alignment * _misaligned(normals, points - centre[thumb]))
            for i in others:
                if i != thumb:
                    gap = np.linalg.norm(points - centre[i], axis=1) / o.spacing
                    cost = cost + o.crowding * (1.0 - gap).clip(0) ** 2
        return cost

    def grasp(self, chosen: np.ndarray) -> Grasp:
        """The grasp of these candidates; its cost excludes the distance from the measured tips."""
        touching = chosen >= 0
        centre, normal = self.measured.copy(), np.zeros_like(self.measured)
        for i in np.flatnonzero(touching).tolist():
            centre[i], normal[i] = (part[chosen[i]] for part in self.candidates[i])
        weight, o = self.weight * touching, self.space.options
        force, imbalance = balanced_forces(centre, normal, weight, self.space.thumb, o.friction)
        cost = o.imbalance * imbalance
        for i in np.flatnonzero(touching).tolist():
            cost += self.tip_cost(i, centre[i], centre[[i]], normal[[i]], centre, chosen)[0]
        return Grasp(centre, normal, weight, force, float(cost))


def _misaligned(normals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """1 - cos of the angle between unit normals and directions."""
    length = np.linalg.norm(directions, axis=-1)
    misalignment: np.ndarray = 1.0 - (normals * directions).sum(-1) / np.maximum(length, 1e-9)
    return misalignment


def balanced_forces(
    centre: np.ndarray, normal: np.ndarray, weight: np.ndarray, thumb: int, friction: float
) -> tuple[np.ndarray, float]:
    """Balanced forces (k, 3) within the friction cones, with a thumb's normal force of 1; and the residual.

    The residual is the norm of the net force and of the net torque divided by REACH: 0 for a force-closure squeeze.
    """
    active = np.flatnonzero(takes_part(weight))
    if thumb not in active or len(active) < 2:
        return np.zeros_like(centre), 1.0
    middle = centre[active].mean(0)
    edges = np.concatenate([friction_cone(n, friction) for n in normal[active]])
    owner = np.repeat(active, EDGES)
    torque = np.cross(centre[owner] - middle, edges) / REACH
    squeeze = THUMB_FORCE * (owner == thumb)
    even = EVENNESS * np.eye(len(edges))  # distributes the force over the fingers
    A = np.concatenate([edges.T, torque.T, squeeze[None], even])
    b = np.concatenate([np.zeros(6), [THUMB_FORCE], np.zeros(len(edges))])
    f, _ = nnls(A, b)
    force = np.zeros_like(centre)
    np.add.at(force, owner, f[:, None] * edges)
    press = max(-force[thumb] @ normal[thumb], 1e-3)
    net = np.concatenate([edges.T @ f, torque.T @ f]) / press
    return force / press, min(float(np.linalg.norm(net)), 1.0)


def friction_cone(outward: np.ndarray, friction: float) -> np.ndarray:
    """(EDGES, 3) forces with unit normal component on the edge of the friction cone, for a surface with this normal
    (3,)."""
    t = np.cross(outward, np.eye(3)[np.abs(outward).argmin()])
    t /= np.linalg.norm(t)
    angle = np.arange(EDGES) * 2 * np.pi / EDGES
    around = np.cos(angle)[:, None] * t + np.sin(angle)[:, None] * np.cross(outward, t)
    edges: np.ndarray = friction * around - outward
    return edges
