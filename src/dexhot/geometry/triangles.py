"""Triangles as arrays: their normals, and several meshes as one. Without trimesh, whose import takes long."""

from collections.abc import Sequence

import numpy as np


def face_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) outward normals of the triangles `faces` (F, 3) of `vertices` (V, 3), as long as twice their areas."""
    corners = vertices[faces]
    areas: np.ndarray = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return areas


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) at each vertex the sum of `face_areas` of the triangles around it."""
    areas, summed = face_areas(vertices, faces), np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(summed, faces[:, corner], areas)
    return summed


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) outward unit normals, weighted by area."""
    summed = vertex_areas(vertices, faces)
    unit: np.ndarray = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-15)
    return unit


def vertex_normals_transposed(
    vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """Gradient of sum(goal . vertex normals) by the vertices (V, 3); `normals` are theirs."""
    corners = vertices[faces]
    length = np.maximum(np.linalg.norm(vertex_areas(vertices, faces), axis=1, keepdims=True), 1e-15)
    by_sum = (goal - normals * (goal * normals).sum(axis=1, keepdims=True)) / length
    by_area = by_sum[faces].sum(axis=1)
    u, w = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    by_u, by_w = np.cross(w, by_area), np.cross(by_area, u)
    out = np.zeros_like(vertices)
    np.add.at(out, faces[:, 1], by_u)
    np.add.at(out, faces[:, 2], by_w)
    np.add.at(out, faces[:, 0], -by_u - by_w)
    return out


def merged(meshes: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) of all meshes as one."""
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + offset for (_, faces), offset in zip(meshes, offsets)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)
