"""The mass that the fingertips of a Reference can hold: an upper bound from motor torques and friction alone."""

import numpy as np
from scipy.optimize import linprog

from dexhot.data.types import Reference
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_rotate
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.grasp import friction_cone, takes_part
from dexhot.robots.kinematics.hand import HandModel
from dexhot.simulation.setup import Setup


def held_mass(reference: Reference, setup: Setup) -> float | None:
    """Mass (kg) that the fingertips can hold against gravity in the middle of the grasp; None without planned contacts.

    The maximum vertical force of fingertip forces within friction cones and motor torque limits, whose horizontal
    components cancel. Moments and the lift's acceleration are neglected, so the actual mass is smaller; support by the
    palm is neglected too.
    """
    t = (reference.grasp_start + reference.grasp_end) // 2
    touching = np.flatnonzero(takes_part(reference.contact[t]))
    if not len(touching):
        return None
    hand, physics = setup.hand, setup.physics
    model = HandModel(hand, (), reference.base_quat)
    model.move(reference.q[t])
    pose = reference.object_pose[t]
    outward = ConvexUnion(setup.asset.pieces).distance(transform(inverse(pose), model.points()[touching]))[1]
    friction = physics.sliding(setup.asset.friction)
    edges = np.stack([friction_cone(quat_rotate(pose[3:], n), friction) for n in outward])  # (k, EDGES, 3)
    jacobian = model.point_jacobian()[touching][:, :, 6:]  # (k, 3, n)
    torque = np.einsum("kei,kin->nke", edges, jacobian).reshape(jacobian.shape[2], -1)
    limit = np.minimum(hand.effort, physics.finger(hand).torque)
    force = edges.reshape(-1, 3)
    found = linprog(
        -force[:, 2],
        A_ub=np.concatenate([torque, -torque]),
        b_ub=np.concatenate([limit, limit]),
        A_eq=force[:, :2].T,
        b_eq=np.zeros(2),
    )
    return float(-found.fun / -physics.gravity[2]) if found.success else 0.0
