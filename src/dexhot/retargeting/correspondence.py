"""Correspondence of human keypoints and points of a robot hand: the `retarget:` section of its hand.yaml.

retarget:
  thumb: thumb_tip              # the tip that opposes the others
  tips:                         # tip site: on the bone between two human keypoints, at a fraction of its length
    index_tip: [index_dip, index_tip, 0.9]
  links:                        # link: the human keypoint that its origin corresponds to
    index_medial: index_pip
  link_weight: 0.1              # of the links; tips have weight 1
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dexhot.data.keypoints import NAMES
from dexhot.errors import FileFormatError
from dexhot.robots.robot_hand import RobotHand


@dataclass(frozen=True)
class Correspondence:
    """k fingertips, in the order of `hand.tip_sites`, and m links."""

    thumb: int  # index among the tips
    bones: np.ndarray  # (k, 2) human keypoints
    along: np.ndarray  # (k,) fraction of the bone
    links: tuple[str, ...]  # m
    keypoints: np.ndarray  # (m,) human keypoint of each link
    link_weight: float

    def tips(self, keypoints: np.ndarray) -> np.ndarray:
        """Human keypoints (..., 21, 3) -> target positions of the robot's tips (..., k, 3)."""
        near, far = keypoints[..., self.bones[:, 0], :], keypoints[..., self.bones[:, 1], :]
        tips: np.ndarray = near + self.along[:, None] * (far - near)
        return tips


def correspondence(hand: RobotHand) -> Correspondence:
    """Read and check the hand's `retarget:` section. Raises FileFormatError naming the entry and the valid choices."""
    section = hand.retarget
    missing = [key for key in ("thumb", "tips") if key not in section]
    if missing:
        raise FileFormatError(f"hand {hand.name}: its retarget section lacks {missing}; docs/add_a_hand.md shows one.")
    tips, links = section["tips"], section.get("links", {})
    _check(hand, "thumb", [section["thumb"]], hand.tip_sites)
    _check(hand, "tips", tips, hand.tip_sites)
    without = set(hand.tip_sites) - set(tips)
    if without:
        raise FileFormatError(f"hand {hand.name}: retarget.tips lacks {sorted(without)}.")
    bodies = [body.name for body in hand.spec().bodies]
    _check(hand, "links", links, bodies)
    _check(hand, "tips", [point for bone in tips.values() for point in bone[:2]], NAMES)
    _check(hand, "links", links.values(), NAMES)
    index = {name: i for i, name in enumerate(NAMES)}
    return Correspondence(
        thumb=hand.tip_sites.index(section["thumb"]),
        bones=np.array([[index[p] for p in tips[site][:2]] for site in hand.tip_sites]),
        along=np.array([float(tips[site][2]) for site in hand.tip_sites]),
        links=tuple(links),
        keypoints=np.array([index[p] for p in links.values()], int),
        link_weight=float(section.get("link_weight", 0.0)),
    )


def _check(hand: RobotHand, entry: str, names: Iterable[str], valid: Iterable[str]) -> None:
    wrong = [name for name in names if name not in valid]
    if wrong:
        raise FileFormatError(f"hand {hand.name}: retarget.{entry} names {wrong}; valid: {', '.join(valid)}.")
