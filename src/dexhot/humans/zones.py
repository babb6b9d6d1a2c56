"""Contact zones: the skin with which a hand touches things, by one rule for every model.

A fingertip's zone is the palmar side of the outer phalanx beyond its middle; the palm's is the palmar side of what the
wrist carries, from the wrist to the knuckles.
"""

import numpy as np

from dexhot.humans.skin import DIGITS, SkinnedHand, vertex_normals

ZONES = (*DIGITS, "palm")
FROM = 0.45  # fraction of the outer phalanx at which its zone begins
FACING = 0.2  # least cosine between the skin's normal and the palmar direction
HELD = 0.5  # least skinning weight of the joint that carries the zone


def contact_zones(hand: SkinnedHand) -> dict[str, np.ndarray]:
    """Vertex numbers of each zone in ZONES."""
    normals = vertex_normals(hand.vertices, hand.faces)
    zones = {}
    for tip, (name, joints) in enumerate(DIGITS.items()):
        inner, outer, end = hand.joints[joints[1]], hand.joints[joints[2]], hand.vertices[hand.tips[tip]]
        bone = end - outer
        along = (hand.vertices - outer) @ bone / (bone @ bone)
        palmar = _across(_palmar(hand) if name != "thumb" else _thumb_pad(hand), end - inner)
        held = hand.weights[:, joints[2]] > HELD
        zones[name] = np.flatnonzero(held & (along > FROM) & (normals @ palmar > FACING))
    knuckle = hand.joints[DIGITS["middle"][0]] - hand.joints[0]
    along = (hand.vertices - hand.joints[0]) @ knuckle / (knuckle @ knuckle)
    flat = normals @ _palmar(hand) > FACING
    zones["palm"] = np.flatnonzero((hand.weights[:, 0] > HELD) & (along > 0.1) & flat)
    return zones


def _palmar(hand: SkinnedHand) -> np.ndarray:
    """Unit vector out of the palm, in the rest pose."""
    index, middle, little = (hand.joints[DIGITS[name][0]] for name in ("index", "middle", "little"))
    dorsal = np.cross(middle - hand.joints[0], index - little)
    palmar: np.ndarray = (-1.0 if hand.side == "right" else 1.0) * dorsal / np.linalg.norm(dorsal)
    return palmar


def _thumb_pad(hand: SkinnedHand) -> np.ndarray:
    """The thumb's pad faces the fingers: from its tip to the index finger's knuckle, and out of the palm."""
    tip = hand.vertices[hand.tips[0]]
    toward = hand.joints[DIGITS["index"][0]] - tip
    pad: np.ndarray = toward / np.linalg.norm(toward) + _palmar(hand)
    return pad


def _across(direction: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The unit part of a direction that is perpendicular to an axis."""
    axis = axis / np.linalg.norm(axis)
    rest = direction - axis * (axis @ direction)
    unit: np.ndarray = rest / np.linalg.norm(rest)
    return unit
