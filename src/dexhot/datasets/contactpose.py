"""ContactPose (Brahmbhatt et al., ECCV 2020) as published: grasps of 25 objects by 50 people, with contact measured by
a thermal camera.

contactpose_data/full{1..50}_{use|handoff}/OBJECT/
  annotations.json     hands [left, right]: valid, moving, joints (21, 3) in the hand's frame; frames: hTo of each hand
  mano_fits_15.json    [left, right]: valid, pose (3 + 15 coefficients of MANO's components), betas (10,), mTc
  OBJECT.ply           the object's mesh, m; the red channel is the heat that the hand left

Poses are {translation, rotation}, rotation wxyz. m is MANO's frame, h the hand's, o the object's: here all is in the
object's frame, of the first frame of a recording (the hand does not move on the object).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from dexhot.datasets.mano_motion import ManoMotion
from dexhot.errors import FileFormatError
from dexhot.fitting.contact import Contact, KnownGrasp, contact_of
from dexhot.fitting.scene import ObjectModel, mesh_model
from dexhot.geometry.meshes import check_size
from dexhot.geometry.poses import IDENTITY, compose, inverse, make_pose
from dexhot.geometry.sdf_volume import sdf_volume
from dexhot.humans.mano import mano, mano_pca
from dexhot.humans.skin import HandPose
from dexhot.objects.asset import Symmetry

NAME = "ContactPose"
SIDES = ("left", "right")  # in the files' order
LOWEST = 0.05  # the sigmoid's value at the least heat of a map, 1 - it at the most (the authors' texture_proc)
WARM = 0.4  # of it, above which the authors take a point as touched
REACH = 0.003  # m from a touched point of the object within which a vertex of the hand was in contact


def grasp_folders(folder: Path) -> list[Path]:
    """One per recording, in the order of their names. Raises FileFormatError where there are none."""
    inner = folder / "contactpose_data"
    found = sorted((inner if inner.is_dir() else folder).glob("full*_*/*/annotations.json"))
    if not found:
        raise FileFormatError(
            f"{folder} is not ContactPose: it has no contactpose_data/full*_*/OBJECT/annotations.json."
        )
    return [path.parent for path in found]


def read_grasps(place: Path) -> Iterator[KnownGrasp]:
    """Each valid hand of one recording. Raises FileFormatError for a missing or damaged file, ClipError for a hand that
    does not hold the object."""
    annotations, fits = _json(place / "annotations.json"), _json(place / "mano_fits_15.json")
    model, touched = _object(place / f"{place.name}.ply")
    try:
        for k, side in enumerate(SIDES):
            if annotations["hands"][k]["valid"] and fits[k]["valid"]:
                yield _grasp(place, side, annotations, k, fits[k], model, touched)
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise FileFormatError(f"{place}: {type(e).__name__}: {e}; download it again.") from e


def _grasp(
    place: Path, side: str, annotations: Any, k: int, fit: Any, model: ObjectModel, touched: np.ndarray
) -> KnownGrasp:
    hand, (mean, components) = mano(side), mano_pca(side)
    given, shape = np.asarray(fit["pose"], float), np.asarray(fit["betas"], float)
    fingers = mean + given[3:] @ components[: len(given) - 3]
    still = ManoMotion(hand, shape, np.concatenate([given[:3], np.zeros(3), fingers])[None])
    o_T_h = IDENTITY
    if annotations["hands"][k]["moving"]:
        o_T_h = inverse(_pose(annotations["frames"][0]["hTo"][k]))
    motion = still.seen_from(compose(o_T_h, inverse(_pose(fit["mTc"]))))
    vertices, keypoints = motion.points(vertices=True)[0], motion.points()[0]
    contact = contact_of(model, vertices, IDENTITY)
    if len(touched):  # what was measured counts more than the annotated distance
        near = cKDTree(touched).query(vertices, distance_upper_bound=REACH)[0] < REACH
        contact = Contact(np.where(near, 1.0, contact.values), contact.normals)
    pose = HandPose.from_vector(motion.parameters[0])
    name = f"{place.parent.name}/{place.name}/{side}"
    return KnownGrasp(name, hand, shape, pose, model, IDENTITY, vertices, keypoints, contact)


def _object(path: Path) -> tuple[ObjectModel, np.ndarray]:
    """The object, and the points (N, 3) m that were touched."""
    if not path.is_file():
        raise FileFormatError(f"{path} is missing; the contact maps were not downloaded.")
    try:
        mesh: Any = trimesh.load_mesh(path, process=False)
        vertices, faces = np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int64)
        heat = np.asarray(mesh.visual.vertex_colors, float)[:, 0] / 255.0
    except Exception as e:  # trimesh raises any exception of its parsers
        raise FileFormatError(f"{path} cannot be read ({type(e).__name__}: {e}); download it again.") from e
    check_size(str(path), vertices)
    model = mesh_model(f"contactpose/{path.stem}", vertices, faces, sdf_volume(vertices, faces), Symmetry())
    return model, vertices[touched_by(heat) > WARM]


def touched_by(heat: np.ndarray) -> np.ndarray:
    """Heat (V,) in [0, 1] -> contact (V,) in [0, 1], by the authors' sigmoid between the least and the most of the map;
    0 where nothing was measured."""
    contact, seen = np.zeros(len(heat)), heat > 0
    if not seen.any() or np.ptp(heat[seen]) == 0.0:
        return contact
    low, high = heat[seen].min(), heat[seen].max()
    steep = 2.0 * np.log(1.0 / LOWEST - 1.0) / (high - low)
    contact[seen] = 1.0 / (1.0 + np.exp(-steep * (heat[seen] - 0.5 * (low + high))))
    return contact


def _pose(given: Any) -> np.ndarray:
    rotation = np.asarray(given["rotation"], float)
    if not 0.9 < np.linalg.norm(rotation) < 1.1:
        raise ValueError(f"a rotation has the norm {np.linalg.norm(rotation):.3g}, not 1")
    return make_pose(np.asarray(given["translation"], float), rotation / np.linalg.norm(rotation))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise FileFormatError(f"{path} cannot be read ({e}); download it again.") from e
