"""How much flesh there is about a hand's keypoints: spheres about them reach as far as its skin does.

The skin of other people in other poses lies within 3 mm (standard deviation; 2 to 4 by keypoint convention) of where
the spheres end, except at the wrist, whose sphere stands for an end that is flat.
"""

from typing import NamedTuple

import numpy as np

from dexhot.geometry.rotations import golden_spiral
from dexhot.humans.skin import HandPose, SkinnedHand

DIRECTIONS, POSES, SHAPES, ROUNDS = 200, 8, 3, 20
LEAST = 0.002  # m, of what no open hand shows


class Flesh(NamedTuple):
    """Spheres about 21 keypoints."""

    radii: np.ndarray  # (21,) m
    sigma: np.ndarray  # (21,) m, of the skin about them


def flesh(hand: SkinnedHand, convention: str) -> Flesh:
    """By how much the skin goes on beyond a keypoint, in the directions in which that one is outermost; of the mean
    hand, and one standard deviation along the first components of pose and shape. Raises NotFoundError for a convention
    that the hand lacks."""
    assert hand.prior is not None
    table = hand.table(convention)
    bends = np.vstack([np.zeros((1 + 2 * SHAPES, POSES)), np.eye(POSES), -np.eye(POSES)])
    shapes = np.zeros((len(bends), SHAPES))
    shapes[1 : 1 + 2 * SHAPES] = np.vstack([np.eye(SHAPES), -np.eye(SHAPES)])
    posed = [hand.shaped(s).posed(HandPose(fingers=f)) for s, f in zip(shapes, hand.prior.fingers(bends))]
    up, around = golden_spiral(DIRECTIONS)
    towards = np.stack([np.sin(up) * np.cos(around), np.sin(up) * np.sin(around), np.cos(up)])
    skin = np.array([(p.vertices @ towards).max(axis=0) for p in posed])  # (hands, directions)
    points = np.array([p.keypoints(table) @ towards for p in posed])  # (hands, 21, directions)
    radii, sigma = np.full(21, 0.01), np.full(21, LEAST)
    for _ in range(ROUNDS):  # which keypoint is outermost depends on the radii
        which = (points + radii[:, None]).argmax(axis=1)
        beyond = skin - np.take_along_axis(points, which[:, None], axis=1)[:, 0]
        for k in np.unique(which):
            its = beyond[which == k]
            radii[k], sigma[k] = 0.5 * (radii[k] + its.mean()), np.hypot(LEAST, its.std())
    return Flesh(radii, sigma)
