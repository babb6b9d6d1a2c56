"""`dexhot fit` of a clip or a keypoint file: a hand model by keypoints alone."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dexhot.cli.output import print_json, summary
from dexhot.data.files import check_out, file_of, kind_of, save
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.source_clip import clip_or_file
from dexhot.errors import DexhotError
from dexhot.fitting.clip import convention_of, sightings_of, track_of, trajectory_of
from dexhot.fitting.hand_fit import check_hand, fit_hand
from dexhot.fitting.keypoint_file import read_keypoints
from dexhot.fitting.picture import draw_fit
from dexhot.fitting.summary import summarise_fit
from dexhot.humans.mano import mano
from dexhot.humans.open_hand import open_hand
from dexhot.progress import progress

if TYPE_CHECKING:
    from dexhot.cli.fit_command import Args

RECORDING_ONLY = (  # options
    *("object", "evidence", "recipe", "without", "set", "joints", "regressor"),
    *("coco", "category", "start", "smpl", "fovy"),
)


def fit_clip(args: "Args") -> None:
    """Each hand of a clip, by its keypoints."""
    if not (args.sigma > 0 and args.pixel_sigma > 0):
        raise DexhotError("--sigma and --pixel-sigma must be positive.")
    if args.side == "both":
        raise DexhotError("--side both belongs to a recording and --recipe homan; a keypoint file has one hand.")
    path = Path(args.clip)
    if path.is_file() and kind_of(path) == "dexhot/evidence":
        raise DexhotError(
            f"{path} is what `dexhot perceive` saw; it is fitted with its recording: `dexhot fit RECORDING --evidence "
            f"{path}`."
        )
    trajectory = None
    if path.suffix in (".npy", ".npz") and (path.suffix == ".npy" or kind_of(path) is None):
        sightings, time = read_keypoints(path)
        name, seen = path.stem, {str(args.side): sightings}
    else:
        trajectory = clip_or_file(args.clip)
        name, time = trajectory.name.rpartition("/")[2], trajectory.time
        seen = {side: sightings_of(track) for side, track in trajectory.hands.items()}
    given = [f"--{n}" for n in RECORDING_ONLY if getattr(args, n) != getattr(type(args), n)]
    given += ["second recording"] if args.views else []
    if given:
        raise DexhotError(f"{args.clip} is a clip or a keypoint file, not a recording: it takes no {', '.join(given)}.")
    out = file_of(args.out or Path(f"{name}.fit.npz"), HandObjectTrajectory)
    check_out(out, "dexhot/trajectory", args.force)
    if path.is_file() and out.exists() and out.samefile(path):
        raise DexhotError(f"{out} is the clip itself; give another --out.")
    picture = {side: picture_of(args.picture, side, len(seen)) for side in seen} if args.picture else {}
    for target in picture.values():
        check_out(target, "dexhot/picture", args.force, "--picture")

    tracks, figures = {}, {}
    for side, sightings in seen.items():
        hand = mano(side, args.mano) if args.model == "mano" else open_hand(side)
        own = "mano" if args.model == "mano" else convention_of(trajectory, side) if trajectory else "mediapipe"
        table = hand.table(args.convention or own)
        check_hand(hand, table, sightings, 1e-3 * args.sigma)
        with progress(f"fitting the {side} hand, frames", len(sightings), counted=True) as job:
            fit = fit_hand(hand, table, sightings, 1e-3 * args.sigma, args.pixel_sigma, progress=job)
        confidence = np.stack([s.confidence for s in sightings])
        tracks[side] = track_of(fit, confidence)
        figures[side] = {"convention": table.name, **summarise_fit(fit, sightings)}
        if picture:
            figures[side]["picture"] = str(draw_fit(fit, sightings, f"{name}, {side} hand, {hand.name}", picture[side]))
    result = replace(trajectory, hands=tracks) if trajectory else trajectory_of(name, fit, confidence, time)
    made = {"model": args.model, "convention": {side: row["convention"] for side, row in figures.items()}}
    result.provenance = result.provenance | {"fit": made}
    save(result, out)
    for side, row in figures.items():
        summary(f"{name}, {side} hand -> {out}", row)
    if args.json:
        print_json({"trajectory": str(out), "clip": name, "hands": figures})


def picture_of(path: Path, side: str, hands: int) -> Path:
    """The picture's file of one hand; of two, each has its own."""
    return path if hands == 1 else path.with_stem(f"{path.stem}_{side}")
