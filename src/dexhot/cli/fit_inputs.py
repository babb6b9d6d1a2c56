"""What `dexhot fit` takes of a recording besides its images: evidence and object."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dexhot.data.files import load
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.fitting.recipe import METHODS
from dexhot.hardware.camera.recording import assume_as_seen
from dexhot.objects.library import load_object
from dexhot.perception.bag import read_evidence
from dexhot.perception.estimators import regressor_of
from dexhot.perception.regressed_poses import regressed_poses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dexhot.cli.fit_command import Args
    from dexhot.data.recording import Recording
    from dexhot.fitting.recipe import Recipe
    from dexhot.objects.asset import ObjectAsset
    from dexhot.progress import Report


def seen_in(args: "Args", recordings: "Sequence[Recording]") -> "tuple[list[Evidence], ObjectAsset | None]":
    """The evidence of each recording, and the object."""
    if args.evidence and len(args.evidence) != len(recordings):
        raise DexhotError(f"give one --evidence FILE per recording, not {len(args.evidence)} for {len(recordings)}.")
    own = args.evidence or [Path(f"{one.name.rpartition('/')[2]}.evidence.npz") for one in recordings]
    if len(set(own)) < len(own):
        raise DexhotError(f"{own[0]} would be the evidence of two recordings; give --evidence FILE for each.")
    for source, path in zip(own, (args.clip, *args.views)):
        if not source.exists():
            raise DexhotError(f"{source} does not exist: run `dexhot perceive {path}` first, or give --evidence FILE.")
    evidences = [read_evidence(one) if one.is_dir() else load(one, Evidence) for one in own]
    if args.fovy is None:
        for recording, evidence in zip(recordings, evidences):
            assume_as_seen(recording, evidence)
    wanted = args.object or str(evidences[0].provenance.get("object") or "")
    if not wanted:
        raise DexhotError(
            "which object? Give --object NAME (`dexhot object list`), or --object none for the hand alone."
        )
    return evidences, None if wanted == "none" else load_object(wanted)


def check_regressor(args: "Args", recipe: "Recipe", asset: "ObjectAsset | None") -> None:
    """Raises DexhotError for a regressor that the fit would not start from."""
    if args.regressor is None:
        return
    if METHODS[recipe.method].depth:
        raise DexhotError(
            f"--regressor starts the object of the recipes that never read depth; {recipe.name} starts it from the "
            "depth, or at the poses of `dexhot perceive`."
        )
    if asset is None:
        raise DexhotError("--regressor gives the pose of a known object: give --object NAME, not none.")


def regressed(
    args: "Args", recording: "Recording", evidence: Evidence, asset: "ObjectAsset | None", progress: "Report"
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """The object's poses (T, 7) by --regressor in the first recording, and its figures; None and none without it."""
    if args.regressor is None or asset is None:
        return None, {}
    regressor = regressor_of(args.regressor, asset, recording.intrinsics)
    poses, scores = regressed_poses(regressor, recording, evidence, progress)
    return poses, {
        "regressor": args.regressor,
        "regressor_frames": int(np.isfinite(poses[:, 0]).sum()),
        "regressor_score_p50": round(float(np.nanmedian(scores)), 2),
    }
