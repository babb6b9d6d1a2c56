"""`dexhot datasets get fphab`: the sequences with object poses of a copy of F-PHAB, into the cache."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dexhot.data.files import save
from dexhot.datasets import fphab
from dexhot.datasets.library import trajectories_dir
from dexhot.datasets.licences import require_acceptance
from dexhot.errors import ClipError, FileFormatError
from dexhot.geometry.meshes import read_mesh
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects, load_object, save_object
from dexhot.progress import track


def get_fphab(
    folder: Path, make_object: Callable[..., ObjectAsset], accept_licence: bool | None = None, again: bool = False
) -> dict[str, Any]:
    """Write a clip per sequence, with its part of the 1:1 split in its provenance, and the objects.

    Raises LicenceError, FileFormatError, MeshError.
    """
    require_acceptance("fphab", fphab.TERMS, accept_licence)
    names, made = fphab.object_sequences(folder), set[str]()
    skipped: dict[str, str] = {}
    splits: Counter[str] = Counter()
    for name in track(names, "clips and objects"):
        try:
            sequence = fphab.read_sequence(folder, name)
            what = f"{fphab.COLLECTION}/{sequence.object}"
            if what not in made and (again or what not in list_objects()):
                mesh = read_mesh(fphab.mesh_file(folder, sequence.object))
                save_object(make_object(what, *mesh, provenance={"dataset": fphab.NAME}))
                made.add(what)
            asset = load_object(what)
            clip = fphab.trajectory(sequence, asset.resting_poses, asset.vertices)
            clip.validate()
            save(clip, trajectories_dir(fphab.COLLECTION) / f"{clip.name.partition('/')[2]}.npz")
            splits[sequence.split or "none"] += 1
        except (ClipError, FileFormatError) as e:
            skipped[name] = str(e)
    if not splits:
        nothing = f"{fphab.OBJECTS}/ has none of {', '.join(fphab.MODELS)}"
        raise FileFormatError(f"no sequence of {folder} could be imported: {next(iter(skipped.values()), nothing)}")
    return {"clips": splits.total(), "objects": len(made), "splits": dict(splits), "left_out": skipped}
