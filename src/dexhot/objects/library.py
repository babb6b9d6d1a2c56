"""The object library in the cache: folders objects/<collection>/<name>/, each with object.json and mesh.npz."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import UNREADABLE, replacing
from dexhot.data.types import OBJECT_NAME
from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.objects.asset import ObjectAsset, Symmetry
from dexhot.objects.shapes import named_shape, shape_asset, shape_symmetry
from dexhot.objects.stretched import PREFIX, parse, stretched, stretched_symmetry
from dexhot.paths import cache_dir

SCHEMA, VERSION = "dexhot/object", 1
PICTURE = "thumbnail.png"
OF_DATASETS = ("grab", "grab-full", "hot3d", "dexycb", "ho3d", "ycb", "taco", "fphab", "contactpose")  # folders
OF_GENERATORS = ("parametric", "generated", "stretched")  # objects that are made from their names


def check_own_name(name: str) -> None:
    """Raise DexhotError for an object's name in the folder of a dataset or a generator, whose objects it would hide."""
    folder, _, rest = name.partition("/")
    if rest and folder in (*OF_DATASETS, *OF_GENERATORS):
        whose = "of a dataset" if folder in OF_DATASETS else "of generated objects"
        raise DexhotError(
            f"{name} is a name {whose}, whose clips would take your object for their own; give --name user/{rest}."
        )


def objects_dir() -> Path:
    """Folder of the objects in the cache."""
    return cache_dir() / "objects"


def save_object(asset: ObjectAsset, picture: np.ndarray | None = None) -> Path:
    """Write the asset, and a `picture` (H, W, 3) uint8 of it, into the cache; returns its folder.

    The final names appear only when all is written. Raises FileFormatError for invalid values.
    """
    asset.validate()
    folder = objects_dir() / asset.name
    arrays = {"vertices": asset.vertices, "faces": asset.faces, "center_of_mass": asset.center_of_mass}
    arrays |= {"inertia": asset.inertia, "resting_poses": asset.resting_poses}
    for i, (vertices, faces) in enumerate(asset.pieces):
        arrays |= {f"piece{i}.vertices": vertices, f"piece{i}.faces": faces}
    header = {"schema": SCHEMA, "version": VERSION, "name": asset.name, "mass": asset.mass, "pieces": len(asset.pieces)}
    header |= {"symmetry": asdict(asset.symmetry), "provenance": asset.provenance, "friction": asset.friction}
    with made_folder(folder), ExitStack() as written:
        if picture is not None:
            from PIL import Image

            Image.fromarray(picture).save(written.enter_context(replacing(folder / PICTURE)), format="png")
        text = written.enter_context(replacing(folder / "object.json"))
        text.write_text(json.dumps(header, indent=1))
        with open(written.enter_context(replacing(folder / "mesh.npz")), "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # as in data/files.py
    return folder


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Context manager: makes `folder`; if the block fails, removes the folders made for it."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):  # another process has written into it in the meantime
                parent.rmdir()
        raise


def load_object(name: str) -> ObjectAsset:
    """Read an asset of the cache by name, which may lack user/; a parametric or a stretched one is made from its name.
    Raises NotFoundError with the existing names."""
    if not OBJECT_NAME.fullmatch(name):
        raise NotFoundError("object", name, list_objects(), "Give the name of an object, not a path.")
    name = full_name(name)
    if _made_from_its_name(name):
        return shape_asset(named_shape(name))
    if name.startswith(PREFIX):
        parent, factors, mass = parse(name)
        return stretched(load_object(parent), factors, mass)
    header, folder = _read_header(name), objects_dir() / name
    try:
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
                friction=header.get("friction"),  # files before it have none
            )
    except UNREADABLE as e:
        raise _unreadable(name, e) from e
    asset.validate()
    return asset


def load_symmetry(name: str) -> Symmetry:
    """Only the symmetry of `load_object(name)`, faster. Raises the same errors."""
    name = full_name(name)
    if _made_from_its_name(name):
        return shape_symmetry(named_shape(name))
    if name.startswith(PREFIX):
        parent, factors, _ = parse(name)
        return stretched_symmetry(load_symmetry(parent), factors)
    try:
        return Symmetry(**_read_header(name)["symmetry"])
    except UNREADABLE as e:
        raise _unreadable(name, e) from e


def full_name(name: str) -> str:
    """user/NAME for a plain name that is there, where `dexhot object add` puts it; else the name as it is."""
    own = f"user/{name}"
    there = "/" not in name and (objects_dir() / own / "object.json").is_file()
    return own if there and not (objects_dir() / name / "object.json").is_file() else name


def _made_from_its_name(name: str) -> bool:
    return name.startswith("parametric/") and not (objects_dir() / name / "object.json").is_file()


def _read_header(name: str) -> dict[str, Any]:
    """object.json of an object of the cache. Raises NotFoundError or FileFormatError."""
    path = objects_dir() / name / "object.json"
    if not path.is_file():
        hint = (
            "Get a dataset's objects with `dexhot datasets get NAME`, add your own scan with `dexhot object add FILE`."
        )
        raise NotFoundError("object", name, list_objects(), hint)
    try:
        header: dict[str, Any] = json.loads(path.read_text())
        if header["schema"] != SCHEMA or header["version"] > VERSION:
            raise ValueError(
                f"{header['schema']} version {header['version']}, this dexhot reads {SCHEMA} up to {VERSION}"
            )
    except UNREADABLE as e:
        raise _unreadable(name, e) from e
    return header


def _unreadable(name: str, reason: Exception) -> FileFormatError:
    return FileFormatError(
        f"object {name!r} in {objects_dir() / name} cannot be read ({reason}); delete the folder and add it again."
    )


def list_objects() -> list[str]:
    """Names of the assets in the cache."""
    base = objects_dir()
    return sorted(p.parent.relative_to(base).as_posix() for p in base.glob("**/object.json"))
