"""The YCB objects of DexYCB and HO-3D: one asset in the library serves both."""

from collections.abc import Callable
from pathlib import Path

from dexhot.errors import FileFormatError
from dexhot.geometry.meshes import read_mesh
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects, load_object, save_object

COLLECTION = "ycb"
LICENCE = "CC BY 4.0"


def ycb_mesh(library: Path, name: str) -> Path | None:
    """The mesh file of an object in a folder: NAME/textured_simple.obj as published, or NAME.obj; None without one."""
    found = [library / name / "textured_simple.obj", library / f"{name}.obj"]
    return next((path for path in found if path.is_file()), None)


def ycb_object(library: Path, name: str, make_object: Callable[..., ObjectAsset], again: bool = False) -> ObjectAsset:
    """The asset of the library, made from the mesh file if it is not there (or `again`). Raises FileFormatError."""
    asset = f"{COLLECTION}/{name}"
    if asset in list_objects() and not again:
        return load_object(asset)
    path = ycb_mesh(library, name)
    if path is None:
        raise FileFormatError(
            f"{library} lacks {name}/textured_simple.obj; name the models' folder with --objects DIR."
        )
    provenance = {"dataset": "YCB", "licence": LICENCE}
    made = make_object(asset, *read_mesh(path), provenance=provenance)
    save_object(made)
    return made
