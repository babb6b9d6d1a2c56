"""A hand model fitted to a clip's keypoints: a trajectory with its pose and shape, and a picture of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Fit one clip."""

    clip: Annotated[str, tyro.conf.Positional, shown("CLIP|FILE")]
    """A clip of the cache ("grab/duck_lift"), a trajectory file (.npz), or a keypoint file (docs/hands.md)."""
    model: Literal["open", "mano"] = "open"
    """The hand model: the open hand, or MANO from your own file (`dexhot models`)."""
    mano: Annotated[Path | None, shown("FILE.pkl")] = None
    """The MANO file; default: its place (`dexhot models`)."""
    convention: Annotated[str | None, shown("NAME")] = None
    """Where the clip's keypoints lie (docs/hands.md). Default: its dataset's, else mediapipe; for MANO its own."""
    side: Literal["right", "left"] = "right"
    """Which hand a keypoint file holds; a clip's hands are all fitted."""
    sigma: float = 3.0
    """Standard deviation of 3D keypoints, mm."""
    pixel_sigma: float = 4.0
    """Standard deviation of 2D keypoints, px."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Trajectory file to write; default: <clip>.fit.npz in the current folder. Missing folders are created."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also draw the hand over the keypoints in four frames."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Read, fit each hand, write, summarise."""
    from dataclasses import replace

    import numpy as np

    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import check_out, file_of, kind_of, load, save
    from dexhot.data.types import HandObjectTrajectory
    from dexhot.datasets.library import load_clip
    from dexhot.errors import DexhotError
    from dexhot.fitting.clip import convention_of, read_keypoints, sightings_of, track_of, trajectory_of
    from dexhot.fitting.hand_fit import check_side, fit_hand
    from dexhot.fitting.picture import draw_fit
    from dexhot.fitting.summary import summarise_fit
    from dexhot.humans.mano import mano
    from dexhot.humans.open_hand import open_hand
    from dexhot.progress import progress

    if not (args.sigma > 0 and args.pixel_sigma > 0):
        raise DexhotError("--sigma and --pixel-sigma must be positive.")
    path = Path(args.clip)
    trajectory = None
    if path.suffix in (".npy", ".npz") and (path.suffix == ".npy" or kind_of(path) is None):
        sightings, time = read_keypoints(path)
        name, seen = path.stem, {str(args.side): sightings}
    else:
        trajectory = load(path, HandObjectTrajectory) if path.suffix == ".npz" else load_clip(args.clip)
        name, time = trajectory.name.rpartition("/")[2], trajectory.time
        seen = {side: sightings_of(track) for side, track in trajectory.hands.items()}
    out = file_of(args.out or Path(f"{name}.fit.npz"), HandObjectTrajectory)
    check_out(out, "dexhot/trajectory", args.force)
    if args.picture:
        check_out(args.picture, "dexhot/picture", args.force, "--picture")

    tracks, figures = {}, {}
    for side, sightings in seen.items():
        hand = mano(side, args.mano) if args.model == "mano" else open_hand(side)
        own = "mano" if args.model == "mano" else convention_of(trajectory, side) if trajectory else "mediapipe"
        table = hand.table(args.convention or own)
        check_side(hand, table, sightings, 1e-3 * args.sigma)
        with progress(f"fitting the {side} hand, frames", len(sightings), counted=True) as job:
            fit = fit_hand(hand, table, sightings, 1e-3 * args.sigma, args.pixel_sigma, progress=job)
        confidence = np.stack([s.confidence for s in sightings])
        tracks[side] = track_of(fit, confidence)
        figures[side] = {"convention": table.name, **summarise_fit(fit, sightings)}
        if args.picture:
            target = args.picture if len(seen) == 1 else args.picture.with_stem(f"{args.picture.stem}_{side}")
            figures[side]["picture"] = str(draw_fit(fit, sightings, f"{name}, {side} hand, {hand.name}", target))
    result = replace(trajectory, hands=tracks) if trajectory else trajectory_of(name, fit, confidence, time)
    made = {"model": args.model, "convention": {side: row["convention"] for side, row in figures.items()}}
    result.provenance = result.provenance | {"fit": made}
    save(result, out)
    for side, row in figures.items():
        summary(f"{name}, {side} hand -> {out}", row)
    if args.json:
        print_json({"trajectory": str(out), "clip": name, "hands": figures})
