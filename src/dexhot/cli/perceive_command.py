"""Evidence of an RGB-D recording: label masks, hand keypoints and object poses, frame by frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import at_least, shown


@dataclass
class Args:
    """Perceive one recording."""

    recording: Annotated[str, tyro.conf.Positional, shown("RECORDING")]
    """A bag, a run or capture folder, a folder of images with camera.yaml (docs/capture.md), or a video."""
    object: Annotated[str | None, shown("NAME")] = None
    """The object in it (`dexhot object list`). Default: hands only."""
    side: Literal["any", "right", "left", "both"] = "any"
    """The hands that are expected; any: those that are seen."""
    prompt: Annotated[str | None, shown("object:U,V[,U1,V1]")] = None
    """A click on the object in the first frame, or a box around it (px). Default: found above the table."""
    start: int = 0
    """First frame."""
    count: Annotated[int | None, shown("N")] = None
    """Number of frames; default: all."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Evidence file to write; default: <recording>.evidence.npz in the current folder. Missing folders are created."""
    bag: Annotated[Path | None, shown("FOLDER")] = None
    """Also write the topics as a bag. Missing folders are created."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also draw six frames with masks, keypoints and confidence."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Read, perceive, write, summarise."""
    import time

    import numpy as np

    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.files import check_out, file_of, save
    from dexhot.data.types import Evidence
    from dexhot.errors import DexhotError
    from dexhot.hardware.camera.recording import open_recording, recording_name
    from dexhot.objects.library import load_object
    from dexhot.perception.hand_landmarks import LandmarkHands
    from dexhot.perception.perceive import object_track, perceive
    from dexhot.progress import track as shown_progress

    at_least(0, start=args.start)
    at_least(1, count=args.count)
    prompt = read_prompt(args.prompt) if args.prompt else None
    if prompt is not None and not args.object:
        raise DexhotError("--prompt marks the object: name it with --object.")
    name = recording_name(args.recording)
    out = file_of(args.out or Path(f"{name}.evidence.npz"), Evidence)
    check_out(out, "dexhot/evidence", args.force)
    if args.picture:
        check_out(args.picture, "dexhot/picture", args.force, "--picture")
    if args.bag and args.bag.exists():
        raise DexhotError(f"{args.bag} exists; a bag is never written over: give another --bag.")
    asset = load_object(args.object) if args.object else None
    recording = open_recording(args.recording, args.start, args.count)
    hands = LandmarkHands(count=2)
    track = object_track(asset, recording.intrinsics, prompt) if asset is not None else None
    began = time.perf_counter()
    numbers = shown_progress(range(len(recording)), f"perceiving {recording.name}")
    prompts = {"object": prompt.tolist()} if prompt is not None else {}
    evidence, seen = perceive(recording, hands, track, args.side, numbers, prompts)
    took = time.perf_counter() - began
    evidence.provenance["object"] = args.object or ""
    save(evidence, out)
    figures: dict[str, Any] = {
        "frames": len(recording),
        "fps": round(len(recording) / took, 1),
        **{f"{side}_hand_frames": count for side, count in seen.hand_frames.items()},
    }
    if args.object:
        figures |= {"object_frames": seen.object_frames, "confidence_p50": round(float(np.median(seen.confidence)), 2)}
    if args.bag:
        from dexhot.perception.bag import write_evidence

        figures["bag"] = str(write_evidence(evidence, args.bag))
    if args.picture:
        from dexhot.perception.picture import draw_evidence

        figures["picture"] = str(draw_evidence(recording, evidence, args.picture))
    summary(f"{recording.name} -> {out}", figures)
    for note in evidence.provenance["notes"]:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if args.json:
        print_json({"evidence": str(out), **figures, "notes": evidence.provenance["notes"]})


def read_prompt(text: str):  # type: ignore[no-untyped-def]
    """ "object:U,V" or "object:U0,V0,U1,V1" -> (2,) or (4,) px. Raises DexhotError."""
    import numpy as np

    from dexhot.errors import DexhotError

    what, _, numbers = text.partition(":")
    try:
        found = np.array([float(x) for x in numbers.split(",")])
    except ValueError:
        found = np.zeros(0)
    if what != "object" or len(found) not in (2, 4):
        raise DexhotError(f"--prompt {text} is not object:U,V (a click) or object:U0,V0,U1,V1 (a box), in pixels.")
    return found
