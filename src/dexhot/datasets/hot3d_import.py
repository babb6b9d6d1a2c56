"""`dexhot datasets get hot3d`: one sequence on this machine into the cache."""

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
    """Write one clip per object that a hand moves, and its asset. Returns how many of each were written.

    `folder`: a sequence as its authors publish it; `library`: where the meshes are, by default its folder objects/.
    Raises FileFormatError for files that cannot serve, MeshError for a mesh that cannot.
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
