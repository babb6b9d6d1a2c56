"""`dexhot fit --recipe robot_hand`: the object in a robot's hand, whose joints are known."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from dexhot.cli.fit_inputs import check_regressor, regressed, seen_in
from dexhot.cli.output import print_json, summary
from dexhot.data.files import check_out, file_of, save
from dexhot.data.labels import LABELS
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.fitting.robot_hand import fit_robot_hand, read_robot_motion
from dexhot.fitting.scene import object_model
from dexhot.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dexhot.cli.fit_command import Args
    from dexhot.data.recording import Recording
    from dexhot.fitting.recipe import Recipe


def fit_robot(args: "Args", recipe: "Recipe", recordings: "Sequence[Recording]") -> None:
    """The object of a robot's hand, in a recording or in several of the same moments."""
    if recipe.method != "robot_hand" or args.joints is None:
        raise DexhotError("--recipe robot_hand and --joints FILE.npz belong together.")
    if args.picture:
        raise DexhotError("--picture shows a person's hand; leave it out with --recipe robot_hand.")
    recording = recordings[0]
    name = recording.name.rpartition("/")[2]
    evidences, asset = seen_in(args, recordings)
    if asset is None:
        raise DexhotError("--recipe robot_hand finds an object: give --object NAME, not none.")
    check_regressor(args, recipe, asset)
    motion = read_robot_motion(args.joints)
    out = file_of(args.out or Path(f"{name}.fit.npz"), Evidence)
    check_out(out, "dexhot/evidence", args.force)
    began = time.thread_time()
    with progress(f"fitting {name} ({len(recording.time)} frames)", counted=True) as job:
        stages = job.stages()
        poses, by = regressed(args, recording, evidences[0], asset, stages)
        found = fit_robot_hand(recordings, evidences, object_model(asset), recipe, motion, poses, stages)
    found.provenance["fit"] |= by
    save(found, out)
    figures = {
        "frames": len(recording.time),
        "frames_with_object": int((found.labels == LABELS["object"]).any(axis=(1, 2)).sum()),
        **({"views": len(recordings)} if args.views else {}),
        "hand": motion.hand,
        **{name: value for name, value in found.provenance["fit"].items() if name.startswith("object_")},
        **by,
        "s_per_frame": round((time.thread_time() - began) / len(recording.time), 3),
    }
    summary(f"{name} -> {out}", figures)
    if args.json:
        print_json({"evidence": str(out), "recording": name, **figures})
