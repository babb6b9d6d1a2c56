"""Coarse hand meshes of a regressor (Evidence.hand_meshes) as a first estimate of the hand that a recipe fits.

A mesh has a topology: MANO's (WiLoR, HaMeR) or the open hand's. Its model is fitted to some of its vertices, which
gives 21 keypoints in MANO's convention, and these the same hand in the recipe's own model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dexhot.data.types import Evidence
from dexhot.errors import ClipError
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.humans.mano import mano
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import JOINTS, HandPose, KeypointTable, SkinnedHand

BY_REGRESSOR = "hand_meshes"  # in an Evidence's provenance: side -> topology. Meshes that are not named are a truth's
TOPOLOGIES: dict[str, Callable[[str], SkinnedHand]] = {"mano": mano, "open": open_hand}
NAMES = {"mano": "mano", "open": "open_hand"}  # of the models
CONVENTION = "mano"  # of the keypoints in between
SIGMA = 0.003  # m, of a regressor's vertices


@dataclass(frozen=True)
class CoarseHand:
    """One hand's meshes over a clip."""

    side: str
    topology: str
    vertices: np.ndarray  # (T, V, 3) m, NaN where unseen

    @property
    def known(self) -> np.ndarray:
        """(T,) bool."""
        known: np.ndarray = np.isfinite(self.vertices).all(axis=(1, 2))
        return known


def coarse_hand(evidence: Evidence, side: str) -> CoarseHand | None:
    """The meshes that a regressor gave of a hand; None where none did. Raises ClipError for another topology."""
    topology = evidence.provenance.get(BY_REGRESSOR, {}).get(side)
    if topology is None or side not in evidence.hand_meshes:
        return None
    if topology not in TOPOLOGIES:
        raise ClipError(f"{evidence.name}: a hand mesh of topology {topology!r}; {' or '.join(TOPOLOGIES)} is known.")
    found = CoarseHand(side, topology, evidence.hand_meshes[side])
    return found if found.known.any() else None


def keypoints_of(mesh: CoarseHand) -> np.ndarray:
    """(T, 21, 3) m in MANO's convention, NaN where unseen. Raises FileFormatError for MANO's topology without MANO's
    file, ClipError for another number of vertices."""
    hand = TOPOLOGIES[mesh.topology](mesh.side)
    if mesh.vertices.shape[1] != len(hand.vertices):
        raise ClipError(
            f"a mesh of {mesh.topology} topology has {len(hand.vertices)} vertices, not {mesh.vertices.shape[1]}."
        )
    table, chosen = vertex_table(hand)
    known = mesh.known
    sightings = [
        Sighting(np.full(21, float(seen)), points=np.nan_to_num(rows[chosen]))
        for seen, rows in zip(known, mesh.vertices)
    ]
    fit = fit_hand(hand, table, sightings, sigma=SIGMA)
    wanted = hand.table(CONVENTION)
    found = np.stack([fit.posed(t).keypoints(wanted) for t in range(len(known))])
    found[~known] = np.nan
    return found


def vertex_table(hand: SkinnedHand) -> tuple[KeypointTable, np.ndarray]:
    """21 vertices, those next to a hand's keypoints, as if they were keypoints, and their numbers."""
    rest = hand.shaped()
    keypoints = rest.posed(HandPose()).keypoints(hand.table(CONVENTION))
    vertices = rest.rest[JOINTS:]
    chosen: list[int] = []
    for point in keypoints:
        order = np.argsort(np.linalg.norm(vertices - point, axis=1))
        chosen.append(int(next(v for v in order if v not in chosen)))
    numbers = np.array(chosen)
    return KeypointTable("vertices", JOINTS + numbers, np.eye(21)), numbers


def start_from_mesh(hand: SkinnedHand, mesh: CoarseHand) -> list[HandPose]:
    """A mean person's pose in each frame; where a mesh is missing, that of the frames about it."""
    points = keypoints_of(mesh)
    known = mesh.known
    sightings = [Sighting(np.full(21, float(seen)), points=np.nan_to_num(rows)) for seen, rows in zip(known, points)]
    fit = fit_hand(hand, hand.table(CONVENTION), sightings, sigma=SIGMA, shape=np.zeros(hand.shape_size))
    return [HandPose.from_vector(x) for x in fit.poses]


def own_vertices(hand: SkinnedHand, mesh: CoarseHand, vertices: np.ndarray) -> np.ndarray:
    """(T, V, 3) m: `vertices` of the hand's first estimate, but the mesh's own where it is seen and has the hand's
    topology."""
    if NAMES[mesh.topology] != hand.name:
        return vertices
    found: np.ndarray = np.where(mesh.known[:, None, None], np.nan_to_num(mesh.vertices), vertices)
    return found
