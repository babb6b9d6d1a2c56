"""Turns a scan into an object's mesh: removes noise, caps or keeps openings, adds a wall, reports each step."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from dexhot.errors import MeshError
from dexhot.geometry.meshes import repair
from dexhot.geometry.openings import cap, cappable, find_openings, turned_outward, walled

SPECK = 0.1  # of the largest part's size: smaller detached parts are scan noise
APART = 0.01  # of it: small parts nearer than this belong to the object
SPECKS_AREA = 0.05  # of the surface: parts with more area in total are not scan noise


@dataclass
class Repairs:
    """Repairs made to a scan, and remaining defects; widths and sizes in m."""

    closed: bool = True
    parts: int = 1  # separate surfaces that were kept
    dropped: list[float] = field(default_factory=list)  # sizes of the dropped parts
    capped: list[float] = field(default_factory=list)  # widths of the openings
    openings: list[float] = field(default_factory=list)  # of those left open
    wall: float = 0.0  # wall thickness
    filled: bool = False  # its volume is that inside its distance field

    def entries(self) -> dict[str, Any]:
        """The same for JSON, rounded to 0.1 mm."""
        return {
            key: [round(x, 4) for x in value] if isinstance(value, list) else value
            for key, value in asdict(self).items()
        }

    def notes(self) -> list[str]:
        """Notes for the user, one sentence each."""
        said = []
        if self.dropped:
            what, them = ("part", "it") if len(self.dropped) == 1 else ("parts", "them")
            largest = _size(max(self.dropped))
            said.append(f"{len(self.dropped)} detached {what} of up to {largest} dropped; --keep-parts keeps {them}")
        if self.parts > 1:
            said.append(f"{self.parts} separate parts kept as one object")
        if self.capped:
            hint = "" if self.wall else "; if this is a container's mouth, set --wall"
            said.append(f"{_count(self.capped)} of {_sizes(self.capped)} capped{hint}")
        if self.wall:
            said.append(f"a shell with a wall of {1000 * self.wall:g} mm")
        if self.wall and self.openings:
            said.append(f"{_count(self.openings)} of {_sizes(self.openings)} left open; --openings cap caps them")
        elif self.filled:
            what = f"{_count(self.openings)} of {_sizes(self.openings)}" if self.openings else "faces that cross"
            said.append(f"not closed ({what}): its mass is that of the enclosed volume; weigh it (--mass)")
        elif self.openings:
            said.append(
                f"not closed ({_count(self.openings)} of {_sizes(self.openings)}): its mass is that "
                "estimated as that of a thick shell; weigh it (--mass)"
            )
        elif not self.closed:
            said.append("not closed (edges with more than two faces): its mass is uncertain, weigh it (--mass)")
        return said


@dataclass
class Scan:
    """A repaired mesh in metres, ready for `make_object`, and its repairs."""

    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)
    repairs: Repairs
    solid: tuple[np.ndarray, np.ndarray] | None  # closed mesh with the object's volume, for a shell


def prepare_scan(vertices: np.ndarray, faces: np.ndarray, *, keep_openings: bool = False, wall: float = 0.0) -> Scan:
    """Repair a mesh (V, 3) m, (F, 3): equal vertices merged, faces turned outward, openings capped.

    keep_openings: cap nothing. wall: thickness, m; the surface is its outside, open where openings are kept.
    Raises MeshError if the wall is too thick.
    """
    vertices, faces = repair(vertices, faces)
    parts = _parts(faces, len(vertices))
    repairs = Repairs(parts=int(parts.max()) + 1)
    for part in range(repairs.parts):
        faces[parts == part] = turned_outward(vertices, faces[parts == part])
    size = float(np.ptp(vertices, axis=0).max())
    for opening in find_openings(vertices, faces):
        closed = None if keep_openings or not cappable(opening, size) else cap(vertices, faces, opening, size)
        if closed is None:
            repairs.openings.append(opening.width)
        else:
            vertices, faces = closed
            repairs.capped.append(opening.width)
    solid = None
    if wall:
        solid, repairs.wall = walled(vertices, faces, wall), wall
        if repairs.openings:
            vertices, faces = solid
    checked = trimesh.Trimesh(*(solid or (vertices, faces)), process=False)
    repairs.closed = bool(checked.is_watertight)
    if not (repairs.closed or wall or keep_openings) and (filled := _filled(vertices, faces)):
        solid, repairs.filled = filled, True
    return Scan(vertices, faces, repairs, solid if repairs.closed or repairs.filled else None)


def _filled(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A closed mesh around the same solid (sdf_volume.watertight); None where it encloses nothing, or without Warp."""
    from dexhot.geometry.sdf_volume import watertight

    try:
        closed = watertight(vertices, faces)
    except (ImportError, MeshError):
        return None
    return closed if trimesh.Trimesh(*closed, process=False).is_watertight else None


def without_specks(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The faces without those of small detached parts, and these parts' sizes (largest side, m), largest first."""
    merged = np.unique(np.round(vertices, 7), axis=0, return_inverse=True)[1].reshape(-1)[faces]
    label = _parts(merged, int(merged.max()) + 1)
    count = int(label.max()) + 1
    if count == 1:
        return faces, []
    corners = vertices[faces]
    area = np.bincount(label, trimesh.triangles.area(corners))
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, label, corners.min(axis=1))
    np.maximum.at(high, label, corners.max(axis=1))
    size = (high - low).max(axis=1)
    largest = size.max()
    small = size < SPECK * largest
    body = trimesh.Trimesh(vertices, faces[~small[label]], process=False)
    surface = np.vstack([trimesh.sample.sample_surface(body, 20000, seed=0)[0], body.triangles_center])
    gap = np.full(count, np.inf)
    np.minimum.at(gap, label, cKDTree(surface).query(corners.mean(axis=1))[0] - 0.5 * size[label])
    specks = small & (gap > APART * largest)
    if not specks.any() or area[specks].sum() > SPECKS_AREA * area.sum():
        return faces, []
    return faces[~specks[label]], sorted(size[specks].tolist(), reverse=True)


def _parts(faces: np.ndarray, count: int) -> np.ndarray:
    """(F,) index of each face's part in a mesh of `count` vertices: parts share no vertex."""
    a, b = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(count, count))
    return np.unique(connected_components(graph, directed=False)[1][faces[:, 0]], return_inverse=True)[1].reshape(-1)


def _count(widths: list[float]) -> str:
    return "1 opening" if len(widths) == 1 else f"{len(widths)} openings"


def _sizes(widths: list[float]) -> str:
    low, high = _size(min(widths)), _size(max(widths))
    return low if low == high else f"{low} to {high}"


def _size(metres: float) -> str:
    return f"{100 * metres:.2g} cm" if metres >= 0.01 else f"{1000 * metres:.2g} mm"
