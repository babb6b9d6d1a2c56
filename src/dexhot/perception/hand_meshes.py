"""Coarse hand meshes: a regressor's (HandMesh) as Evidence keeps them, and the default, a hand fitted to keypoints.

Evidence has vertices of MANO's topology or of the open hand's; a mesh of another one becomes the open hand that has its
keypoints.
"""

from collections.abc import Sequence

import numpy as np

from dexhot.errors import DexhotError
from dexhot.fitting.coarse_hand import CONVENTION, TOPOLOGIES
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.geometry.cameras import Intrinsics
from dexhot.humans.kernels import POSE_SIZE
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose, KeypointTable, SkinnedHand
from dexhot.perception.protocols import HandSighting, MeshSighting


class KeypointMesh:
    """The open hand of mean shape at the depth of its size, fitted to the 2D keypoints of one image (HandMesh)."""

    def __call__(
        self, camera: Intrinsics, color: np.ndarray, hands: Sequence[HandSighting]
    ) -> list[MeshSighting | None]:
        """A mesh of each hand."""
        found: list[MeshSighting | None] = []
        for seen in hands:
            hand = open_hand(seen.side)
            sighting = Sighting(np.full(21, seen.confidence), pixels=seen.pixels, camera=camera.pinhole)
            found.append(MeshSighting("open", _fitted(hand, hand.table("mediapipe"), sighting)))
        return found


def as_kept(mesh: MeshSighting, side: str) -> tuple[str, np.ndarray]:
    """Topology, "mano" or "open", and vertices (V, 3) m. Raises DexhotError for a mesh of neither and without
    keypoints, or with other numbers than its topology has."""
    if mesh.topology not in TOPOLOGIES:
        if mesh.keypoints is None or mesh.keypoints.shape != (21, 3):
            raise DexhotError(
                f"a hand mesh of topology {mesh.topology!r} needs its 21 keypoints; one without is of "
                f"{' or '.join(TOPOLOGIES)}."
            )
        hand = open_hand(side)
        return "open", _fitted(hand, hand.table(CONVENTION), Sighting(np.ones(21), points=mesh.keypoints))
    if mesh.vertices is not None:
        vertices = np.asarray(mesh.vertices, float)
    elif mesh.parameters is not None:
        hand = TOPOLOGIES[mesh.topology](side)
        pose, shape = np.split(np.asarray(mesh.parameters, float), [POSE_SIZE])
        vertices = hand.shaped(shape).posed(HandPose.from_vector(pose)).vertices
    else:
        raise DexhotError(f"a hand mesh of topology {mesh.topology!r} has neither vertices nor parameters.")
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise DexhotError(f"a hand mesh has vertices of shape {vertices.shape}; (V, 3) finite numbers are expected.")
    return mesh.topology, vertices


def _fitted(hand: SkinnedHand, table: KeypointTable, seen: Sighting) -> np.ndarray:
    vertices: np.ndarray = fit_hand(hand, table, [seen], shape=np.zeros(hand.shape_size)).posed(0).vertices
    return vertices


class MeshRows:
    """The meshes of a clip's sightings as rows of Evidence.hand_meshes; all of a side have one topology."""

    def __init__(self) -> None:
        self.topology: dict[str, str] = {}

    def take(self, mesh: MeshSighting | None, side: str) -> np.ndarray | None:
        """Vertices (V, 3) m to keep. Raises DexhotError for a topology that changes."""
        if mesh is None:
            return None
        topology, vertices = as_kept(mesh, side)
        if self.topology.setdefault(side, topology) != topology:
            raise DexhotError(f"the meshes of the {side} hand are {self.topology[side]}'s and {topology}'s: give one.")
        return vertices
