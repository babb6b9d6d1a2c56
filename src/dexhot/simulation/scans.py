"""From a mesh to an ObjectAsset: checks, convex pieces, mass and inertia, symmetry, resting poses, a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import trimesh
from numpy.typing import ArrayLike

from dexhot.errors import MeshError
from dexhot.geometry.convex import convex_pieces
from dexhot.geometry.meshes import UNITS, check_arrays, check_size, mass_properties, read_mesh, solid_properties
from dexhot.geometry.poses import matrix_to_pose
from dexhot.geometry.rotations import quat_conjugate, quat_rotate
from dexhot.geometry.scans import prepare_scan, without_specks
from dexhot.objects.asset import ObjectAsset, Symmetry, guessed_mass
from dexhot.objects.symmetry_search import find_symmetry
from dexhot.simulation.physics import Physics, load_physics
from dexhot.simulation.renderer import new_renderer
from dexhot.simulation.scene import object_scene, reset
from dexhot.simulation.settle import drop, settle_check, settle_height

Report = Callable[[str, float, float | None], object]  # step, done, total (None: not countable)


def unreported(step: str, done: float, total: float | None) -> None:
    """A Report that shows nothing."""


def make_object(
    name: str,
    vertices: ArrayLike,
    faces: ArrayLike,
    *,
    pieces: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    solid: tuple[np.ndarray, np.ndarray] | None = None,
    mass: float | None = None,
    density: float | None = None,
    provenance: dict[str, Any] | None = None,
    scale: float = 1.0,
    progress: Report = unreported,
) -> ObjectAsset:
    """An asset without resting poses (see `resting_poses`).

    vertices (V, 3) times `scale` are metres in the mesh frame; the mesh need not be watertight. pieces: convex pieces
    as (vertices, faces) in the same unit; default: by CoACD. solid: a closed mesh as (vertices, faces) that defines
    volume and inertia, for a shell thinner than its pieces; default: the pieces. mass in kg; default: volume times
    `density` (kg/m3), or times the benchmark's density, clipped to its mass range. The provenance records which.
    Raises MeshError with the reason for an unusable mesh.
    """
    vertices, faces = np.asarray(vertices, float) * scale, np.asarray(faces, int)
    check_arrays(name, vertices, faces)
    check_size(name, vertices)
    if pieces is None:
        progress("convex pieces", 0, None)
        pieces = convex_pieces(vertices, faces)
    else:
        pieces = [(np.asarray(v, float) * scale, np.asarray(f, int)) for v, f in pieces]
    if solid is None:
        volume, center, unit_inertia = mass_properties(pieces)
    else:
        volume, center, unit_inertia = solid_properties(np.asarray(solid[0], float) * scale, solid[1])
    if volume < 1e-8:
        raise MeshError(f"{name}: it has no volume ({1e6 * volume:.3g} cm3); close its surface or give it a thickness.")
    source = "given"
    if mass is None and density is not None:
        mass, source = density * volume, f"{1e6 * volume:.4g} cm3 of {density:g} kg/m3"
    elif mass is None:
        mass, source = guessed_mass(volume)
    if not 1e-3 <= mass <= 5.0:
        raise MeshError(
            f"{name}: a mass of {mass:.4g} kg is out of range; set --mass (0.001 to 5 kg) or --density (kg/m3)."
        )
    symmetry = find_symmetry(vertices, faces)
    return ObjectAsset(
        name=name,
        vertices=vertices,
        faces=faces,
        pieces=pieces,
        mass=float(mass),
        center_of_mass=center,
        inertia=unit_inertia * mass,
        symmetry=Symmetry(symmetry.kind, symmetry.axis.tolist(), symmetry.rotations.tolist(), symmetry.center.tolist()),
        provenance={"volume_m3": volume, "mass_from": source, **(provenance or {})},
    )


def resting_object(
    name: str, vertices: ArrayLike, faces: ArrayLike, progress: Report = unreported, **options: Any
) -> ObjectAsset:
    """`make_object` (same `options`) with `resting_poses`. Raises MeshError also if there is none."""
    asset = make_object(name, vertices, faces, progress=progress, **options)
    asset.resting_poses = resting_poses(asset, load_physics(), progress=progress)
    if not len(asset.resting_poses):
        raise MeshError(f"{name}: it has no stable pose on the table in simulation; check the mesh and its mass.")
    return asset


def object_from_file(
    path: str | Path, name: str, *, unit: str = "m", scale: float = 1.0, progress: Report = unreported, **options: Any
) -> ObjectAsset:
    """`object_from_scan` (same `options`) of a file. Raises MeshError with the reason."""
    path = Path(path)
    progress("repair", 0, None)
    vertices, faces = read_mesh(path)
    asset = object_from_scan(
        vertices, faces, name, unit=unit, scale=scale, suffix=path.suffix, progress=progress, **options
    )
    asset.provenance |= {"file": path.name}
    return asset


def object_from_scan(
    vertices: np.ndarray,
    faces: np.ndarray,
    name: str,
    *,
    unit: str = "m",
    scale: float = 1.0,
    suffix: str = "",
    mass: float | None = None,
    density: float | None = None,
    keep_parts: bool = False,
    keep_openings: bool = False,
    wall: float = 0.0,
    convex: bool = False,
    progress: Report = unreported,
) -> ObjectAsset:
    """A scan as an asset: small fragments removed unless `keep_parts`, unit and scale check (`suffix`: of its file),
    `prepare_scan` (`keep_openings`, `wall` in m), `resting_object`. `convex`: its hull is its only piece. The
    provenance records every step.

    Raises MeshError with the reason; a wrong unit is never corrected silently: the message lists the plausible ones.
    """
    if not scale > 0:
        raise MeshError(f"{name}: --scale must be positive, not {scale:g}; a negative one would mirror the mesh.")
    check_arrays(name, vertices, faces)
    vertices = vertices * UNITS[unit] * scale
    faces, dropped = (faces, []) if keep_parts else without_specks(vertices, faces)
    check_size(name, vertices[np.unique(faces)], unit, scale, suffix)
    scan = prepare_scan(vertices, faces, keep_openings=keep_openings, wall=wall)
    scan.repairs.dropped = dropped
    hull = trimesh.convex.convex_hull(scan.vertices) if convex else None
    pieces = None if hull is None else [(np.asarray(hull.vertices), np.asarray(hull.faces))]
    asset = resting_object(
        name, scan.vertices, scan.faces, progress, pieces=pieces, solid=scan.solid, mass=mass, density=density
    )
    asset.provenance |= {"unit": unit, "scale": scale}
    asset.provenance |= {"repairs": scan.repairs.entries(), "notes": scan.repairs.notes()}
    return asset


def resting_poses(asset: ObjectAsset, physics: Physics, most: int = 6, progress: Report = unreported) -> np.ndarray:
    """(P, 7) stable poses on a table at z = 0, confirmed by simulation, most probable first, at x = y = 0.

    Candidates are the stable faces of the convex hull (trimesh). Each is released for 1 s and must then be at rest by
    `settle_check`. Poses that differ by a rotation about the vertical, or about the symmetry axis, count once.
    """
    scene = object_scene(asset, physics)
    hull = trimesh.convex.convex_hull(asset.corners)
    transforms, _ = trimesh.poses.compute_stable_poses(hull, center_mass=asset.center_of_mass, sigma=0.0, n_samples=1)
    found: list[np.ndarray] = []
    ups: list[np.ndarray] = []
    starts = matrix_to_pose(np.asarray(transforms)[:30])
    for k, start in enumerate(starts):
        progress("resting poses", k, len(starts))
        data = drop(scene, settle_height(asset, start), seconds=1.0)
        pose = data.qpos[scene.object_qpos].copy()
        pose[:2] = 0.0
        up = quat_rotate(quat_conjugate(pose[3:]), np.array([0.0, 0.0, 1.0]))
        speed, turn = settle_check(scene, pose)
        at_rest = speed < physics.rest_speed[0] and turn < physics.rest_speed[1]
        if at_rest and not any(_same_side(up, u, asset.symmetry) for u in ups):
            found.append(pose)
            ups.append(up)
        if len(found) == most:
            break
    return np.array(found).reshape(-1, 7)


def _same_side(up: np.ndarray, other: np.ndarray, symmetry: Symmetry) -> bool:
    """Whether two world-up directions in the mesh frame are equal: within 10 deg, up to rotations about the axis."""
    if symmetry.kind == "sphere":
        return True
    if symmetry.kind == "axis":
        tilts = np.arccos(np.clip([up @ symmetry.axis, other @ symmetry.axis], -1.0, 1.0))
        return bool(abs(tilts[0] - tilts[1]) < np.radians(10.0))
    return bool(up @ other > np.cos(np.radians(10.0)))


def thumbnail(asset: ObjectAsset, size: tuple[int, int] = (360, 480)) -> np.ndarray:
    """(H, W, 3) uint8: the object at its first resting pose on the table."""
    scene = object_scene(asset, load_physics())
    data = mujoco.MjData(scene.model)
    poses = asset.resting_poses
    pose = poses[0] if len(poses) else settle_height(asset, [0, 0, 0, 1, 0, 0, 0])
    reset(scene, data, [], pose)
    camera = mujoco.MjvCamera()
    low, high = asset.vertices.min(axis=0), asset.vertices.max(axis=0)
    camera.lookat = data.body("object").xpos + quat_rotate(pose[3:], (low + high) / 2)
    camera.distance, camera.azimuth, camera.elevation = 1.6 * np.linalg.norm(high - low), 130.0, -28.0
    with new_renderer(scene.model, width=size[1], height=size[0]) as renderer:
        renderer.update_scene(data, camera)
        picture: np.ndarray = renderer.render()
        return picture
