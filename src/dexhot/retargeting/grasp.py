"""Choosing where a hand holds an object: contacts that oppose each other, close to where the human fingers were.

All in the object's mesh frame. A fingertip is a sphere; a contact is the place of its centre, one tip radius off the
surface, and the surface's outward direction there. Measured fingertips are off by a centimetre, which often puts them
on an edge or on a slope that pushes the object away; so contacts are searched for on the level set around each of them.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import nnls

from dexhot.geometry.sdf import ConvexUnion


@dataclass(frozen=True)
class GraspOptions:
    """Lengths in m."""

    search: float = 0.036  # how far from the measured tip a contact may be
    grid: float = 0.004  # between candidates
    displacement: float = 0.012  # a move by this much costs 1
    alignment: float = 20.0  # cost of a contact normal at right angles to the opposition axis
    spacing: float = 0.024  # fingertips nearer to each other cost up to `crowding`
    crowding: float = 4.0
    friction: float = 0.1  # the cone within which forces must balance: tangential ones creep long before they slip
    imbalance: float = 30.0  # cost of a grasp whose forces cannot balance at all
    omitted: float = 14.0  # cost of leaving out a finger: two fingertips alone let an object turn and roll away
    starts: int = 4  # per choice of fingers
    miss: float = 0.0015  # a fingertip that stays this far from its contact costs 1
    overlap: float = 0.002  # and so does an overlap as deep


@dataclass
class Grasp:
    """Contacts of k fingertips."""

    centre: np.ndarray  # (k, 3) m, of the tip's sphere
    normal: np.ndarray  # (k, 3) outward
    weight: np.ndarray  # (k,) in [0, 1]: how much a tip takes part
    force: np.ndarray  # (k, 3) on the object, balanced, the thumb's normal component is 1
    cost: float  # of alignment, crowding, imbalance and fingers left out


def choose_grasps(measured, weight, thumb: int, solid: ConvexUnion, radius: float, allowed, options: GraspOptions):
    """Grasps near measured tip centres (k, 3), the cheapest first.

    weight (k,): how sure it is that a tip touches. allowed: (N, 3) -> (N,) bool, where a tip's centre may be.
    """
    candidates = [_candidates(x, solid, radius, allowed, options) for x in measured]
    weight = np.where([len(c[0]) > 0 for c in candidates], weight, 0.0)
    rng = np.random.default_rng(0)
    grasps: dict[tuple, Grasp] = {}
    for used in _finger_choices(weight, thumb):
        for start in range(options.starts):
            shift = rng.normal(0.0, 0.015, measured.shape) if start else 0.0
            chosen = _descend(measured, measured + shift, weight * used, thumb, candidates, options)
            if tuple(chosen) not in grasps:
                grasp = _grasp(measured, weight * used, thumb, candidates, chosen, options)
                grasp.cost += options.omitted * (weight * ~used).sum()
                grasps[tuple(chosen)] = grasp
    return sorted(grasps.values(), key=lambda grasp: grasp.cost)


def _finger_choices(weight, thumb: int):
    """(k,) bool each: the thumb with every non-empty choice of the fingers that may touch."""
    fingers = [i for i in np.flatnonzero(weight > 0.2) if i != thumb]
    for chosen in product((True, False), repeat=len(fingers)):
        if any(chosen):
            used = np.zeros(len(weight), bool)
            used[thumb] = True
            used[fingers] = chosen
            yield used


def _candidates(x, solid: ConvexUnion, radius: float, allowed, options: GraspOptions):
    """Centres (C, 3) around x (3,) whose sphere touches the solid, and the outward directions (C, 3) there."""
    steps = np.arange(-options.search, options.search + 1e-9, options.grid)
    ball = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    points = x + ball[np.linalg.norm(ball, axis=1) <= options.search]
    distance, normal = solid.distance(points)
    near = np.abs(distance - radius) < options.grid
    points, distance, normal = points[near], distance[near], normal[near]
    for _ in range(2):
        points = points + (radius - distance)[:, None] * normal
        distance, normal = solid.distance(points)
    keep = (np.abs(distance - radius) < 3e-4) & allowed(points)
    return points[keep], normal[keep]


def _descend(measured, start, weight, thumb: int, candidates, options: GraspOptions):
    """Indices of the candidates that are best for each tip in turn, until none changes; -1 for a tip without any."""
    centre = np.array(start, float)
    chosen = np.full(len(measured), -1)
    for _ in range(10):
        before = chosen.copy()
        for k in range(len(measured)):
            if weight[k] == 0.0:
                centre[k] = measured[k]
                continue
            points, normals = candidates[k]
            cost = _tip_cost(k, points, normals, measured, centre, chosen, candidates, weight, thumb, options)
            chosen[k] = int(cost.argmin())
            centre[k] = points[chosen[k]]
        if (chosen == before).all():
            break
    return chosen


def _tip_cost(k: int, points, normals, measured, centre, chosen, candidates, weight, thumb: int, options: GraspOptions):
    """(C,) what each candidate of tip k costs while the other tips stay at `centre` (k, 3)."""
    others = [i for i in range(len(measured)) if i != k]
    cost = ((points - measured[k]) ** 2).sum(1) / options.displacement**2
    if k == thumb:
        middle = (weight[others, None] * centre[others]).sum(0) / max(weight[others].sum(), 1e-6)
        cost = cost + options.alignment * _misaligned(normals, points - middle)
        for i in others:
            if chosen[i] >= 0:
                normal = candidates[i][1][chosen[i]]
                cost = cost + options.alignment * weight[i] * _misaligned(normal, centre[i] - points)
    else:
        cost = weight[k] * (cost + options.alignment * _misaligned(normals, points - centre[thumb]))
        for i in others:
            if i != thumb:
                gap = np.linalg.norm(points - centre[i], axis=1) / options.spacing
                cost = cost + options.crowding * (1.0 - gap).clip(0) ** 2
    return cost


def _misaligned(normals, directions):
    """1 - cos of the angle between unit normals and directions."""
    length = np.linalg.norm(directions, axis=-1)
    return 1.0 - (normals * directions).sum(-1) / np.maximum(length, 1e-9)


def _grasp(measured, weight, thumb: int, candidates, chosen, options: GraspOptions) -> Grasp:
    k = len(measured)
    touching = chosen >= 0
    centre, normal = measured.copy(), np.zeros((k, 3))
    for i in np.flatnonzero(touching).tolist():
        centre[i], normal[i] = candidates[i][0][chosen[i]], candidates[i][1][chosen[i]]
    force, imbalance = balanced_forces(centre, normal, weight * touching, thumb, options.friction)
    cost = options.imbalance * imbalance
    for i in np.flatnonzero(touching).tolist():
        point, direction = candidates[i][0][[chosen[i]]], candidates[i][1][[chosen[i]]]
        cost += _tip_cost(i, point, direction, centre, centre, chosen, candidates, weight, thumb, options)[0]
    return Grasp(centre, normal, weight * touching, force, float(cost))


def balanced_forces(centre, normal, weight, thumb: int, friction: float):
    """Forces (k, 3) within the friction cones that cancel, with a thumb's normal force of 1; and what cannot cancel.

    The second value is the norm of the net force and of the net torque over 30 mm: 0 for a grasp that can squeeze.
    """
    active = np.flatnonzero(weight > 0.2)
    if thumb not in active or len(active) < 2:
        return np.zeros_like(centre), 1.0
    middle = centre[active].mean(0)
    angle = np.arange(8) * np.pi / 4
    cones = []
    for n in normal[active]:
        t = np.cross(n, np.eye(3)[np.abs(n).argmin()])
        t /= np.linalg.norm(t)
        around = np.cos(angle)[:, None] * t + np.sin(angle)[:, None] * np.cross(n, t)
        cones.append(friction * around - n)
    edges, owner = np.concatenate(cones), np.repeat(active, len(angle))
    torque = np.cross(centre[owner] - middle, edges) / 0.03
    squeeze = 3.0 * (owner == thumb)
    even = 0.1 * np.eye(len(edges))  # spread the force over the fingers
    A = np.concatenate([edges.T, torque.T, squeeze[None], even])
    b = np.concatenate([np.zeros(6), [3.0], np.zeros(len(edges))])
    f, _ = nnls(A, b)
    force = np.zeros_like(centre)
    np.add.at(force, owner, f[:, None] * edges)
    press = max(-force[thumb] @ normal[thumb], 1e-3)
    net = np.concatenate([edges.T @ f, torque.T @ f]) / press
    return force / press, min(float(np.linalg.norm(net)), 1.0)
