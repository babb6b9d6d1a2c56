"""`dexhot datasets get grab-full` and `get taco`: sequences of a copy on this machine into the cache."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import save
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets import grab_full, taco
from dexhot.datasets.library import load_clip, trajectories_dir
from dexhot.datasets.licences import require_acceptance
from dexhot.errors import ClipError, DexhotError, FileFormatError, NotFoundError
from dexhot.geometry.meshes import read_mesh
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects, load_object, save_object
from dexhot.progress import track

MakeObject = Callable[..., ObjectAsset]
DONOR = "grab_full/s2_phone_pass_1"  # of TACO's repair


def get_grab_full(
    folder: Path, make_object: MakeObject, accept_licence: bool | None = None, again: bool = False
) -> dict[str, Any]:
    """Write a clip per sequence with its right hand, and the objects. Needs MANO.

    Raises LicenceError, FileFormatError.
    """
    require_acceptance("grab-full", grab_full.TERMS, accept_licence)
    files, skipped = grab_full.sequence_files(folder), {}
    counts = {"train": 0, "test": 0}
    made = 0
    for path in track(files, "clips and objects"):
        try:
            sequence = grab_full.read_sequence(path)
            name = f"{grab_full.COLLECTION}/{sequence.object}"
            mesh = grab_full.mesh_file(folder, sequence)
            asset, new = _object(name, mesh, 1.0, make_object, again and not made, {"dataset": "GRAB"})
            made += new
            _write(grab_full.trajectory(folder, sequence, asset.vertices), grab_full.COLLECTION)
            counts[grab_full.split_of(sequence.subject)] += 1
        except (ClipError, FileFormatError) as e:
            skipped[f"{path.parent.name}/{path.stem}"] = str(e)
    _require_some(folder, sum(counts.values()), skipped)
    expected = {"test": grab_full.TEST_SEQUENCES, "train": grab_full.RETARGETED - grab_full.TEST_SEQUENCES}
    return {"clips": sum(counts.values()), "objects": made, "splits": counts, "dextrack": expected, "left_out": skipped}


def get_taco(
    folder: Path,
    make_object: MakeObject,
    accept_licence: bool | None = None,
    splits: Path | None = None,
    repair: bool = True,
    again: bool = False,
) -> dict[str, Any]:
    """Write a clip per sequence of the split list with its right hand and tool, and the tools. Needs MANO.

    `splits`: the list, by default taco.SPLITS in `folder`; its sizes must be those of a known split. `repair`: replace
    the initial frames (taco.repaired_start), for which GRAB full must be in the cache. Raises LicenceError,
    FileFormatError, DexhotError.
    """
    require_acceptance("taco", taco.TERMS, accept_licence)
    path = splits or folder / taco.SPLITS
    if not path.is_file():
        raise FileFormatError(
            f"{path} does not exist: it is data_lists/{taco.SPLITS} of github.com/leolyliu/TACO-Instructions; "
            "name it with --splits FILE."
        )
    groups, split = taco.read_splits(path)
    donor = _donor() if repair else None
    counts = dict.fromkeys(taco.GROUPS.values(), 0)
    skipped: dict[str, str] = {}
    made = 0
    for place in track(taco.sequence_folders(folder), "clips and objects"):
        try:
            if place.name not in groups:
                raise ClipError(f"{path.name} does not list it.")
            sequence = taco.read_sequence(folder, place)
            mesh = folder / "Object_Models" / f"{sequence.tool}_cm.obj"
            if not mesh.is_file():
                raise FileFormatError(f"{mesh} is missing; download TACO's object models.")
            name = f"taco/{sequence.tool}"
            asset, new = _object(name, mesh, 0.01, make_object, again, {"dataset": "TACO", "licence": taco.LICENCE})
            made += new
            clip = taco.trajectory(sequence, groups[place.name], asset.vertices, split)
            _write(taco.repaired_start(clip, donor) if donor else clip, "taco")
            counts[groups[place.name]] += 1
        except (ClipError, FileFormatError) as e:
            skipped[place.name] = str(e)
    _require_some(folder, sum(counts.values()), skipped)
    return {
        "clips": sum(counts.values()), "objects": made, "split": split, "groups": counts,
        "expected": taco.SIZES[split], "left_out": skipped,
    }  # fmt: skip


def _donor() -> HandObjectTrajectory:
    try:
        return load_clip(DONOR)
    except NotFoundError as e:
        raise DexhotError(
            f"TACO's initial frames are replaced by those of GRAB's {DONOR.partition('/')[2]}, which is not in the "
            "cache: `dexhot datasets get grab-full --path DIR` first, or import without it: --no-repair."
        ) from e


def _object(
    name: str, mesh: Path, scale: float, make_object: MakeObject, again: bool, provenance: dict[str, str]
) -> tuple[ObjectAsset, int]:
    """The asset, and 1 if it was made now."""
    if name in list_objects() and not again:
        return load_object(name), 0
    vertices, faces = read_mesh(mesh)
    asset = make_object(name, np.asarray(vertices) * scale, faces, provenance=provenance)
    save_object(asset)
    return asset, 1


def _write(clip: HandObjectTrajectory, dataset: str) -> None:
    clip.validate()
    save(clip, trajectories_dir(dataset) / f"{clip.name.partition('/')[2]}.npz")


def _require_some(folder: Path, count: int, skipped: dict[str, str]) -> None:
    if not count:
        raise FileFormatError(f"no sequence of {folder} could be imported. {next(iter(skipped.values()))}")
