"""How many times a load, such as the object's weight with the lowest friction that it may meet, a posed grasp can hold.

A linear program: fingertip forces within friction cones, each with the torsion of a soft fingertip, that balance the
load at the centre of mass and stay within the joints' torques. The largest load, in any of the directions in which
gravity acts on the object while it is held.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from dexhot.retargeting.grasp import EDGES, REACH, friction_cone


@dataclass(frozen=True)
class Load:
    """What a grasp has to hold, in the mesh frame."""

    weight: float  # N
    centre: np.ndarray  # (3,) centre of mass, m
    directions: np.ndarray  # (D, 3) of gravity, unit length
    friction: float
    torsion: float  # m: torsional friction per normal force
    torque: np.ndarray  # (n,) N m that each finger joint may give


def load_margin(load: Load, points: np.ndarray, normals: np.ndarray, jacobian: np.ndarray) -> float:
    """The smallest factor over the load's directions: below 1 the grasp cannot hold it.

    points, normals (k, 3): contacts and outward normals in the mesh frame; jacobian (k, 3, n) of the points there.
    """
    k, edges = len(points), np.concatenate([friction_cone(n, load.friction) for n in normals])  # (E, 3)
    owner = np.repeat(np.arange(k), EDGES)
    E, columns = len(edges), len(edges) + k + 1  # the edges' factors, the tips' torsions, the load's factor
    balance = np.zeros((6, columns))
    balance[:3, :E] = edges.T
    balance[3:, :E] = np.cross(points[owner] - load.centre, edges).T / REACH
    balance[3:, E:-1] = normals.T / REACH
    motors = np.zeros((jacobian.shape[2], columns))
    motors[:, :E] = np.einsum("ei,ein->ne", edges, jacobian[owner])
    torsion, turned = np.zeros((k, columns)), np.zeros((k, columns))
    torsion[owner, np.arange(E)] = -load.torsion
    turned[:, E:-1] = np.eye(k)
    largest = np.zeros(columns)
    largest[-1] = -1.0
    margin = np.inf
    for direction in load.directions:
        balance[:3, -1] = load.weight * direction
        found = linprog(
            largest,
            A_ub=np.concatenate([motors, -motors, torsion + turned, torsion - turned]),
            b_ub=np.concatenate([load.torque, load.torque, np.zeros(2 * k)]),
            A_eq=balance,
            b_eq=np.zeros(6),
            bounds=[(0, None)] * E + [(None, None)] * k + [(0, None)],
        )
        margin = min(margin, float(-found.fun) if found.success else 0.0)
    return margin
