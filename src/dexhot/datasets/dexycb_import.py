"""`dexhot datasets get dexycb`: the grasps of a copy of DexYCB, or of its motions alone, into the cache."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import save
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets import dexycb, dexycb_motion
from dexhot.datasets.library import trajectories_dir
from dexhot.datasets.licences import require_acceptance
from dexhot.datasets.mirrored import SUFFIX, mirrored_clip, mirrored_mesh
from dexhot.datasets.ycb import ycb_mesh, ycb_object
from dexhot.errors import ClipError, FileFormatError
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects, save_object
from dexhot.progress import track

MakeObject = Callable[..., ObjectAsset]


def get_dexycb(
    folder: Path,
    make_object: MakeObject,
    accept_licence: bool | None = None,
    objects: Path | None = None,
    mirror: bool = True,
    again: bool = False,
) -> dict[str, Any]:
    """Write a clip per grasp whose object has a mesh, and the objects. Returns their numbers, what was left out, and
    how well gravity is known where it had to be estimated.

    `folder`: the dataset as published, or the motions alone (dexycb_motion.py). `objects`: folder of the meshes, by
    default models/ in `folder`. `mirror`: left hands become right ones, with mirrored objects.
    Raises LicenceError, FileFormatError, MeshError.
    """
    require_acceptance("dexycb", dexycb.TERMS, accept_licence)
    library = objects or folder / "models"
    motions = (folder / dexycb_motion.FILE).is_file()
    reader = _of_motions if motions else _of_published
    written, skipped, facts = reader(folder, library, make_object, mirror, again)
    return {**written, "left_out": skipped, **facts}


def _of_motions(
    folder: Path, library: Path, make_object: MakeObject, mirror: bool, again: bool
) -> tuple[dict[str, int], dict[str, str], dict[str, Any]]:
    every = dexycb_motion.read_sequences(folder)
    usable = [one for one in every if ycb_mesh(library, one.object) is not None]
    if not usable:
        raise FileFormatError(f"{library} has none of the meshes ({every[0].object}, ...); name it with --objects DIR.")
    skipped = {one.name: f"no mesh of {one.object}" for one in every if ycb_mesh(library, one.object) is None}
    names = sorted({one.object for one in usable})
    assets = {name: ycb_object(library, name, make_object, again) for name in track(names, "objects")}
    added = len(names)
    if mirror:
        added += sum(_mirrored_object(assets[name], make_object, again) for name in names)
    verticals = dexycb_motion.verticals(usable, assets)
    clips = 0
    for one in track(usable, "clips"):
        try:
            clip = dexycb_motion.trajectory(one, verticals[one.session], assets[one.object].vertices)
            clips += _write(clip, mirror)
        except (ClipError, FileFormatError) as e:
            skipped[one.name] = str(e)
    agreed = sum(int(v.agreeing.sum()) for v in verticals.values())
    accuracy = {
        "sessions": len(verticals),
        "objects_agreeing": f"{agreed} of {len(usable)}",
        "spread_deg": round(float(np.median([v.spread_deg for v in verticals.values()])), 2),
        "error_deg": round(float(max(v.error_deg for v in verticals.values())), 2),
    }
    return {"clips": clips, "objects": added}, skipped, {"gravity": accuracy}


def _of_published(
    folder: Path, library: Path, make_object: MakeObject, mirror: bool, again: bool
) -> tuple[dict[str, int], dict[str, str], dict[str, Any]]:
    names, skipped, clips = dexycb.sequence_names(folder), {}, 0
    known = set(list_objects())
    assets: dict[str, ObjectAsset] = {}
    for name in track(names, "clips and objects"):
        try:
            sequence = dexycb.read_sequence(folder, name)
            what = sequence.objects[sequence.grasped]
            if what not in assets:
                assets[what] = ycb_object(library, what, make_object, again)
            motion = dexycb.read_motion(sequence, assets[what].vertices)
            if mirror and sequence.side == "left":
                _mirrored_object(assets[what], make_object, again=False)
            clips += _write(dexycb.trajectory(sequence, motion), mirror)
        except (ClipError, FileFormatError) as e:
            skipped[name] = str(e)
    if not clips:
        raise FileFormatError(f"no sequence of {folder} could be imported. {next(iter(skipped.values()))}")
    return {"clips": clips, "objects": len(set(list_objects()) - known)}, skipped, {}


def _write(clip: HandObjectTrajectory, mirror: bool) -> int:
    if mirror and "left" in clip.hands:
        clip = mirrored_clip(clip)
    clip.validate()
    save(clip, trajectories_dir("dexycb") / f"{clip.name.partition('/')[2]}.npz")
    return 1


def _mirrored_object(asset: ObjectAsset, make_object: MakeObject, again: bool) -> int:
    """The object in the mirror, with the mirrored pieces; 1 if it was made now."""
    name = asset.name + SUFFIX
    if name in list_objects() and not again:
        return 0
    pieces = [mirrored_mesh(*piece) for piece in asset.pieces]
    made = asset.provenance | {"mirrored": asset.name}
    save_object(
        make_object(name, *mirrored_mesh(asset.vertices, asset.faces), pieces=pieces, mass=asset.mass, provenance=made)
    )
    return 1
