"""MuJoCo geoms as triangle meshes, merged per body, for a renderer that supports only triangles."""

from dataclasses import dataclass

import mujoco
import numpy as np
import trimesh

from dexhot.geometry.poses import make_pose, transform
from dexhot.geometry.triangles import merged

Geom = mujoco.mjtGeom
Rgba = tuple[float, float, float, float]


@dataclass(frozen=True)
class BodyMesh:
    """Triangles of one colour that move with one body; vertices in the body's frame."""

    body: int
    rgba: Rgba
    smooth: bool  # False: flat shading, as for a box
    vertices: np.ndarray  # (V, 3) m
    faces: np.ndarray  # (F, 3)


def body_parts(model: mujoco.MjModel, geoms: np.ndarray, sections: int = 32) -> list[BodyMesh]:
    """The parts of the geoms with these ids: one per body, colour and shading. Planes are omitted; `sections` as in
    `geom_mesh`."""
    groups: dict[tuple[int, Rgba, bool], list[tuple[np.ndarray, np.ndarray]]] = {}
    for geom in geoms:
        if Geom(model.geom_type[geom]) in (Geom.mjGEOM_PLANE, Geom.mjGEOM_HFIELD):
            continue
        vertices, faces = geom_mesh(model, int(geom), sections)
        placed = transform(make_pose(model.geom_pos[geom], model.geom_quat[geom]), vertices)
        smooth = Geom(model.geom_type[geom]) != Geom.mjGEOM_BOX
        key = (int(model.geom_bodyid[geom]), geom_rgba(model, int(geom)), smooth)
        groups.setdefault(key, []).append((placed, faces))
    return [BodyMesh(body, rgba, smooth, *merged(meshes)) for (body, rgba, smooth), meshes in groups.items()]


def geom_mesh(model: mujoco.MjModel, geom: int, sections: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) of one geom in its own frame; round ones have `sections` around their axis."""
    kind, size = Geom(model.geom_type[geom]), model.geom_size[geom]
    if kind == Geom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        return model.mesh_vert[first : first + count].copy(), model.mesh_face[face : face + faces].copy()
    if kind == Geom.mjGEOM_BOX:
        shape = trimesh.creation.box(2 * size)
    elif kind == Geom.mjGEOM_CYLINDER:
        shape = trimesh.creation.cylinder(size[0], 2 * size[1], sections=sections)
    elif kind == Geom.mjGEOM_CAPSULE:
        count = (max(4, 5 * sections // 8),) * 2
        shape = trimesh.creation.capsule(2 * size[1], size[0], count=count)
        shape.apply_translation(-shape.bounds.mean(axis=0))  # the origin differs between versions of trimesh
    elif kind in (Geom.mjGEOM_SPHERE, Geom.mjGEOM_ELLIPSOID):
        shape = trimesh.creation.icosphere(subdivisions=3 if sections > 16 else 1)
        shape.apply_scale(size if kind == Geom.mjGEOM_ELLIPSOID else size[0])
    else:
        raise ValueError(f"geom {model.geom(geom).name!r} has type {kind.name}, which has no triangles")
    return np.asarray(shape.vertices), np.asarray(shape.faces)


def geom_rgba(model: mujoco.MjModel, geom: int) -> Rgba:
    """The colour of a geom in MuJoCo: its material's, else its own."""
    material = model.geom_matid[geom]
    r, g, b, a = map(float, model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom])
    return r, g, b, a
