"""A human demonstration by name, and its object."""

from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.library import load_clip
from dexhot.datasets.parametric import KINDS, generate
from dexhot.errors import NotFoundError
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.objects.shapes import SHAPES

GENERATED = "parametric/"


def human_clip(name: str) -> tuple[HandObjectTrajectory, ObjectAsset]:
    """Of a dataset ("grab/NAME"), or generated ("parametric/KIND-SHAPE-SEED"). Raises NotFoundError."""
    if name.startswith(GENERATED):
        kind, shape, seed = (name.removeprefix(GENERATED).split("-") + ["", ""])[:3]
        if kind not in KINDS or shape not in SHAPES or not seed.isdecimal():
            raise NotFoundError("generated clip", name, ["parametric/KIND-SHAPE-SEED"], "As parametric/lift-box-0.")
        return generate(kind, shape, int(seed))
    trajectory = load_clip(name)
    return trajectory, load_object(trajectory.object_name)
