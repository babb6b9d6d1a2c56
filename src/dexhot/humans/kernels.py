"""Compiled loops of a skinned hand or body: forward kinematics, skinning, the Jacobian of skinned points and its
transpose.

A point is skinned to at most four joints. The joints (16 of a hand) are points too, each bound to itself, so joints and
vertices have one formula. Columns of a Jacobian: 0-2 rotation of the root (right increment), 3-5 translation, then the
other joints' rotation vectors (of a hand 6-50). Forward kinematics and the transpose serve any number of joints.
"""

import numpy as np
from numba import njit

POSE_SIZE = 51
MOST_MOVERS = 12  # joints that move one vertex; a fingertip has three and the root
MOST_ENTRIES = 3 * MOST_MOVERS + 3  # of a row of a point's Jacobian that are not 0

# What the points of a posed hand depend on: rest (N, 3), the rest pose's joints (16, 3), bones (N, 4) and their weights
# (N, 4); below[k, m]: joint m is k or one of its descendants; movers (N, MOST_MOVERS) of each point in rising order,
# the root first, of which the first mover_counts (N,) count; of the pose: world (16, 3, 3), axes (16, 3, 3) and places
# (16, 3).
Binding = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray,
    np.ndarray,
]  # fmt: skip


@njit(cache=True)
def from_series(w: np.ndarray, a: float, b: float, out: np.ndarray) -> None:
    """I + a [w] + b [w]^2 into `out` (3, 3), with the cross product's matrix [w] of w (3,)."""
    x, y, z = w[0], w[1], w[2]
    out[0, 0], out[0, 1], out[0, 2] = 1.0 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y
    out[1, 0], out[1, 1], out[1, 2] = b * x * y + a * z, 1.0 - b * (x * x + z * z), b * y * z - a * x
    out[2, 0], out[2, 1], out[2, 2] = b * x * z - a * y, b * y * z + a * x, 1.0 - b * (x * x + y * y)


@njit(cache=True)
def exponential(w: np.ndarray, R: np.ndarray) -> None:
    """Rotation matrix of the rotation vector w (3,), into R (3, 3)."""
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    if square < 1e-12:
        a, b = 1.0, 0.5
    else:
        angle = np.sqrt(square)
        a, b = np.sin(angle) / angle, (1.0 - np.cos(angle)) / square
    from_series(w, a, b, R)


@njit(cache=True)
def logarithm(R: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) of a matrix (3, 3) whose angle is well below pi, as that of one frame's change."""
    w = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    sine = np.sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2])
    if sine < 1e-9:
        return w
    out: np.ndarray = w * (np.arctan2(sine, 0.5 * (R[0, 0] + R[1, 1] + R[2, 2] - 1.0)) / sine)
    return out


@njit(cache=True)
def right_jacobian(w: np.ndarray, J: np.ndarray) -> None:
    """Right Jacobian of SO(3) at the rotation vector w (3,), into J (3, 3): exp(w + dw) = exp(w) exp(J dw)."""
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    if square < 1e-10:
        a, b = -0.5, 1.0 / 6.0
    else:
        angle = np.sqrt(square)
        a, b = -(1.0 - np.cos(angle)) / square, (angle - np.sin(angle)) / (square * angle)
    from_series(w, a, b, J)


@njit(cache=True)
def forward(
    root: np.ndarray,
    translation: np.ndarray,
    fingers: np.ndarray,
    joints: np.ndarray,
    parents: np.ndarray,
    local: np.ndarray,
    world: np.ndarray,
    axes: np.ndarray,
    places: np.ndarray,
) -> None:
    """Forward kinematics of J joints; `fingers` (J - 1, 3) are the rotation vectors of all but the root.

    Into local (J, 3, 3) and world (J, 3, 3) rotations, axes (J, 3, 3), whose columns are the world axes about which
    a joint's parameters turn, and places (J, 3).
    """
    J = np.empty((3, 3))
    for a in range(3):
        places[0, a] = joints[0, a] + translation[a]
        for b in range(3):
            local[0, a, b] = world[0, a, b] = axes[0, a, b] = root[a, b]
    for k in range(1, len(joints)):
        q = parents[k]
        exponential(fingers[k - 1], local[k])
        right_jacobian(fingers[k - 1], J)
        for a in range(3):
            place = places[q, a]
            for c in range(3):
                place += world[q, a, c] * (joints[k, c] - joints[q, c])
            places[k, a] = place
            for b in range(3):
                world[k, a, b] = (
                    world[q, a, 0] * local[k, 0, b] + world[q, a, 1] * local[k, 1, b] + world[q, a, 2] * local[k, 2, b]
                )
        for a in range(3):
            for b in range(3):
                axes[k, a, b] = world[k, a, 0] * J[0, b] + world[k, a, 1] * J[1, b] + world[k, a, 2] * J[2, b]


@njit(cache=True)
def skin(
    rest: np.ndarray,
    joints: np.ndarray,
    bones: np.ndarray,
    weights: np.ndarray,
    world: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
) -> None:
    """Rest points (N, 3), bound to bones (N, 4) with weights (N, 4), into out (N, 3)."""
    for i in range(rest.shape[0]):
        out[i, :] = 0.0
        for c in range(4):
            w = weights[i, c]
            if w > 0.0:
                m = bones[i, c]
                x, y, z = rest[i, 0] - joints[m, 0], rest[i, 1] - joints[m, 1], rest[i, 2] - joints[m, 2]
                for a in range(3):
                    out[i, a] += w * (world[m, a, 0] * x + world[m, a, 1] * y + world[m, a, 2] * z + places[m, a])


@njit(cache=True)
def _carry(i: int, binding: Binding, part: np.ndarray) -> None:
    """Where each of its four bones carries point i, into part (4, 3)."""
    rest, joints, bones, _, _, _, _, world, _, places = binding
    for c in range(4):
        m = bones[i, c]
        x, y, z = rest[i, 0] - joints[m, 0], rest[i, 1] - joints[m, 1], rest[i, 2] - joints[m, 2]
        for a in range(3):
            part[c, a] = world[m, a, 0] * x + world[m, a, 1] * y + world[m, a, 2] * z + places[m, a]


@njit(cache=True)
def _arm(i: int, k: int, binding: Binding, part: np.ndarray) -> tuple[float, float, float]:
    """From joint k to what it moves of point i, weighted."""
    _, _, bones, weights, below, _, _, _, _, places = binding
    x, y, z = 0.0, 0.0, 0.0
    for c in range(4):
        w = weights[i, c]
        if w > 0.0 and below[k, bones[i, c]]:
            x += w * (part[c, 0] - places[k, 0])
            y += w * (part[c, 1] - places[k, 1])
            z += w * (part[c, 2] - places[k, 2])
    return x, y, z


@njit(cache=True)
def regressed_points(rows: np.ndarray, ids: np.ndarray, shares: np.ndarray, binding: Binding, out: np.ndarray) -> None:
    """The sums of shares (E,) of the points `ids` (E,) by rows (E,), into out (R, 3)."""
    weights, part = binding[3], np.empty((4, 3))
    out[:] = 0.0
    for e in range(ids.shape[0]):
        i = ids[e]
        _carry(i, binding, part)
        for a in range(3):
            out[rows[e], a] += shares[e] * (
                weights[i, 0] * part[0, a]
                + weights[i, 1] * part[1, a]
                + weights[i, 2] * part[2, a]
                + weights[i, 3] * part[3, a]
            )


@njit(cache=True)
def regressed_jacobians(
    rows: np.ndarray, ids: np.ndarray, shares: np.ndarray, binding: Binding, out: np.ndarray
) -> None:
    """d regressed_points / d pose, into out (R, 3, 51)."""
    _, _, _, _, _, movers, mover_counts, _, axes, _ = binding
    part = np.empty((4, 3))
    out[:] = 0.0
    for e in range(ids.shape[0]):
        i, row, share = ids[e], rows[e], shares[e]
        _carry(i, binding, part)
        for q in range(mover_counts[i]):
            k = movers[i, q]
            x, y, z = _arm(i, k, binding, part)
            first = 3 + 3 * k if k else 0
            for b in range(3):
                ax, ay, az = share * axes[k, 0, b], share * axes[k, 1, b], share * axes[k, 2, b]
                out[row, 0, first + b] += ay * z - az * y
                out[row, 1, first + b] += az * x - ax * z
                out[row, 2, first + b] += ax * y - ay * x
        for a in range(3):
            out[row, a, 3 + a] += share


@njit(cache=True)
def directed_row(
    i: int, direction: np.ndarray, binding: Binding, part: np.ndarray, columns: np.ndarray, values: np.ndarray
) -> int:
    """direction (3,) . d point i / d pose without its zeros, into columns and values, of which so many count.

    Columns are in rising order. `part` (4, 3) is room to work in.
    """
    _, _, _, _, _, movers, mover_counts, _, axes, _ = binding
    dx, dy, dz = direction[0], direction[1], direction[2]
    _carry(i, binding, part)
    n = 0
    for q in range(mover_counts[i]):
        k = movers[i, q]
        x, y, z = _arm(i, k, binding, part)
        tx, ty, tz = y * dz - z * dy, z * dx - x * dz, x * dy - y * dx
        first = 3 + 3 * k if k else 0
        for b in range(3):
            columns[n], values[n] = first + b, axes[k, 0, b] * tx + axes[k, 1, b] * ty + axes[k, 2, b] * tz
            n += 1
        if k == 0:  # the root moves every point, and the translation is next to it
            for a in range(3):
                columns[n], values[n] = 3 + a, direction[a]
                n += 1
    return n


@njit(cache=True)
def pull_back(
    gradient: np.ndarray,
    rest: np.ndarray,
    joints: np.ndarray,
    bones: np.ndarray,
    weights: np.ndarray,
    parents: np.ndarray,
    world: np.ndarray,
    axes: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
    by_rest: np.ndarray,
    by_joint: np.ndarray,
) -> None:
    """The transposed Jacobian applied to a gradient by points (N, 3): into out (3 + 3 J,), by_rest (N, 3) and
    by_joint (J, 3).

    The gradient acts as forces on the points: each joint feels the torque of all that it moves. The latter two are by
    the rest pose's points and joints, which the shape moves.
    """
    count = len(joints)
    force, torque = np.zeros((count, 3)), np.zeros((count, 3))  # of the points of each bone; torque about the origin
    by_joint[:] = 0.0
    for i in range(rest.shape[0]):
        gx, gy, gz = gradient[i, 0], gradient[i, 1], gradient[i, 2]
        by_rest[i, :] = 0.0
        if gx == 0.0 and gy == 0.0 and gz == 0.0:
            continue
        for c in range(4):
            w = weights[i, c]
            if w > 0.0:
                m = bones[i, c]
                x, y, z = rest[i, 0] - joints[m, 0], rest[i, 1] - joints[m, 1], rest[i, 2] - joints[m, 2]
                px = world[m, 0, 0] * x + world[m, 0, 1] * y + world[m, 0, 2] * z + places[m, 0]
                py = world[m, 1, 0] * x + world[m, 1, 1] * y + world[m, 1, 2] * z + places[m, 1]
                pz = world[m, 2, 0] * x + world[m, 2, 1] * y + world[m, 2, 2] * z + places[m, 2]
                force[m, 0] += w * gx
                force[m, 1] += w * gy
                force[m, 2] += w * gz
                torque[m, 0] += w * (py * gz - pz * gy)
                torque[m, 1] += w * (pz * gx - px * gz)
                torque[m, 2] += w * (px * gy - py * gx)
                for a in range(3):
                    pulled = w * (world[m, 0, a] * gx + world[m, 1, a] * gy + world[m, 2, a] * gz)
                    by_rest[i, a] += pulled
                    by_joint[m, a] -= pulled
    for k in range(count - 1, 0, -1):  # children have larger numbers than their parents
        q = parents[k]
        for a in range(3):
            force[q, a] += force[k, a]
            torque[q, a] += torque[k, a]
            pulled = world[q, 0, a] * force[k, 0] + world[q, 1, a] * force[k, 1] + world[q, 2, a] * force[k, 2]
            by_joint[k, a] += pulled
            by_joint[q, a] -= pulled
    for k in range(count):
        fx, fy, fz = force[k, 0], force[k, 1], force[k, 2]
        x, y, z = places[k, 0], places[k, 1], places[k, 2]
        tx, ty, tz = (
            torque[k, 0] - (y * fz - z * fy),
            torque[k, 1] - (z * fx - x * fz),
            torque[k, 2] - (x * fy - y * fx),
        )
        first = 3 + 3 * k if k else 0
        for b in range(3):
            out[first + b] = axes[k, 0, b] * tx + axes[k, 1, b] * ty + axes[k, 2, b] * tz
    for a in range(3):
        out[3 + a] = force[0, a]
        by_joint[0, a] += force[0, a]
