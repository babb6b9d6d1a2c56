"""`dexhot datasets get hot3d`: imports one sequence on this machine into the cache."""

from collections.abc import Callable
from pathlib import Path

from dexhot.data.files import save
from dexhot.datasets.hot3d import moved_objects, read_sequence, trajectory
from dexhot.datasets.library import trajectories_dir
from dexhot.geometry.meshes import read_mesh
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects, load_object, save_object
from dexhot.progress import track

LICENCE = "HOT3D dataset licence (research)"


def get_hot3d(
    folder: Path, make_object: Callable[..., ObjectAsset], library: Path | None = None, again: bool = False
) -> dict[str, int]:
    """Write one clip per object that a hand moves, and its asset. Returns the number of each.

    `folder`: a sequence in the published layout; `library`: folder of the meshes, by default objects/ in `folder`.
    Raises FileFormatError for unusable files, MeshError for an unusable mesh.
    """
    library = library or folder / "objects"
    sequence = read_sequence(folder)
    objects = moved_objects(sequence, library)
    assets = 0
    for uid, name in track(objects.items(), "objects and clips"):
        if again or f"hot3d/{name}" not in list_objects():
            provenance = {"dataset": "HOT3D", "uid": uid, "licence": LICENCE}
            save_object(make_object(f"hot3d/{name}", *read_mesh(library / f"{uid}.glb"), provenance=provenance))
            assets += 1
        clip = trajectory(sequence, uid, name, load_object(f"hot3d/{name}").vertices)
        save(clip, trajectories_dir("hot3d") / f"{clip.name.partition('/')[2]}.npz")
    return {"clips": len(objects), "objects": assets}
