"""The clip that a reference was made from, as its importer gives it, and the human motion in it."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.data.files import load
from dexhot.data.types import HandObjectTrajectory, Reference
from dexhot.datasets.library import DATASETS, is_file, kept_clip, load_clip
from dexhot.datasets.scanned import generate_with
from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.geometry.poses import compose, transform
from dexhot.objects.library import load_object
from dexhot.retargeting.resampling import resample

SAME = 0.05  # m, largest object distance between a reference and its own clip; repairs move it by less
GENERATED = re.compile(r"generated/([a-z]+)-(.+)-(\d+)(-left)?")  # kind, object, seed


@dataclass(frozen=True)
class HumanMotion:
    """Motion of person and object in the reference's coordinates, one row per frame of it."""

    keypoints: dict[str, np.ndarray]  # "right", "left": (T, 21, 3) m
    object_pose: np.ndarray  # (T, 7) world_T_mesh, as imported


def source_clip(reference: Reference, clip: HandObjectTrajectory | None = None) -> HandObjectTrajectory:
    """`clip`, by default the one of the cache or the generator that the reference says it was made from, or those of
    its frames that were retargeted; of a file of yours, its kept copy. Raises NotFoundError when there is none."""
    if clip is None and (own := own_clip(reference)) is not None:
        return own  # of the frames that were retargeted
    source = reference.provenance.get("source", {})
    clip = clip or clip_of_name(source.get("clip", reference.name), reference.object_name)
    frames = source.get("frames") or reference.provenance.get("trajectory", {}).get("frames")
    return clip.cut(*frames) if frames else clip


def own_clip(reference: Reference) -> HandObjectTrajectory | None:
    """The kept copy of a file of yours that was retargeted here, such as a fit; None for a clip of a dataset, whatever
    a file says, and where there is none."""
    source = reference.provenance.get("source", {})
    dataset, slash, _ = source.get("clip", "").partition("/")
    if slash and dataset in (*DATASETS, "parametric", "generated"):
        return None
    return kept_clip(source.get("hash", ""))


def clip_of_name(name: str, object_name: str) -> HandObjectTrajectory:
    """The clip "<dataset>/<clip>" of the cache; a generated one is generated again, with the object of the library."""
    found = GENERATED.fullmatch(name)
    if not found:
        return load_clip(name)
    if not object_name:
        raise DexhotError(f"{name} is made with an object of yours: give its file, which `dexhot generate` writes.")
    return generate_with(found[1], load_object(object_name), int(found[3]), "left" if found[4] else "right")


def clip_or_file(clip: str) -> HandObjectTrajectory:
    """The trajectory of a file, "<dataset>/<clip>" of the cache, or a generated "parametric/KIND-SHAPE-SEED". Raises
    NotFoundError, FileFormatError."""
    if is_file(clip):
        return load(clip, HandObjectTrajectory)
    try:
        return clip_of_name(clip, "")
    except NotFoundError as e:
        if Path(clip).is_dir():
            raise FileFormatError(f"{clip} is a folder; give a clip (`dexhot datasets list`), or a file.") from e
        raise


def human_motion(reference: Reference, clip: HandObjectTrajectory | None = None) -> HumanMotion:
    """The motion of `clip`, by default of a file that was retargeted here, such as a fit, or of `source_clip`.

    Raises NotFoundError when it is not on this machine, DexhotError when it is not the one that was retargeted, or
    none was.
    """
    if "teleop" in reference.provenance:
        raise DexhotError(f"{reference.name} is teleoperated: it repeats no clip.")
    clip = clip or kept_clip(reference.provenance.get("source", {}).get("hash", "")) or source_clip(reference)
    sides = {side: resample(clip, side) for side in clip.hands}
    measured = next(iter(sides.values()))[2]
    shown = reference.clip_frames if len(reference.clip_frames) else np.arange(len(reference.q))
    frames = np.round(shown).astype(int)
    frames = frames[frames < len(measured)]
    object_pose = compose(reference.placement, measured[frames])
    off = np.linalg.norm(object_pose[:, :3] - reference.object_pose[: len(frames), :3], axis=1).max(initial=0.0)
    if len(frames) < len(reference.q) or off > SAME:
        raise DexhotError(
            f"The clip {clip.name} is not the source of {reference.name}: "
            f"{len(frames)} of {len(reference.q)} frames, object up to {100 * off:.0f} cm away. Get that clip again."
        )
    keypoints = {side: transform(reference.placement, rows[0][frames]) for side, rows in sides.items()}
    return HumanMotion(keypoints, object_pose)
