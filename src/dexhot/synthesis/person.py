"""The people who are rendered. Their hands are not the model that is fitted later, else a fit would be tested
on the very hand that drew the pictures: a random shape, bones of other lengths, an uneven skin, and a forearm.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from dexhot.geometry.triangles import vertex_normals
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import DIGITS, JOINTS, PARENTS, PosedHand, SkinnedHand

SHAPE_SIGMA = 0.6  # standard deviations of the shape's components around `shape`
BONE_RANGE = 0.04  # largest relative change of a bone's length
BUMP, BUMP_SIZE = 0.001, 0.02  # m: root mean square height of the skin's unevenness, and its correlation length
ARM = 0.45  # m, length of the arm that is drawn
ARM_SIDES, ARM_RINGS = 24, 16
ARM_AT = (-0.012, 0.0, 0.03, 0.12, 0.26, 0.45)  # m behind the wrist: half widths of the forearm, across and through
ARM_HALF = ((0.026, 0.0285, 0.027, 0.036, 0.044, 0.048), (0.016, 0.0185, 0.0195, 0.031, 0.042, 0.048))
PALMAR = 0.004  # m, of the forearm's axis below the wrist joint
ARM_INSIDE = 0.012  # m, by which the forearm begins inside the hand
ELBOW = 0.06  # m above the table, least height of the forearm's end
STRAIGHT = 0.05  # m, along which the forearm bends at the wrist
SKINS = np.array(  # (N, 3) sRGB of the back of the hand, light to dark
    [[234, 192, 166], [222, 172, 142], [203, 148, 116], [176, 121, 90], [138, 91, 66], [104, 68, 50]]
)
SLEEVES = np.array([[58, 74, 110], [92, 92, 96], [120, 52, 56], [54, 92, 80], [176, 168, 152]])


@dataclass(frozen=True)
class Person:
    """One hand of a person, with what is seen of the arm."""

    hand: SkinnedHand  # its template is the person's: no shape is added to it
    skin: np.ndarray  # (3,) sRGB in [0, 255], of the back of the hand
    sleeve: np.ndarray | None  # (3,) sRGB; None: the forearm is bare
    arm_scale: float  # thickness of the forearm

    @cached_property
    def subdivision(self) -> tuple[csr_matrix, np.ndarray]:
        """Loop's subdivision of the hand's mesh: (F V, V) weights and (4 F, 3) faces. Old vertices come first."""
        return loop_subdivision(len(self.hand.vertices), self.hand.faces)

    def surface(self, posed: PosedHand) -> np.ndarray:
        """(4 F / 2 + 2, 3) m: the smooth skin that is drawn; its first V points are those of the model's vertices."""
        smooth: np.ndarray = self.subdivision[0] @ posed.vertices
        return smooth

    def mirrored(self) -> "Person":
        """The same person's other hand."""
        return replace(self, hand=self.hand.mirrored())


def draw_person(rng: np.random.Generator, side: str, shape: np.ndarray | None = None) -> Person:
    """A person from random numbers, by default around the mean shape; both sides have the same random numbers."""
    hand = open_hand("right")
    centre = np.zeros(hand.shape_size) if shape is None else shape
    person = hand.shaped(centre + SHAPE_SIGMA * rng.normal(size=hand.shape_size))
    lengths = 1.0 + rng.uniform(-BONE_RANGE, BONE_RANGE, 20)
    vertices, joints = with_bones(hand, person.rest[JOINTS:], person.joints, lengths)
    vertices = vertices + bumps(vertices, hand.faces, rng)
    own = replace(hand, name="synthetic", vertices=vertices, joints=joints)
    skin = SKINS[rng.integers(len(SKINS))] * rng.uniform(0.94, 1.04)
    sleeve = SLEEVES[rng.integers(len(SLEEVES))].astype(float) if rng.uniform() < 0.5 else None
    drawn = Person(own, np.clip(skin, 0, 255), sleeve, float(rng.uniform(0.92, 1.1)))
    return drawn if side == "right" else drawn.mirrored()


def with_bones(
    hand: SkinnedHand, vertices: np.ndarray, joints: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of a rest pose whose bones are `lengths` (20,) times as long: the fifteen bones to joints
    1-15, then the outer phalanges of DIGITS."""
    moved = joints.copy()
    for k in range(1, JOINTS):
        moved[k] = moved[PARENTS[k]] + lengths[k - 1] * (joints[k] - joints[PARENTS[k]])
    carried = vertices + (moved - joints)[:, None]  # (16, V, 3) as each joint carries them
    for digit, chain in enumerate(DIGITS.values()):
        ends = (joints[chain[1]], joints[chain[2]], vertices[hand.tips[digit]])
        scales = (lengths[chain[1] - 1], lengths[chain[2] - 1], lengths[15 + digit])
        for joint, end, scale in zip(chain, ends, scales):
            bone = end - joints[joint]
            along = np.clip((vertices - joints[joint]) @ bone / (bone @ bone), 0.0, 1.2)
            carried[joint] += (scale - 1.0) * along[:, None] * bone
    knuckles = np.array([chain[0] for chain in DIGITS.values()])
    shift = (moved - joints)[knuckles]
    near = np.exp(-np.linalg.norm(vertices[:, None] - joints[knuckles], axis=2) / 0.03)  # the palm goes with its bones
    reach = np.clip((near.sum(axis=1) - 0.05) / 0.5, 0.0, 1.0)
    carried[0] += reach[:, None] * (near @ shift) / near.sum(axis=1, keepdims=True)
    out: np.ndarray = np.einsum("vk,kvd->vd", hand.weights, carried)
    return out, moved


def bumps(vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(V, 3) m: a smooth random displacement along the normals, BUMP high."""
    centres = vertices[::8]
    near = np.exp(-((np.linalg.norm(vertices[:, None] - centres[None], axis=2) / BUMP_SIZE) ** 2))
    height = near @ rng.normal(size=len(centres))
    height *= BUMP / np.sqrt(np.mean(height**2))
    raised: np.ndarray = height[:, None] * vertex_normals(vertices, faces)
    return raised


def loop_subdivision(count: int, faces: np.ndarray) -> tuple[csr_matrix, np.ndarray]:
    """Loop's scheme on a closed mesh of `count` vertices: (count + E, count) weights and (4 F, 3) faces."""
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    across = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    edges, number = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    number = number.ravel()
    E = len(edges)
    degree = np.bincount(edges.ravel(), minlength=count)
    beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / degree)) ** 2) / degree
    old = np.arange(count)
    rows = [old, edges[:, 0], edges[:, 1], count + np.repeat(np.arange(E), 2), count + number]
    columns = [old, edges[:, 1], edges[:, 0], edges.ravel(), across]
    values = [
        1.0 - degree * beta,
        beta[edges[:, 0]],
        beta[edges[:, 1]],
        np.full(2 * E, 0.375),
        np.full(len(across), 0.125),
    ]
    weights = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count + E, count)
    )
    a, b, c = (count + part for part in np.split(number, 3))  # middles of 01, 12, 20
    fine = np.concatenate(
        [np.stack(part, axis=1) for part in ((faces[:, 0], a, c), (faces[:, 1], b, a), (faces[:, 2], c, b), (a, b, c))]
    )
    return weights, fine


def forearm(person: Person, posed: PosedHand, away: np.ndarray) -> np.ndarray:
    """(ARM_RINGS * ARM_SIDES + 2, 3) m: the skin of the forearm, which bends from the wrist toward `away` (3,)."""
    hand = person.hand
    back = backward(posed)
    across = posed.pose.rotation @ (hand.joints[1] - hand.joints[7])
    at = np.linspace(-ARM_INSIDE, ARM, ARM_RINGS)
    bend = np.clip(at / STRAIGHT, 0.0, 1.0)
    ways = back + (bend * bend * (3 - 2 * bend))[:, None] * (away - back)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    wide = across - ways * (ways @ across)[:, None]
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    through = np.cross(ways, wide)
    lower = posed.joints[0] + (PALMAR if hand.side == "right" else -PALMAR) * through[0]  # the wrist joint lies dorsal
    centres = lower + np.cumsum(np.diff(at, prepend=0.0)[:, None] * ways, axis=0)
    half = person.arm_scale ** (at > 0)[:, None] * np.stack([np.interp(at, ARM_AT, r) for r in ARM_HALF], axis=1)
    turn = 2 * np.pi * np.arange(ARM_SIDES) / ARM_SIDES
    round_ = np.cos(turn)[None, :, None] * (half[:, :1] * wide)[:, None]
    round_ = round_ + np.sin(turn)[None, :, None] * (half[:, 1:] * through)[:, None]
    rings = centres[:, None] + round_
    return np.concatenate([rings.reshape(-1, 3), centres[:1], centres[-1:]])


def backward(posed: PosedHand) -> np.ndarray:
    """(3,) from the knuckles' middle to the wrist, a unit vector."""
    way = posed.joints[0] - posed.joints[[chain[0] for name, chain in DIGITS.items() if name != "thumb"]].mean(axis=0)
    unit: np.ndarray = way / np.linalg.norm(way)
    return unit


def forearm_away(posed: PosedHand, table: float) -> np.ndarray:
    """(3,) where the forearm goes from the wrist: straight back, but with its elbow above the table."""
    way = backward(posed)
    least = (table + ELBOW - posed.joints[0, 2]) / ARM
    up = float(np.clip(max(way[2], least), -0.95, 0.95))
    flat = way[:2] / max(float(np.linalg.norm(way[:2])), 1e-6) * np.sqrt(1.0 - up * up)
    return np.append(flat, up)


def arm_faces() -> np.ndarray:
    """(F, 3) of the closed tube, outward; its last two vertices close the ends."""
    k = np.arange(ARM_SIDES)
    after = (k + 1) % ARM_SIDES
    faces = []
    for ring in range(ARM_RINGS - 1):
        a, b = ring * ARM_SIDES, (ring + 1) * ARM_SIDES
        faces += [np.stack([a + k, a + after, b + k], 1), np.stack([a + after, b + after, b + k], 1)]
    first, last = ARM_RINGS * ARM_SIDES, ARM_RINGS * ARM_SIDES + 1
    end = (ARM_RINGS - 1) * ARM_SIDES
    faces += [
        np.stack([np.full_like(k, first), after, k], 1),
        np.stack([np.full_like(k, last), end + k, end + after], 1),
    ]
    return np.concatenate(faces)
