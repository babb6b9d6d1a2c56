"""Contact zones: the skin areas for contact, by one rule for every hand model.

A fingertip's zone is the pad of the distal phalanx from its middle on; the palm's is the palmar skin of the wrist
joint, from the wrist to the knuckles. A finger's pad faces as the palm does in the rest pose; the thumb's faces the
tips of index and middle finger in the prior's mean pose.
"""

import numpy as np

from dexhot.geometry.triangles import vertex_normals
from dexhot.humans.skin import DIGITS, HandPose, SkinnedHand

ZONES = (*DIGITS, "palm")
FROM = 0.45  # fraction of the distal phalanx at which its zone begins
FACING = 0.2  # minimum cosine between the skin's normal and the palmar direction
HEEL = 0.1  # fraction of the way to the knuckles at which the palm begins
HELD = 0.5  # minimum skinning weight of the zone's joint


def contact_zones(hand: SkinnedHand) -> dict[str, np.ndarray]:
    """Vertex numbers of each zone in ZONES."""
    rest = hand.shaped().posed(HandPose())
    relaxed = hand.shaped().posed(HandPose(fingers=hand.prior.mean.reshape(15, 3))) if hand.prior else rest
    palmar = _palmar(hand)
    opposite = relaxed.vertices[hand.tips[1:3]].mean(axis=0) - relaxed.vertices[hand.tips[0]]
    zones = {}
    for tip, (name, joints) in enumerate(DIGITS.items()):
        posed, facing = (relaxed, opposite) if name == "thumb" else (rest, palmar)
        start = posed.joints[joints[2]]
        bone = posed.vertices[hand.tips[tip]] - start
        along = (posed.vertices - start) @ bone / (bone @ bone)
        normals = vertex_normals(posed.vertices, hand.faces)
        held = hand.weights[:, joints[2]] > HELD
        zones[name] = np.flatnonzero(held & (along > FROM) & (normals @ _across(facing, bone) > FACING))
    knuckle = hand.joints[DIGITS["middle"][0]] - hand.joints[0]
    along = (hand.vertices - hand.joints[0]) @ knuckle / (knuckle @ knuckle)
    flat = vertex_normals(hand.vertices, hand.faces) @ palmar > FACING
    zones["palm"] = np.flatnonzero((hand.weights[:, 0] > HELD) & (along > HEEL) & flat)
    return zones


def _palmar(hand: SkinnedHand) -> np.ndarray:
    """(3,) unit vector out of the palm, in the rest pose."""
    index, middle, little = (hand.joints[DIGITS[name][0]] for name in ("index", "middle", "little"))
    dorsal = np.cross(middle - hand.joints[0], index - little)
    palmar: np.ndarray = (-1.0 if hand.side == "right" else 1.0) * dorsal / np.linalg.norm(dorsal)
    return palmar


def _across(direction: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(3,) unit component of `direction` perpendicular to `axis`."""
    axis = axis / np.linalg.norm(axis)
    rest = direction - axis * (axis @ direction)
    unit: np.ndarray = rest / np.linalg.norm(rest)
    return unit
