"""`dexhot datasets get ho3d`: the YCB objects that a copy of HO-3D needs, into the cache.

HO-3D's recordings start and end in the air and have no gravity, so they are not demonstrations: they are read where
they are, by `dexhot evaluate fit` and `dexhot datasets get ho3d --recording`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dexhot.datasets import ho3d
from dexhot.datasets.licences import require_acceptance
from dexhot.datasets.ycb import COLLECTION, ycb_object
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects
from dexhot.progress import track


def get_ho3d(
    folder: Path,
    make_object: Callable[..., ObjectAsset],
    accept_licence: bool | None = None,
    objects: Path | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Write the objects. `objects`: folder of the YCB-Video models, by default models/ in `folder`.

    Returns their number, and how many sequences and frames of each split are there. Raises LicenceError,
    FileFormatError, MeshError.
    """
    require_acceptance("ho3d", ho3d.TERMS, accept_licence)
    library = objects or folder / "models"
    there: dict[str, dict[str, int]] = {}
    names = set()
    for split in ("train", "evaluation"):
        if not (folder / f"{split}.txt").is_file():
            continue
        rows = ho3d.sequences(folder, split)
        present = {name: frames for name, frames in rows.items() if (folder / split / name / "meta").is_dir()}
        there[split] = {"sequences": len(present), "frames": sum(map(len, present.values()))}
        names |= {
            ho3d.read_meta(folder / split / name / "meta" / f"{frames[0]}.pkl").object_name
            for name, frames in present.items()
        }
    if not there:
        ho3d.listed(folder, "evaluation")  # says what is missing
    before = set(list_objects())
    for name in track(sorted(names), "objects"):
        ycb_object(library, name, make_object, again)
    new = {f"{COLLECTION}/{name}" for name in names} - (set() if again else before)
    return {"objects": len(new), **{f"{split}": counts for split, counts in there.items()}}
