"""A human demonstration by name, and its object."""

from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.library import clip_names, getting, load_clip
from dexhot.datasets.parametric import generate_named
from dexhot.errors import DexhotError
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object

GENERATED = "parametric/"


def require_clips(names: list[str]) -> None:
    """Raise DexhotError, one for all, for recorded clips of a dataset that are not in the cache."""
    recorded = [name for name in names if not name.startswith(GENERATED)]
    kept = {clip for dataset in {name.partition("/")[0] for name in recorded} for clip in clip_names(dataset)}
    if absent := [name for name in recorded if name not in kept]:
        told = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise DexhotError(f"{len(absent)} of {len(names)} clips are not in the cache ({told}). {getting(absent[0])}")


def human_clip(name: str) -> tuple[HandObjectTrajectory, ObjectAsset]:
    """Of a dataset ("grab/NAME"), or generated (`parametric.generate_named`). Raises NotFoundError."""
    if (generated := generate_named(name)) is not None:
        return generated
    trajectory = load_clip(name)
    return trajectory, load_object(trajectory.object_name)
