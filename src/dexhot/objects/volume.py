"""The signed distance volume of an object's visual mesh, kept beside it in the cache so that fits need not build it."""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from dexhot.data.files import UNREADABLE, replacing
from dexhot.geometry.sdf_volume import SdfVolume, sdf_volume
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import objects_dir

FILE = "sdf.npz"


def object_volume(asset: ObjectAsset) -> SdfVolume:
    """The volume that was kept for this mesh, else a new one (which needs Warp); an object of the cache keeps it."""
    path = _path(asset)
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["mesh"]) == _digest(asset):
                    return SdfVolume(file["values"], file["origin"], float(file["spacing"]))
        except UNREADABLE:
            pass  # damaged: it is built again
    volume = sdf_volume(asset.vertices, asset.faces)
    if path.parent.is_dir():  # an object of the cache; building takes seconds
        with suppress(OSError), replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(
                stream, values=volume.values, origin=volume.origin, spacing=volume.spacing, mesh=_digest(asset)
            )
    return volume


def keep_volume(asset: ObjectAsset) -> SdfVolume | None:
    """Have the volume in the object's folder in the cache; None without Warp."""
    try:
        return object_volume(asset)
    except ImportError:
        return None


def _path(asset: ObjectAsset) -> Path:
    return objects_dir() / asset.name / FILE


def _digest(asset: ObjectAsset) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(asset.vertices, float).tobytes())
    digest.update(np.ascontiguousarray(asset.faces, np.int64).tobytes())
    return digest.hexdigest()
