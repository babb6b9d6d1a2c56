"""A hand and an object in one frame of a camera: the 57 unknowns that a fit solves for, and what follows from them.

Columns of Jacobians: 0-50 the hand (humans/kernels.py), 51-53 the object's rotation (right increment), 54-56 its
position. Everything is in the camera's optical frame.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dexhot.fitting import kernels
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.meshes import surface_samples
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import matrix_to_quat, quat_to_matrix
from dexhot.geometry.sdf_volume import SdfVolume
from dexhot.humans.kernels import POSE_SIZE, exponential, logarithm
from dexhot.humans.skin import HandPose, PosedHand, ShapedHand
from dexhot.objects.asset import ObjectAsset, Symmetry
from dexhot.objects.volume import object_volume

UNKNOWNS = POSE_SIZE + 6
HAND, OBJECT = slice(0, POSE_SIZE), slice(POSE_SIZE, UNKNOWNS)
SAMPLES = 400  # points of the object's surface for masks and scores
CLUSTERS, MOST_FACES = 24, 2000  # cells along the longest side of a mesh that is drawn; faces above which it is thinned
NONE = np.zeros(0, np.int64)
VISIBLE_WITHIN = 0.008  # m behind the nearest surface of its pixel up to which a vertex counts as seen


@dataclass(frozen=True)
class ObjectModel:
    """What a fit needs of an object: distances to its surface, points on it, a mesh to draw."""

    name: str
    values: np.ndarray  # (nx, ny, nz) m, signed distance at the nodes of a grid
    origin: np.ndarray  # (3,) m
    spacing: float  # m
    samples: np.ndarray  # (N, 3) points of the surface, m
    vertices: np.ndarray  # (V, 3) of the mesh that is drawn, m
    faces: np.ndarray  # (F, 3)
    symmetry: Symmetry
    centre: np.ndarray  # (3,) of its bounding box, m
    radius: float  # m, around the centre
    colors: np.ndarray | None = None  # (V, 3) in [0, 1] of the vertices, where a term compares colours

    @property
    def volume(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Values, origin and spacing, as the kernels take them."""
        return self.values, self.origin, self.spacing


def object_model(asset: ObjectAsset) -> ObjectModel:
    """Of an asset: its visual mesh, with handles and hollows, not its convex pieces."""
    return mesh_model(asset.name, asset.vertices, asset.faces, object_volume(asset), asset.symmetry)


def mesh_model(
    name: str, vertices: np.ndarray, faces: np.ndarray, volume: SdfVolume, symmetry: Symmetry
) -> ObjectModel:
    """Of a mesh (V, 3) m, (F, 3) with its signed distances."""
    vertices, faces = np.asarray(vertices, float), np.asarray(faces, np.int64)
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    return ObjectModel(
        name,
        np.ascontiguousarray(volume.values, float),
        np.asarray(volume.origin, float),
        float(volume.spacing),
        surface_samples(vertices, faces, SAMPLES)[0],
        *thinned(vertices, faces),
        symmetry,
        centre,
        float(np.linalg.norm(vertices - centre, axis=1).max()),
    )


def thinned(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh of few faces for drawing: the vertices of each cell of a grid become one."""
    if len(faces) <= MOST_FACES:
        return np.ascontiguousarray(vertices), np.ascontiguousarray(faces)
    low = vertices.min(axis=0)
    cells = np.floor((vertices - low) / ((vertices.max(axis=0) - low).max() / CLUSTERS)).astype(int)
    _, owner, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    owner = owner.ravel()
    merged = np.zeros((len(counts), 3))
    np.add.at(merged, owner, vertices)
    kept = owner[faces]
    corners_differ = (kept != np.roll(kept, 1, axis=1)).all(axis=1)
    return merged / counts[:, None], np.ascontiguousarray(kept[corners_differ])


@dataclass(frozen=True)
class SceneState:
    """The unknowns of one frame."""

    hand: HandPose
    rotation: np.ndarray  # (3, 3) of the object
    position: np.ndarray  # (3,) of the object's mesh frame, m

    def plus(self, step: np.ndarray) -> "SceneState":
        """Moved by a step (57,)."""
        turn = np.empty((3, 3))
        exponential(step[51:54], turn)
        return SceneState(self.hand.plus(step[:POSE_SIZE]), self.rotation @ turn, self.position + step[54:57])

    def change_to(self, other: "SceneState") -> np.ndarray:
        """(57,) step that leads to another state."""
        return np.concatenate(
            [
                logarithm(self.hand.rotation.T @ other.hand.rotation),
                other.hand.translation - self.hand.translation,
                (other.hand.fingers - self.hand.fingers).ravel(),
                logarithm(self.rotation.T @ other.rotation),
                other.position - self.position,
            ]
        )

    def with_object(self, rotation: np.ndarray, position: np.ndarray) -> "SceneState":
        """The same hand with the object elsewhere."""
        return SceneState(self.hand, rotation, position)

    def object_pose(self) -> np.ndarray:
        """(7,) camera_T_mesh."""
        return make_pose(self.position, matrix_to_quat(self.rotation))


def object_at(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and position (3,) of a pose (7,)."""
    return quat_to_matrix(pose[3:]), np.array(pose[:3], float)


class HandObjectScene:
    """A person's hand and an object at a state, with everything computed on first use."""

    def __init__(self, person: ShapedHand, model: ObjectModel | None, state: SceneState, seen: np.ndarray = NONE):
        self.person, self.model, self.state = person, model, state
        self.seen = seen  # (N,) numbers of the hand's vertices that the camera sees
        self.hand: PosedHand = person.posed(state.hand)

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) of the hand's vertices."""
        return kernels.normals(self.hand.vertices, self.person.hand.faces)

    @cached_property
    def samples(self) -> np.ndarray:
        """(N, 3) points of the object's surface, m."""
        assert self.model is not None
        points: np.ndarray = self.model.samples @ self.state.rotation.T + self.state.position
        return points

    @cached_property
    def seen_vertices(self) -> np.ndarray:
        """(N, 3) m."""
        vertices: np.ndarray = self.hand.vertices[self.seen]
        return vertices

    @cached_property
    def jacobians(self) -> np.ndarray:
        """(V, 3, 51) of all the hand's vertices."""
        return self.hand.point_jacobians(np.arange(16, 16 + len(self.person.hand.vertices)))

    @cached_property
    def skin_distances(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`distances` of the hand's vertices."""
        return self.distances(self.hand.vertices)

    def distances(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signed distance (N,) of points (N, 3) to the object, and its derivatives by object (N, 6) and point (N, 3).

        Beyond the object's grid the distance is kernels.FAR and its derivatives are 0.
        """
        assert self.model is not None
        local, found, gradients = np.empty_like(points), np.empty(len(points)), np.empty_like(points)
        R, t = self.state.rotation, self.state.position
        kernels.object_distances(points, R, t, *self.model.volume, local, found, gradients)
        return found, kernels.object_rows(local, gradients, R), gradients @ R.T

    def look(self, camera: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Numbers of the hand's vertices that a camera (4,) with images of size (H, W) sees, behind no object."""
        image = np.full(size, 1e3)
        draw_depth(self.hand.vertices, self.person.hand.faces, camera, image)
        if self.model is not None:
            placed = self.model.vertices @ self.state.rotation.T + self.state.position
            draw_depth(placed, self.model.faces, camera, image)
        return kernels.visible(self.hand.vertices, self.normals, camera, image, VISIBLE_WITHIN)
