"""Rewards of pick-up tasks: pose trajectory following (TF-HOT, eq. 10, algorithm 1, table 4), and the environment's own
sparse and dense rewards (eq. 11) that it stands beside.

The paper leaves w1, w2, c1, c2, the radius of success and the height of "lifted" open: the numbers here are ours.
"""

from dataclasses import dataclass

import numpy as np

from dexhot.geometry.equivalents import Symmetric, reduced_angle
from dexhot.geometry.rotations import quat_angle

DIGITS = 5  # fingertips that algorithm 1 sums over


@dataclass(frozen=True)
class FollowingOptions:
    """Constants of eq. 10 and algorithm 1."""

    epsilon: float = 0.04  # table 4: poses nearer than this match
    beta: float = 0.1  # table 4: by how much a later frame pays more
    w: float = 2.0  # table 4: of the distance in tanh
    position: float = 0.2  # w1 of eq. 10, per m: fingertips match within 4 cm on average, also displaced by the noise
    rotation: float = 0.02  # w2 of eq. 10, per rad: or within 23 degrees


@dataclass(frozen=True)
class PickupReward:
    """Constants of the environment's rewards, and table 4's scales of the sum."""

    lifted: float = 0.03  # m, rise of an object that counts as lifted
    reached: float = 0.025  # m, distance from the goal that counts as success
    partial: float = 0.4  # sparse reward of a lifted object
    hand_reaching: float = 1.0  # w1 of eq. 11
    object_reaching: float = 1.0  # w2
    lifting: float = 1.0  # w3
    hand_scale: float = 5.0  # c1, per m
    object_scale: float = 5.0  # c2, per m
    origin_scale: float = 5.0  # table 4
    total_scale: float = 0.01  # table 4


def pose_distance(
    a: np.ndarray, b: np.ndarray, options: FollowingOptions, symmetry: Symmetric | None = None
) -> np.ndarray:
    """Eq. 10 between poses (..., 7) that broadcast; the angle up to `symmetry`, if there is one."""
    angle = reduced_angle(symmetry, a[..., 3:], b[..., 3:]) if symmetry else quat_angle(a[..., 3:], b[..., 3:])
    distance: np.ndarray = np.linalg.norm(a[..., :3] - b[..., :3], axis=-1)
    return options.position * distance + options.rotation * angle


def furthest(distance: np.ndarray, epsilon: float) -> np.ndarray:
    """(N,) the largest frame i, from 1, whose distance (N, n) is below epsilon; 0 for none."""
    near = distance < epsilon
    last: np.ndarray = near.shape[1] - np.argmax(near[:, ::-1], axis=1)
    return np.where(near.any(axis=1), last, 0)


class TrajectoryProgress:
    """Algorithm 1 over N worlds: pays for each frame of a demonstration that is reached further than ever before.

    Frames count from 1; the prefix indices begin at 0. Once the object was at the last frame, being near it pays.
    """

    def __init__(
        self,
        tips: np.ndarray,
        object_pose: np.ndarray,
        size: int,
        options: FollowingOptions,
        symmetry: Symmetric | None = None,
    ):
        """tips (n, k, 7): the fingertips in the object's frame; object_pose (n, 7): world."""
        self.tips, self.object_pose, self.options, self.symmetry = tips, object_pose, options, symmetry
        self.length = len(tips)
        self.hand, self.object = np.zeros(size, int), np.zeros(size, int)  # prefix indices

    def reset(self, rows: np.ndarray, tips: np.ndarray, object_pose: np.ndarray) -> None:
        """Begin episodes in worlds `rows` with fingertips (R, k, 7), in the object's frame, and object_pose (R, 7).

        Frames that the start matches are reached: an object at rest matches all in which it has not yet risen by
        epsilon, and paid as progress they would be most of a return, whatever the policy does.
        """
        o = self.options
        self.hand[rows] = furthest(self.hand_distance(tips), o.epsilon)
        self.object[rows] = furthest(self._object_distance(object_pose), o.epsilon)

    def reward(self, tips: np.ndarray, object_pose: np.ndarray) -> np.ndarray:
        """(N,) of a step that led to fingertips (N, k, 7), in the object's frame, and object_pose (N, 7)."""
        o, n = self.options, self.length
        hand = self.hand_distance(tips)
        objects = self._object_distance(object_pose)
        at_hand, at_object = furthest(hand, o.epsilon), furthest(objects, o.epsilon)
        r_hand = np.where(self.hand < at_hand, self._paid(at_hand, hand), 0.0)
        r_object = np.where(self.object < at_object, self._paid(at_object, objects), 0.0)
        at_end = (self.object == n) | (at_object == n)
        r_object = np.where(at_end, 1.0 - np.tanh(o.w * objects[:, -1]), r_object)
        self.hand, self.object = np.maximum(self.hand, at_hand), np.maximum(self.object, at_object)
        return r_hand + r_object

    def hand_distance(self, tips: np.ndarray) -> np.ndarray:
        """(N, n) the sum over five fingertips, or of fewer what five with their mean would have."""
        each = pose_distance(self.tips, tips[:, None], self.options)
        summed: np.ndarray = DIGITS * each.mean(axis=-1)
        return summed

    def _object_distance(self, object_pose: np.ndarray) -> np.ndarray:
        """(N, n)."""
        return pose_distance(self.object_pose, object_pose[:, None], self.options, self.symmetry)

    def _paid(self, at: np.ndarray, distance: np.ndarray) -> np.ndarray:
        near = np.take_along_axis(distance, np.maximum(at - 1, 0)[:, None], axis=1)[:, 0]
        paid: np.ndarray = (1.0 + self.options.beta * at) * (1.0 - np.tanh(self.options.w * near))
        return paid


def sparse(rise: np.ndarray, to_goal: np.ndarray, r: PickupReward) -> np.ndarray:
    """0.4 for a lifted object, 1 for one at the goal: rise and distance (N,) m."""
    return np.where(to_goal < r.reached, 1.0, r.partial * (rise > r.lifted))


def dense(rise: np.ndarray, to_goal: np.ndarray, to_hand: np.ndarray, r: PickupReward) -> np.ndarray:
    """Eq. 11, normalised by the sum of its weights. to_hand (N,) m: from the fingertips' mean to the object."""
    reaching = r.hand_reaching * (1.0 - np.tanh(r.hand_scale * to_hand))
    moving = r.object_reaching * (1.0 - np.tanh(r.object_scale * to_goal))
    lifting = r.lifting * (rise > r.lifted)
    shaped = (reaching + moving + lifting) / (r.hand_reaching + r.object_reaching + r.lifting)
    reward: np.ndarray = np.maximum(shaped, 1.0 * (to_goal < r.reached))
    return reward
