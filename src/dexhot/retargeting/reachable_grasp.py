"""Selects, among the grasps of an object, the one that this robot hand can reach near the human hand.

Contacts are searched around the measured fingertips, the hand is posed on each grasp found, and the search is repeated
around the fingertips of the best poses: a hand with other proportions reaches other contacts.
"""

from dataclasses import replace

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_conjugate, quat_rotate
from dexhot.retargeting.clip_solver import ClipProblem, solve_clip
from dexhot.retargeting.grasp import Grasp, GraspSpace, choose_grasps
from dexhot.retargeting.load_margin import GraspLoad, load_margin
from dexhot.robots.kinematics.hand import HandModel

ITERATIONS = 16
POSED = 12  # grasps that the hand is posed on, per search
SPARE_WEIGHT = 0.3  # weight of a fingertip outside the grasp while others hold the object
REFINED = 3  # best poses around which the search is repeated


class NotHeldError(DexhotError):
    """No finger and thumb of the hand are within reach of the object."""


def find_grasp(
    model: HandModel,
    problem: ClipProblem,
    frame: int,
    space: GraspSpace,
    measured: np.ndarray,
    weight: np.ndarray,
    held: float,
    load: GraspLoad | None = None,
) -> tuple[Grasp, np.ndarray]:
    """The best grasp for tips `measured` (k, 3) with `weight` (k,), and the hand vector (6+n,) on it in `frame`.

    held: weight of tips on their contacts; load: what the grasp should hold, if that is asked. Raises
    NotHeldError if no finger and thumb can touch the object.
    """
    grasps = choose_grasps(space, measured, weight)[:POSED]
    if not grasps:
        raise NotHeldError(
            "this hand does not hold the object: while the object moves, no finger and thumb are within reach of it. "
            "Retarget the other hand, or without contacts (--no-contact)."
        )
    costs, reached, q = pose_costs(model, problem, frame, grasps, measured, held, space, load)
    for best in np.argsort(costs, kind="stable")[:REFINED]:
        around = np.where(grasps[best].weight[:, None] > 0, reached[best], measured)
        more = choose_grasps(space, around, grasps[best].weight)[:POSED]
        if not more:
            continue
        more_costs, _, more_q = pose_costs(model, problem, frame, more, measured, held, space, load)
        grasps, costs, q = grasps + more, np.concatenate([costs, more_costs]), np.concatenate([q, more_q])
    best = int(np.argmin(costs))
    return grasps[best], q[best]


def pose_costs(
    model: HandModel,
    problem: ClipProblem,
    frame: int,
    grasps: list[Grasp],
    measured: np.ndarray,
    held: float,
    space: GraspSpace,
    load: GraspLoad | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cost (N,) of each grasp with the hand posed on it, the resulting fingertips (N, k, 3) and poses (N, 6+n).

    Includes the grasp's own cost, distance from the measured contacts, fingertip errors, overlaps, and how far it is
    from holding the load.
    """
    options = space.options
    N, n, k = len(grasps), model.size, model.tips
    pose = problem.object_pose[frame]
    centre = np.array([transform(pose, grasp.centre) for grasp in grasps])
    tip_weight = np.array([np.where(grasp.active, held, SPARE_WEIGHT) for grasp in grasps])
    trial = replace(
        problem,
        goal=np.concatenate([centre, np.repeat(problem.goal[[frame], k:], N, 0)], axis=1),
        goal_weight=np.concatenate([tip_weight, np.repeat(problem.goal_weight[[frame], k:], N, 0)], axis=1),
        palm=np.repeat(problem.palm[[frame]], N, 0),
        prior=np.repeat(problem.prior[[frame]], N, 0),
        object_pose=np.repeat(pose[None], N, 0),
        touching=_touching(problem, frame, grasps, model.contacts - k),
        velocity_weight=np.zeros(n),
        acceleration_weight=np.zeros(n),
    )
    costs, reached = np.empty(N), np.empty((N, k, 3))
    q = solve_clip(model, trial, trial.prior, ITERATIONS)
    for i, grasp in enumerate(grasps):
        model.move(q[i], pose)
        tips = model.points()[:k]
        missed = ((tips - centre[i]) ** 2).sum(1) / options.miss**2
        away = ((grasp.centre - measured) ** 2).sum(1) / options.displacement**2
        overlap = min(0.0, model.gaps().distance.min(initial=0.0)) / options.overlap
        costs[i] = grasp.cost + grasp.weight @ (missed + away) + overlap**2
        reached[i] = transform(inverse(pose), tips)
        if load is not None:
            costs[i] += options.weak * max(0.0, 1.0 - posed_margin(model, grasp, pose, space, load)) ** 2
    return costs, reached, q


def _touching(problem: ClipProblem, frame: int, grasps: list[Grasp], pads: int) -> np.ndarray:
    """(N, k+p) bool: the fingertips of each grasp, and the pads that the problem lets touch in the frame."""
    active = np.array([grasp.active for grasp in grasps])
    links = np.zeros(pads, bool) if problem.touching is None else problem.touching[frame, active.shape[1] :]
    return np.concatenate([active, np.repeat(links[None], len(grasps), axis=0)], axis=1)


def posed_margin(model: HandModel, grasp: Grasp, pose: np.ndarray, space: GraspSpace, load: GraspLoad) -> float:
    """The load margin of a grasp with the hand as posed in `model` and the object at `pose` (7,)."""
    held = grasp.active
    if held.sum() < 2:
        return 0.0
    jacobian = model.point_jacobian()[: model.tips][held][:, :, 6:]
    in_mesh = quat_rotate(quat_conjugate(pose[3:]), jacobian.transpose(0, 2, 1)).transpose(0, 2, 1)
    points = grasp.centre[held] - space.radius * grasp.normal[held]
    return load_margin(load, points, grasp.normal[held], in_mesh)
