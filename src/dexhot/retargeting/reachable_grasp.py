"""Selects, among the grasps of an object, the one that this robot hand can reach near the human hand.

Contacts are searched around the measured fingertips, the hand is posed on each grasp found, and the search is repeated
around the fingertips of the best poses: a hand with other proportions reaches other contacts.
"""

from dataclasses import replace

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry.poses import inverse, transform
from dexhot.retargeting.clip_solver import ClipProblem, solve_clip
from dexhot.retargeting.grasp import Grasp, GraspOptions, GraspSpace, choose_grasps
from dexhot.robots.kinematics.hand import HandModel

ITERATIONS = 16
POSED = 12  # grasps that the hand is posed on, per search
SPARE_WEIGHT = 0.3  # weight of a fingertip outside the grasp while others hold the object
REFINED = 3  # best poses around which the search is repeated


def find_grasp(
    model: HandModel,
    problem: ClipProblem,
    frame: int,
    space: GraspSpace,
    measured: np.ndarray,
    weight: np.ndarray,
    held: float,
) -> tuple[Grasp, np.ndarray]:
    """The best grasp for tips `measured` (k, 3) with `weight` (k,), and the hand vector (6+n,) on it in `frame`.

    held: weight of tips on their contacts. Raises DexhotError if no finger and thumb can touch the object.
    """
    grasps = choose_grasps(space, measured, weight)[:POSED]
    if not grasps:
        raise DexhotError(
            "this hand does not hold the object: while the object moves, no finger and thumb are within reach of it. "
            "Retarget the other hand, or without contacts (--no-contact)."
        )
    costs, reached, q = pose_costs(model, problem, frame, grasps, measured, held, space.options)
    for best in np.argsort(costs, kind="stable")[:REFINED]:
        around = np.where(grasps[best].weight[:, None] > 0, reached[best], measured)
        more = choose_grasps(space, around, grasps[best].weight)[:POSED]
        if not more:
            continue
        more_costs, _, more_q = pose_costs(model, problem, frame, more, measured, held, space.options)
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
    options: GraspOptions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cost (N,) of each grasp with the hand posed on it, the resulting fingertips (N, k, 3) and poses (N, 6+n).

    Includes the grasp's own cost, distance from the measured contacts, fingertip errors and overlaps.
    """
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
        touching=np.array([grasp.active for grasp in grasps]),
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
    return costs, reached, q
