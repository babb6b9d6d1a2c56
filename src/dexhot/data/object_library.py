"""The cache's objects, by name: a folder each, objects/<collection>/<name>/, with object.json beside mesh.npz."""

import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dexhot.data.files import replacing, write_text
from dexhot.data.object_asset import ObjectAsset, Symmetry
from dexhot.data.types import OBJECT_NAME
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.paths import cache_dir

SCHEMA, VERSION = "dexhot/object", 1


def objects_dir() -> Path:
    """Where the cache's objects are."""
    return cache_dir() / "objects"


def save_object(asset: ObjectAsset) -> Path:
    """Write the asset into the cache; returns its folder. Raises FileFormatError for values that cannot be."""
    asset.validate()
    folder = objects_dir() / asset.name
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"vertices": asset.vertices, "faces": asset.faces, "center_of_mass": asset.center_of_mass}
    arrays |= {"inertia": asset.inertia, "resting_poses": asset.resting_poses}
    for i, (vertices, faces) in enumerate(asset.pieces):
        arrays |= {f"piece{i}.vertices": vertices, f"piece{i}.faces": faces}
    with replacing(folder / "mesh.npz") as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    header = {"schema": SCHEMA, "version": VERSION, "name": asset.name, "mass": asset.mass, "pieces": len(asset.pieces)}
    header |= {"symmetry": asdict(asset.symmetry), "provenance": asset.provenance}
    write_text(folder / "object.json", json.dumps(header, indent=1))
    return folder


def load_object(name: str) -> ObjectAsset:
    """Read an asset of the cache by name; a parametric one is made from its name. Raises NotFoundError with the names
    that exist."""
    if not OBJECT_NAME.fullmatch(name):
        raise NotFoundError("object", name, list_objects(), "An object is named, not pointed to by a path.")
    folder = objects_dir() / name
    if not (folder / "object.json").is_file() and name.startswith("parametric/"):
        from dexhot.data.shapes import named_shape, shape_asset  # trimesh: half a second of a node's start

        return shape_asset(named_shape(name))
    if not (folder / "object.json").is_file():
        hint = (
            "Get a dataset's objects with `dexhot datasets get NAME`, add your own scan with `dexhot object add FILE`."
        )
        raise NotFoundError("object", name, list_objects(), hint)
    try:
        header = json.loads((folder / "object.json").read_text())
        if header["schema"] != SCHEMA or header["version"] > VERSION:
            raise ValueError(
                f"{header['schema']} version {header['version']}, this dexhot reads {SCHEMA} up to {VERSION}"
            )
        with np.load(folder / "mesh.npz", allow_pickle=False) as a:
            pieces = [(a[f"piece{i}.vertices"], a[f"piece{i}.faces"]) for i in range(header["pieces"])]
            asset = ObjectAsset(
                name=header["name"],
                vertices=a["vertices"],
                faces=a["faces"],
                pieces=pieces,
                mass=float(header["mass"]),
                center_of_mass=a["center_of_mass"],
                inertia=a["inertia"],
                symmetry=Symmetry(**header["symmetry"]),
                resting_poses=a["resting_poses"],
                provenance=header["provenance"],
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise FileFormatError(
            f"object {name!r} in {folder} cannot be read ({e}); delete the folder and add it again."
        ) from e
    asset.validate()
    return asset


def list_objects() -> list[str]:
    """Names of the assets in the cache."""
    base = objects_dir()
    return sorted(p.parent.relative_to(base).as_posix() for p in base.glob("**/object.json"))
