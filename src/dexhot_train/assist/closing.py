"""The "closing hand" baseline of the paper's experiment B, after Höll et al. (IEEE VR 2018): where the user's hand is
inside the object, its fingers tighten along their closing direction in proportion to the penetration."""

import numpy as np

from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.sdf import ConvexUnion
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import RobotHand
from dexhot_train.assist.reconstruction import ReconstructedHands, Reconstruction

GAIN = 1.0  # m that a fingertip's target goes on inwards, per m of its penetration


class ClosingHand:
    """A Corrector for `outcomes`: tightens each finger of each clip's hand."""

    def __init__(self, gain: float = GAIN):
        self.gain = gain
        self.solids: dict[str, ConvexUnion] = {}

    def __call__(self, hands: ReconstructedHands, seen: np.ndarray) -> np.ndarray:
        """Targets (N, 6+n)."""
        poses, targets = hands.simulator.reading().object_pose, hands.user().copy()
        for n, k in enumerate(hands.clip):
            depth = penetration(hands.models[k], hands.hand, self._solid(hands.clips[k]), targets[n], poses[n])
            targets[n] = closed(hands.models[k], hands.hand, targets[n], self.gain * depth)
        return targets

    def _solid(self, one: Reconstruction) -> ConvexUnion:
        asset = one.clip.asset
        if asset.name not in self.solids:
            self.solids[asset.name] = ConvexUnion(asset.pieces)
        return self.solids[asset.name]


def penetration(
    model: HandModel, hand: RobotHand, solid: ConvexUnion, user: np.ndarray, object_pose: np.ndarray
) -> np.ndarray:
    """(k,) m, by which each fingertip's sphere would be inside the object if the hand were at the user input (6+n,)."""
    model.move(user)
    tips = transform(inverse(object_pose), model.points()[: model.tips])
    depth: np.ndarray = np.maximum(hand.tip_radius - solid.distance(tips)[0], 0.0)
    return depth


def closed(model: HandModel, hand: RobotHand, user: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The user input (6+n,) with each fingertip's target moved on by `by` (k,) m, along the direction in which its
    finger closes: from the open hand to the half closed one, each finger by its own joints; within the joints' limits.
    """
    model.move(user)
    jacobian = model.point_jacobian()[: model.tips, :, 6:]  # (k, 3, n)
    own = np.abs(jacobian).max(axis=1) > 1e-9  # (k, n) the joints that move a tip
    out = user.copy()
    for k in np.flatnonzero(by > 0.0):
        direction = np.where(own[k], hand.nominal - hand.open, 0.0)
        way = float(np.linalg.norm(jacobian[k] @ direction))  # m per unit of the direction
        out[6:] += direction * by[k] / max(way, 1e-3)
    out[6:] = np.clip(out[6:], hand.lower, hand.upper)
    return out
