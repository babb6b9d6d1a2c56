"""Render clips of hands and objects as an RGB-D camera sees them, with their truth: bags for perception and fits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, shown

LARGEST = 4096  # px, of a picture


@dataclass
class Args:
    """Render each clip into a folder of its own."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    clips: Annotated[tuple[str, ...], tyro.conf.Positional, shown("CLIP ...")]
    """Clips of the cache ("grab/duck_lift"), a split ("grab:train"), generated ones ("parametric/lift-box-0"), or
    trajectory files (.npz)."""
    seed: int = 0
    """Random seed of person, appearance, camera and noise."""
    level: Literal["low", "middle", "high"] = "middle"
    """Noise of the camera and of the detectors (config/synthesis.yaml)."""
    side: Annotated[Literal["right", "left"] | None, shown("{right,left}")] = None
    """Render one hand only; a clip of the other hand is mirrored if its object is symmetric. Default: all hands."""
    rate: float = 30.0
    """Frames per second."""
    width: int = 640
    """Width of the pictures, px: 32 to 4096."""
    height: int = 480
    """Height of the pictures, px: 32 to 4096."""
    turn: float = 0.0
    """Go round the motion by so many degrees from where the seed has the camera: a second view for `dexhot fit A B`."""
    frames: Annotated[int | None, shown("N")] = None
    """Only this many frames, from the middle of the grasp. Default: all that are in view."""
    speed: float = 1.0
    """Speed of the motion relative to the clip's: an operator of a robot is slower than a person alone."""
    pause: float = 0.0
    """Time for which the hand rests before and after the motion, s."""
    out: Annotated[Path, shown("FOLDER")] = Path("synth")
    """Folder in which each clip gets its own. Complete ones are kept, so an interrupted run goes on. Missing folders
    are created."""
    picture: bool = False
    """Also write a contact sheet (sheet.png) into each folder."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> int:
    """Exit code 0, or 1 if no clip could be rendered."""
    import time

    from dexhot import __version__
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.disk import check_folder
    from dexhot.datasets.source_clip import clip_or_file
    from dexhot.errors import ClipError, DexhotError
    from dexhot.objects.library import load_object
    from dexhot.progress import progress
    from dexhot.synthesis.clip import Options, render
    from dexhot.synthesis.files import settings_of, write_clip
    from dexhot.synthesis.mirror import one_side
    from dexhot.synthesis.operator import paced
    from dexhot.synthesis.sheet import draw_sheet
    from dexhot.synthesis.sources import expanded

    at_least(0, seed=args.seed)
    at_least(2, frames=args.frames)
    at_least(32, width=args.width, height=args.height)
    if max(args.width, args.height) > LARGEST:
        raise DexhotError(f"--width and --height must be at most {LARGEST} px, not {args.width} and {args.height}.")
    if not 1.0 <= args.rate <= 240.0:
        raise DexhotError(f"--rate must be 1 to 240 frames per second, not {args.rate:g}.")
    if not -360.0 < args.turn < 360.0:
        raise DexhotError(f"--turn must be more than -360 and less than 360 degrees, not {args.turn:g}.")
    if not 0.1 <= args.speed <= 1.0:
        raise DexhotError(f"--speed must be 0.1 to 1 times the clip's, not {args.speed:g}.")
    if not 0.0 <= args.pause <= 10.0:
        raise DexhotError(f"--pause must be 0 to 10 s, not {args.pause:g}.")
    names = expanded(args.clips)
    check_folder(args.out, "--out")
    options = Options(args.seed, args.level, args.rate, args.width, args.height, args.turn)
    made, kept, left_out = [], [], {}
    with progress(f"{len(names)} clips" if len(names) > 1 else names[0]) as job:
        for number, name in enumerate(names):
            clip = clip_or_file(name)
            side = f"-{args.side}" if args.side else ""
            pace = {"speed": args.speed, "pause": args.pause}
            own = pace == {"speed": 1.0, "pause": 0.0}
            paced_by = "" if own else f"-speed{args.speed:g}-pause{args.pause:g}"
            turned = f"-turn{args.turn:g}" if args.turn else ""
            folder = args.out / f"{clip.name.replace('/', '-')}{side}{paced_by}-seed{args.seed}-{args.level}{turned}"
            settings: dict[str, Any] = {
                "clip": clip.name,
                "side": args.side,
                "frames": args.frames,
                "dexhot": __version__,
            }
            settings |= ({} if own else pace) | ({"turn": args.turn} if args.turn else {})
            settings |= {"seed": args.seed, "level": args.level, "rate": args.rate, "size": [args.width, args.height]}
            if folder.exists():
                if settings_of(folder) != settings:
                    raise DexhotError(f"{folder} exists and was not made with these settings; give another --out.")
                kept.append(str(folder))
                continue

            def report(done: int, total: int | None, what: str, number: int = number) -> None:
                whole = f"clip {number + 1} of {len(names)}: {what}" if len(names) > 1 else what
                job((number + done / max(total or 1, 1)) / len(names), 1.0)
                job.what = whole

            began = time.monotonic()
            asset = load_object(clip.object_name)
            try:
                chosen = one_side(clip, asset, args.side) if args.side else clip
                chosen = chosen if own else paced(chosen, **pace)
                recording, evidence, truth = render(chosen, asset, options, args.frames, report)
            except ClipError as e:
                left_out[name] = str(e)
                continue
            write_clip(folder, recording, evidence, truth, settings)
            if args.picture:
                draw_sheet(recording, evidence, folder / "sheet.png")
            row = {
                "folder": str(folder),
                "clip": name,
                "frames": len(recording.time),
                "seconds": time.monotonic() - began,
            }
            made.append(row | {k: recording.provenance[k] for k in ("camera_distance_m", "penetration_p95_mm")})
    for row in made:
        summary(f"{row['clip']} -> {row['folder']}", {k: v for k, v in row.items() if k not in ("clip", "folder")})
    if kept:
        console.print(f"{len(kept)} clips were complete already: {', '.join(kept)}")
    for name, why in left_out.items():
        console.print(f"left out: {name}: {why}")
    if args.json:
        print_json({"made": made, "kept": kept, "left_out": left_out})
    return 0 if made or kept else 1
