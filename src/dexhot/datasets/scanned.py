"""Parametric demonstrations with an object of the library, grasped from above in a resting pose."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import ConvexHull

from dexhot.data.keypoints import BONES, WRIST
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.human_hand import keypoints
from dexhot.datasets.parametric import (
    KINDS,
    OPENING,
    SIDES,
    SPANNED,
    HumanGrasp,
    demonstrate,
    mirrored,
    reach_around,
    require_choice,
)
from dexhot.errors import DexhotError
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import quat_rotate, rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.asset import ObjectAsset

WIDTH = (0.015, 0.08)  # m, grasp widths that the demonstrations' hand spans
BEST_WIDTH = 0.055  # m
HEIGHT = 0.02  # m, minimum height: below it the thick fingertips would hit the table
DEPTHS = (1.0, 0.75, 0.5)  # fractions of the largest depth of a fingertip below the top
DEEPEST = 0.036  # m below the top, limited by the palm
WRIST_ABOVE = 0.086  # m above the contacts
YAWS = np.arange(0.0, 2 * np.pi, np.pi / 18)
SPREADS = (
    (0.022, 0.0, -0.022),
    (0.018, 0.0, -0.018),
    (0.011, -0.011),
    (0.009, -0.009),
)  # m, positions of the fingers along y
STEEPEST = np.array([1.1, 0.4])  # largest slope of the surface under a finger, along y and z
ASKEW = 0.4  # largest slope along y at the middle finger
STEP = 0.002  # m, step of the finite difference for slopes
INSIDE = 0.004  # m, allowed penetration of a bone's midpoint
OPENINGS = (
    OPENING,
    0.018,
    0.012,
    0.008,
)  # m, distances of the fingertips from the surface before closing, tried in order


@dataclass
class Place:
    """Candidate fingertip positions, in the grasp frame of a resting object."""

    grasp_T_mesh: np.ndarray  # (7,)
    thumb: np.ndarray  # (3,) m
    fingers: np.ndarray  # (n, 3) m, from the index finger on
    cost: float  # m

    def tips(self, gap: float) -> dict[int, np.ndarray]:
        """Contacts by digit, `gap` m off the surface."""
        off = np.array([gap, 0.0, 0.0])
        return {0: self.thumb - off} | {digit: point + off for digit, point in enumerate(self.fingers, 1)}


def generate_with(kind: str, asset: ObjectAsset, seed: int = 0, side: str = "right") -> HandObjectTrajectory:
    """`parametric.generate` with an object of the library: it starts in the likeliest resting pose in which a
    hand can grasp it from above. Raises NotFoundError for another kind or side, and DexhotError, with the sizes, for an
    object that a hand cannot grasp."""
    require_choice("kind of demonstration", kind, KINDS)
    require_choice("side", side, SIDES)
    return _demonstrated(kind, asset, plan_object_grasp(asset, side), seed, side)


def generate_grasp(kind: str, asset: ObjectAsset, seed: int) -> HandObjectTrajectory:
    """A right-hand demonstration of `kind` with a grasp drawn at random (`sampled_grasp`). Raises DexhotError where no
    draw has one."""
    found = sampled_grasp(asset, np.random.default_rng([seed, 1]))
    if found is None:
        raise DexhotError(f"no grasp of {asset.name} was found among the hand poses drawn around it.")
    return _demonstrated(kind, asset, found, seed, "right")


def _demonstrated(
    kind: str, asset: ObjectAsset, planned: tuple[HumanGrasp, np.ndarray, float], seed: int, side: str
) -> HandObjectTrajectory:
    """The demonstration of a planned grasp (grasp, grasp_T_mesh, height)."""
    grasp, grasp_T_mesh, height = planned
    trajectory = demonstrate(kind, grasp, height, np.random.default_rng(seed))
    trajectory.name = f"generated/{kind}-{asset.name.replace('/', '_')}-{seed}"
    trajectory = trajectory if side == "right" else mirrored(trajectory)
    pose = compose(trajectory.object_pose, grasp_T_mesh)
    provenance = {"generator": "parametric", "kind": kind, "seed": seed, "object": asset.name}
    return replace(trajectory, object_name=asset.name, object_pose=pose, provenance=provenance)


def plan_object_grasp(asset: ObjectAsset, side: str = "right") -> tuple[HumanGrasp, np.ndarray, float]:
    """A grasp of the object, the pose (7,) grasp_T_mesh of the object in the grasp frame, and its height there, m.

    For the left hand the grasp is a right hand's grasp of the object mirrored in y; grasp_T_mesh is the object's own.
    Raises DexhotError if there is none.
    """
    if not len(asset.resting_poses):
        raise DexhotError(f"{asset.name} has no resting pose to start from; add it again with `dexhot object add`.")
    rests = [Rest(asset, pose, -1.0 if side == "left" else 1.0) for pose in asset.resting_poses]
    for rest in rests:
        for place in rest.places():
            grasp = reach_around(place.tips, place.thumb[2] + WRIST_ABOVE, OPENINGS)
            if grasp.miss < SPANNED and clear(grasp, rest.solid(place)):
                return grasp, place.grasp_T_mesh, rest.height
    raise DexhotError(f"{asset.name} cannot be grasped from above by one hand: {why_not(rests)}")


def sampled_grasp(
    asset: ObjectAsset, rng: np.random.Generator, tries: int = 40
) -> tuple[HumanGrasp, np.ndarray, float] | None:
    """As `plan_object_grasp`, but one drawn at random: the resting pose, the hand's yaw and its depth; None where
    `tries` draws have none that the hand reaches without penetration."""
    rests = [Rest(asset, pose, 1.0) for pose in asset.resting_poses]
    for _ in range(tries if rests else 0):
        rest = rests[rng.integers(len(rests))]
        depth = rng.uniform(DEPTHS[-1], DEPTHS[0]) * min(DEEPEST, rest.height / 2)
        places = list(rest.places_at(rng.uniform(0.0, 2 * np.pi), rest.height / 2 - depth))
        if places:
            place = min(places, key=lambda place: place.cost)
            grasp = reach_around(place.tips, place.thumb[2] + WRIST_ABOVE, OPENINGS)
            if grasp.miss < SPANNED and clear(grasp, rest.solid(place)):
                return grasp, place.grasp_T_mesh, rest.height
    return None


class Rest:
    """An object in a resting pose, relative to its centre of mass; `mirror` -1 mirrors it in y of the grasp frame."""

    def __init__(self, asset: ObjectAsset, pose: np.ndarray, mirror: float):
        self.asset, self.pose, self.mirror = asset, pose, mirror
        self.planes = [ConvexHull(transform(pose, vertices)).equations for vertices, _ in asset.pieces]
        z = transform(pose, asset.corners)[:, 2]
        self.height = float(np.ptp(z))
        self.origin = np.array([*transform(pose, asset.center_of_mass)[:2], z.min() + self.height / 2])
        self.narrowest = np.inf  # m, over all yaw angles

    def solid(self, place: Place) -> ConvexUnion:
        """The object, or its mirror image, in the frame of `place`."""
        mirror = [1.0, self.mirror, 1.0]
        return ConvexUnion([(transform(place.grasp_T_mesh, v) * mirror, None) for v, _ in self.asset.pieces])

    def places(self) -> list[Place]:
        """The best candidate at each depth with two opposite sides that a hand spans, best first."""
        depth = min(DEEPEST, self.height / 2)
        found = []
        for z in [self.height / 2 - share * depth for share in DEPTHS]:
            here = [place for yaw in YAWS for place in self.places_at(yaw, z)]
            found += [min(here, key=lambda place: place.cost)] if here else []
        return sorted(found, key=lambda place: place.cost)

    def places_at(self, yaw: float, z: float) -> Iterator[Place]:
        turn = rotvec_to_quat(np.array([0.0, 0.0, yaw]))
        y = np.array(sorted({y for spread in SPREADS for y in spread} | {0.0}))
        beside = STEP * np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])  # in y and z
        lines = np.stack([y[:, None] + beside[:, 0], z + np.tile(beside[:, 1], (len(y), 1))], axis=-1)
        ends = self._ends(turn, lines)  # (y, 5, 2)
        widths = dict(zip(y, ends[:, 0, 1] - ends[:, 0, 0]))
        if widths[0.0] > 0:
            self.narrowest = min(self.narrowest, widths[0.0])
        if self.height < HEIGHT or not WIDTH[0] <= widths[0.0] <= WIDTH[1]:
            return
        with np.errstate(invalid="ignore"):  # NaN outside the object
            slopes = np.abs(ends[:, [2, 4]] - ends[:, [1, 3]]) / (2 * STEP) / STEEPEST[:, None]
        slopes[y == 0.0, 0] *= STEEPEST[0] / ASKEW
        steep = dict(zip(y, np.nan_to_num(slopes, nan=np.inf).max(axis=(1, 2))))
        sides = dict(zip(y, ends[:, 0]))
        frame = make_pose(self.origin, turn)
        for spread in SPREADS:
            slope = max(steep[y] for y in (0.0, *spread))
            if slope <= 1.0:
                fingers = np.array([[sides[y][1], y, z] for y in spread])
                cost = abs(widths[0.0] - BEST_WIDTH) + 0.01 * slope + 0.5 * float(np.ptp(fingers[:, 0]))
                cost += 0.02 * (3 - len(spread))
                yield Place(compose(inverse(frame), self.pose), np.array([sides[0.0][0], 0.0, z]), fingers, cost)

    def _ends(self, turn: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """The lowest and highest x (..., 2) of the object, where thumb and fingers first touch, on lines (..., 2) at
        y and z of the grasp frame turned by `turn`; (inf, -inf) for lines that miss it."""
        flat = lines.reshape(-1, 2)
        start = np.column_stack([np.zeros(len(flat)), self.mirror * flat[:, 0], flat[:, 1]])
        points, along = self.origin + quat_rotate(turn, start), quat_rotate(turn, np.array([1.0, 0.0, 0.0]))
        ends = np.tile([np.inf, -np.inf], (len(flat), 1))
        for planes in self.planes:
            steepness = planes[:, :3] @ along
            steepness[np.abs(steepness) < 1e-9] = 1e-9  # nearly parallel
            cut = -(points @ planes[:, :3].T + planes[:, 3]) / steepness
            low = np.where(steepness < 0, cut, -np.inf).max(axis=1)
            high = np.where(steepness > 0, cut, np.inf).min(axis=1)
            hit = low < high
            ends[hit, 0] = np.minimum(ends[hit, 0], low[hit])
            ends[hit, 1] = np.maximum(ends[hit, 1], high[hit])
        return ends.reshape(*lines.shape[:-1], 2)


def clear(grasp: HumanGrasp, solid: ConvexUnion) -> bool:
    """Whether the bones of the open and the closed hand do not penetrate the object."""
    points = keypoints(np.array([grasp.wrist] * 2), np.array([grasp.open, grasp.closed]))
    bones = [bone for bone in BONES if WRIST not in bone]
    middles = np.stack([(points[:, a] + points[:, b]) / 2 for a, b in bones], axis=1)
    return bool(solid.distance(middles)[0].min() > -INSIDE)


def why_not(rests: list[Rest]) -> str:
    """Error text: the object's sizes, and the limits of the hand."""
    high, narrow = max(rest.height for rest in rests), min(rest.narrowest for rest in rests)
    if high < HEIGHT:
        return f"it rests {100 * high:.1f} cm high, and fingertips need {100 * HEIGHT:.0f} cm above the table."
    spans = f"a hand spans {100 * WIDTH[0]:.1f} to {100 * WIDTH[1]:.1f} cm"
    if narrow > WIDTH[1]:
        return f"across its centre of mass it is at least {100 * narrow:.1f} cm wide at rest, and {spans}."
    if narrow < WIDTH[0]:
        return f"across its centre of mass it is {100 * narrow:.1f} cm wide at rest, and {spans}."
    return (
        f"it has no two opposite contact areas for thumb and fingers in any of its {len(rests)} resting poses "
        f"({spans}, its narrowest width is {100 * narrow:.1f} cm); record a human demonstration instead."
    )
