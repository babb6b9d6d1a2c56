"""Fit hand and object to a recording, or a hand model to a clip's keypoints: a trajectory, and a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dexhot.data.recording import Recording
    from dexhot.data.types import Evidence
    from dexhot.fitting.recipe import Recipe
    from dexhot.objects.asset import ObjectAsset


@dataclass
class Args:
    """Fit one recording or clip."""

    writes_at_end: ClassVar[bool] = True

    clip: Annotated[str, tyro.conf.Positional, shown("RECORDING|CLIP|FILE|IMAGE")]
    """A recording (bag, capture or folder of images, docs/fitting.md), a clip of the cache ("grab/duck_lift"), a
    trajectory file (.npz), a keypoint file (docs/hands.md), or a picture of a person with --recipe body."""
    views: Annotated[tuple[str, ...], tyro.conf.Positional, shown("RECORDING")] = ()
    """More recordings of the same moments, by other cameras calibrated in the same world (docs/fitting.md)."""
    object: Annotated[str | None, shown("NAME")] = None
    """Recording: the object (`dexhot object list`); default: the evidence's; "none" fits the hand alone."""
    evidence: Annotated[tuple[Path, ...], shown("FILE.npz|BAG")] = ()
    """Recording: what `dexhot perceive` wrote, or its --bag, of several one each in their order; default:
    <recording>.evidence.npz in the current folder."""
    recipe: Annotated[str, shown("NAME|FILE.yaml")] = "default"
    """Recording: terms, weights and solver (config/recipes): default, or the papers' tfhot, tfhot_dexycb, homan,
    handypriors, robot_hand (with --joints) or body (a picture with --coco). The last four never read depth."""
    without: Annotated[tuple[str, ...], shown("TERM")] = ()
    """Recording: leave these terms of the recipe out."""
    set: Annotated[tuple[str, ...], shown("TERM.SETTING=VALUE")] = ()
    """Recording: change these settings of the recipe, e.g. surface.sigma=0.004 or solver.iterations=8."""
    joints: Annotated[Path | None, shown("FILE.npz")] = None
    """Recording of a robot's hand, --recipe robot_hand: its joints and palm (docs/fitting.md). What is written is the
    evidence with the object's poses."""
    coco: Annotated[Path | None, shown("ANNOTATIONS.json")] = None
    """Picture, --recipe body: COCO's instance masks of it (docs/fitting.md)."""
    category: Annotated[str | None, shown("NAME")] = None
    """Picture: COCO's category of the object."""
    start: Annotated[Path | None, shown("FILE.npz")] = None
    """Picture: the body's pose to start from (docs/fitting.md). What is written has the same layout."""
    smpl: Annotated[Path | None, shown("FILE.pkl")] = None
    """Picture: SMPL from your own file in place of the open body."""
    fovy: Annotated[float | None, shown("DEGREES")] = None
    """Picture or video: the camera's vertical field of view. Default: a video's as `dexhot perceive` took it; 45."""
    model: Literal["open", "mano"] = "open"
    """The hand model: the open hand, or MANO from your own file (`dexhot models`)."""
    mano: Annotated[Path | None, shown("FILE.pkl")] = None
    """Your MANO file; default: the path that `dexhot models` shows."""
    convention: Annotated[str | None, shown("NAME")] = None
    """Keypoint convention of the clip (docs/hands.md); default: its dataset's, else mediapipe; for MANO its own."""
    side: Literal["right", "left", "both"] = "right"
    """Hand side of a recording (both: with --recipe homan) or a keypoint file; of a clip, every hand is fitted."""
    sigma: float = 3.0
    """Standard deviation of 3D keypoints, mm."""
    pixel_sigma: float = 4.0
    """Standard deviation of 2D keypoints, px."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Trajectory file to write; default: <clip>.fit.npz in the current folder. Missing folders are created."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also draw the fit over four frames."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


RECORDING_ONLY = (
    "object",
    "evidence",
    "recipe",
    "without",
    "set",
    "joints",
    "coco",
    "category",
    "start",
    "smpl",
    "fovy",
)  # options
PICTURES = (".jpg", ".jpeg", ".png")
RECORDINGS = (".mcap", ".db3", ".bag", ".mp4", ".avi", ".mov", ".mkv")  # suffixes; folders and prefixes beside them


def run(args: Args) -> None:
    """Read, fit, write, summarise."""
    path = Path(args.clip)
    if path.suffix.lower() in PICTURES or args.recipe == "body":
        _fit_body(args, path)
    elif path.is_dir() or path.suffix.lower() in RECORDINGS or args.clip.startswith(("bag:", "dir:")):
        _fit_recording(args)
    elif path.is_file() and path.suffix not in (".npy", ".npz"):
        from dexhot.errors import FileFormatError

        raise FileFormatError(
            f"{path} is neither a recording (a bag, a folder of images, a video) nor a trajectory or keypoint file "
            "(.npz, .npy)."
        )
    else:
        _fit_clip(args)


def _fit_recording(args: Args) -> None:
    """Hand and object of a recording."""
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.files import check_out, file_of, save
    from dexhot.data.types import HandObjectTrajectory
    from dexhot.fitting.overlay import draw_overlay
    from dexhot.fitting.recipe import load_recipe
    from dexhot.fitting.recording_fit import fit_recording
    from dexhot.fitting.summary import summarise_recording_fit
    from dexhot.hardware.camera.recording import open_recording
    from dexhot.humans.mano import mano
    from dexhot.humans.open_hand import open_hand
    from dexhot.perception.world import on_table
    from dexhot.progress import progress

    recipe = load_recipe(args.recipe).without(args.without).changed(args.set)
    recordings = [open_recording(name, fovy=args.fovy) for name in (args.clip, *args.views)]
    recording = recordings[0]
    if recipe.method == "robot_hand" or args.joints:
        _fit_robot(args, recipe, recordings)
        return
    guessed = not args.views and recording.world_T_camera is None and (level := on_table(recording)) is not None
    if guessed:
        recording.world_T_camera = level
    name = recording.name.rpartition("/")[2]
    evidences, asset = _seen(args, recordings)
    evidence = evidences[0]
    out = file_of(args.out or Path(f"{name}.fit.npz"), HandObjectTrajectory)
    check_out(out, "dexhot/trajectory", args.force)
    if args.picture:
        check_out(args.picture, "dexhot/picture", args.force, "--picture")
    sides = ("right", "left") if args.side == "both" else (args.side,)
    hands = [mano(side, args.mano) if args.model == "mano" else open_hand(side) for side in sides]
    default = "mano" if args.model == "mano" else str(evidence.provenance.get("convention", "mediapipe"))
    with progress(f"fitting {name}", counted=True) as job:
        table = hands[0].table(args.convention or default)
        fit = fit_recording(
            recordings,
            evidences,
            asset,
            recipe,
            hands,
            table,
            progress=job.stages(),
        )
    save(fit.trajectory, out)
    figures = summarise_recording_fit(fit, evidence)
    if args.views:
        figures["views"] = len(recordings)
    if guessed:
        figures["world"] = "level with the table that is seen; the camera's pose is not in the recording"
    if args.picture:
        figures["picture"] = str(draw_overlay(fit, recording, f"{name}, recipe {recipe.name}", args.picture))
    notes = figures.pop("notes", [])
    summary(f"{name} -> {out}", figures)
    for note in notes:
        console.print(f"note: {note}.", highlight=False, soft_wrap=True)
    if args.json:
        print_json({"trajectory": str(out), "recording": name, **figures, "notes": notes})


def _seen(args: Args, recordings: "Sequence[Recording]") -> "tuple[list[Evidence], ObjectAsset | None]":
    """The evidence of each recording, and the object."""
    from dexhot.data.files import load
    from dexhot.data.types import Evidence
    from dexhot.errors import DexhotError
    from dexhot.hardware.camera.recording import assume_as_seen
    from dexhot.objects.library import load_object
    from dexhot.perception.bag import read_evidence

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


def _fit_robot(args: Args, recipe: "Recipe", recordings: "Sequence[Recording]") -> None:
    """The object of a robot's hand, in a recording or in several of the same moments."""
    import time

    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import check_out, file_of, save
    from dexhot.data.labels import LABELS
    from dexhot.data.types import Evidence
    from dexhot.errors import DexhotError
    from dexhot.fitting.robot_hand import fit_robot_hand, read_robot_motion
    from dexhot.fitting.scene import object_model
    from dexhot.progress import progress

    if recipe.method != "robot_hand" or args.joints is None:
        raise DexhotError("--recipe robot_hand and --joints FILE.npz belong together.")
    if args.picture:
        raise DexhotError("--picture shows a person's hand; leave it out with --recipe robot_hand.")
    recording = recordings[0]
    name = recording.name.rpartition("/")[2]
    evidences, asset = _seen(args, recordings)
    if asset is None:
        raise DexhotError("--recipe robot_hand finds an object: give --object NAME, not none.")
    motion = read_robot_motion(args.joints)
    out = file_of(args.out or Path(f"{name}.fit.npz"), Evidence)
    check_out(out, "dexhot/evidence", args.force)
    began = time.thread_time()
    with progress(f"fitting {name} ({len(recording.time)} frames)", counted=True) as job:
        found = fit_robot_hand(recordings, evidences, object_model(asset), recipe, motion, job.stages())
    save(found, out)
    figures = {
        "frames": len(recording.time),
        "frames_with_object": int((found.labels == LABELS["object"]).any(axis=(1, 2)).sum()),
        **({"views": len(recordings)} if args.views else {}),
        "hand": motion.hand,
        **{name: value for name, value in found.provenance["fit"].items() if name.startswith("object_")},
        "s_per_frame": round((time.thread_time() - began) / len(recording.time), 3),
    }
    summary(f"{name} -> {out}", figures)
    if args.json:
        print_json({"evidence": str(out), "recording": name, **figures})


def _fit_body(args: Args, path: Path) -> None:
    """A person and an object in one picture."""
    import numpy as np

    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import with_suffix
    from dexhot.data.recording import Recording
    from dexhot.data.types import Evidence
    from dexhot.datasets.coco import read_coco
    from dexhot.errors import DexhotError, FileFormatError
    from dexhot.fitting.body import fit_body, read_body_start, write_body_state
    from dexhot.fitting.recipe import load_recipe
    from dexhot.fitting.scene import object_model
    from dexhot.geometry.cameras import pinhole
    from dexhot.hardware.camera.codec import decode_color
    from dexhot.hardware.camera.recording import FOVY
    from dexhot.humans.body import open_body, smpl
    from dexhot.objects.library import load_object
    from dexhot.progress import progress

    recipe = load_recipe(args.recipe).without(args.without).changed(args.set)
    if path.suffix.lower() not in PICTURES or recipe.method != "body":
        raise DexhotError("--recipe body and a picture (.jpg, .png) belong together.")
    if args.views:
        raise DexhotError("--recipe body takes one picture.")
    given = {"--coco": args.coco, "--category": args.category, "--object": args.object, "--start": args.start}
    if missing := [name for name, value in given.items() if value is None]:
        raise DexhotError(f"--recipe body also needs {', '.join(missing)} (docs/fitting.md).")
    if args.picture:
        raise DexhotError("--picture shows a person's hand; leave it out with --recipe body.")
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist.")
    color = decode_color(path.read_bytes())
    height, width = color.shape[:2]
    assert args.coco and args.category and args.object and args.start
    image = read_coco(args.coco, path.name)
    if (image.width, image.height) != (width, height):
        raise FileFormatError(
            f"{path} has {width}x{height} pixels, its annotations are of {image.width}x{image.height}: give the image "
            "that was annotated."
        )
    labels = image.labels(args.category)
    start = read_body_start(args.start)
    out = with_suffix(args.out or Path(f"{path.stem}.body.npz"), ".npz")
    if out.exists() and not args.force:
        raise DexhotError(f"{out} exists; give another --out, or --force.")
    camera = pinhole(width, height, FOVY if args.fovy is None else args.fovy)
    recording = Recording(path.stem, np.zeros(1), color[None], np.zeros((1, height, width), np.uint16), camera)
    evidence = Evidence(path.stem, np.zeros(1), labels[None], {}, {}, np.full((1, 7), np.nan))
    body = smpl(args.smpl) if args.smpl else open_body()
    model = object_model(load_object(args.object))
    with progress(f"fitting {path.name}", counted=True) as job:
        fit = fit_body(recording, evidence, body, model, recipe, start, job.stages())
    write_body_state(fit.state, out)
    figures = {
        "body": body.name,
        "human_iou": round(float(fit.human_iou[0]), 3),
        "object_iou": round(float(fit.object_iou[0]), 3),
    }
    summary(f"{path.name} -> {out}", figures)
    if args.json:
        print_json({"file": str(out), "image": path.name, **figures})


def picture_of(path: Path, side: str, hands: int) -> Path:
    """The picture's file of one hand; of two, each has its own."""
    return path if hands == 1 else path.with_stem(f"{path.stem}_{side}")


def _fit_clip(args: Args) -> None:
    """Each hand of a clip, by its keypoints."""
    from dataclasses import replace

    import numpy as np

    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import check_out, file_of, kind_of, save
    from dexhot.data.types import HandObjectTrajectory
    from dexhot.datasets.source_clip import clip_or_file
    from dexhot.errors import DexhotError
    from dexhot.fitting.clip import convention_of, read_keypoints, sightings_of, track_of, trajectory_of
    from dexhot.fitting.hand_fit import check_hand, fit_hand
    from dexhot.fitting.picture import draw_fit
    from dexhot.fitting.summary import summarise_fit
    from dexhot.humans.mano import mano
    from dexhot.humans.open_hand import open_hand
    from dexhot.progress import progress

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
    given = [f"--{n}" for n in RECORDING_ONLY if getattr(args, n) != getattr(Args, n)]
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
