"""Evidence of an RGB-D recording: label masks, hand keypoints and object poses, frame by frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, shown
from dexhot.perception.estimators import BOXES, EMBEDDED, HANDS, MASKS, MESHES, NONE, POSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dexhot.perception.prompts import Prompts
    from dexhot.progress import Progress


ESTIMATORS = ("hands", "masks", "poses", "meshes", "boxes")  # switches


@dataclass
class Args:
    """Perceive one recording."""

    writes_at_end: ClassVar[bool] = True

    recording: Annotated[str, tyro.conf.Positional, shown("RECORDING")]
    """A bag, a run or capture folder, a folder of images with camera.yaml (docs/capture.md), or a video."""
    object: Annotated[str | None, shown("NAME")] = None
    """The object in it (`dexhot object list`). Default: hands only."""
    side: Literal["any", "right", "left", "both"] = "any"
    """The hands that are expected; any: those that are seen."""
    prompt: Annotated[tuple[str, ...], shown("NAME:U,V[,U1,V1] ...")] = ()
    """Clicks on object, right or left (hand) in the first frame, or a box around each (px). Default: found."""
    hands: Annotated[str, shown("|".join((*HANDS, "MODULE:FUNCTION")))] = EMBEDDED
    """Estimator of the hands' keypoints."""
    masks: Annotated[str, shown("|".join((*MASKS, "MODULE:FUNCTION")))] = EMBEDDED
    """Estimator of masks; all but the embedded one follow what is prompted, and the hands of the first frame."""
    poses: Annotated[str, shown("|".join((*POSES, "MODULE:FUNCTION")))] = EMBEDDED
    """Estimator of the object's pose."""
    meshes: Annotated[str, shown("|".join((*MESHES, "MODULE:FUNCTION")))] = NONE
    """Coarse hand meshes, from which the recipes homan and handypriors start; none: they start from the keypoints."""
    boxes: Annotated[str, shown("|".join((*BOXES, "MODULE:FUNCTION")))] = EMBEDDED
    """Detector of hands and object; embedded: boxes of keypoints and masks."""
    fovy: Annotated[float | None, shown("DEGREES")] = None
    """A video, whose camera is unknown: its vertical field of view. Default: 45."""
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
    """Overwrite an output file of another kind, or evidence with what the new one lacks: frames, a hand, an object,
    prompts, a lab's estimator."""
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
    from dexhot.perception import estimators
    from dexhot.perception.object_track import object_track
    from dexhot.perception.perceive import perceive
    from dexhot.perception.prompts import prompts_of
    from dexhot.perception.replaced import check_replaced
    from dexhot.progress import progress

    at_least(0, start=args.start)
    at_least(1, count=args.count)
    prompts = prompts_of(args.prompt)
    check_prompts(args, prompts)
    name = recording_name(args.recording)
    out = file_of(args.out or Path(f"{name}.evidence.npz"), Evidence)
    check_out(out, "dexhot/evidence", args.force)
    if args.picture:
        check_out(args.picture, "dexhot/picture", args.force, "--picture")
    if args.bag and args.bag.exists():
        raise DexhotError(f"{args.bag} exists; a bag is never written over: give another --bag.")
    asset = load_object(args.object) if args.object else None
    recording = open_recording(args.recording, args.start, args.count, fovy=args.fovy)
    made = {"object": asset.name if asset else "", "estimators": {what: getattr(args, what) for what in ESTIMATORS}}
    check_replaced(out, recording.time, args.side, made | {"prompts": prompts}, args.force)
    boxed = any(name != "object" for name in prompts)
    hands = estimators.hands_of(args.hands, args.side, boxed)
    segmenter = estimators.segmenter_of(args.masks)
    poses = estimators.poses_of(args.poses, asset, recording.intrinsics)
    meshes, detector = estimators.meshes_of(args.meshes), estimators.boxes_of(args.boxes)
    track = object_track(asset, recording.intrinsics, prompts.get("object")) if asset is not None else None
    began = time.perf_counter()
    with progress(title := f"perceiving {recording.name}", counted=True) as job:
        numbers = frames_shown(job, title, len(recording), args.object)
        evidence, seen = perceive(
            recording, hands, track, args.side, numbers, prompts, detector, segmenter, poses, meshes
        )
    took = time.perf_counter() - began
    evidence.provenance |= made
    save(evidence, out)
    figures: dict[str, Any] = {
        "frames": len(recording),
        "images_per_second": round(len(recording) / took, 1),
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
        console.print(f"note: {note}", soft_wrap=True)
    if args.json:
        print_json({"evidence": str(out), **figures, "notes": evidence.provenance["notes"]})


def frames_shown(job: "Progress", title: str, count: int, name: str | None) -> "Iterator[int]":
    """The frames' numbers. The first one, in which the object is searched for in every pose, is a stage of its own: its
    time says nothing about the others'."""
    job.stage(f"{title}, first frame{f': registering {name}' if name else ''}")
    for k in range(count):
        yield k
        job(k + 1, count, f"{title}, frames")


def check_prompts(args: Args, prompts: "Prompts") -> None:
    """Raises DexhotError for a prompt that nothing would use."""
    from dexhot.errors import DexhotError

    if "object" in prompts and not args.object and args.masks == EMBEDDED:
        raise DexhotError("--prompt object marks a known object: name it with --object, or segment it with --masks.")
    for name, where in prompts.items():
        if name != "object" and where.shape != (4,) and args.masks == EMBEDDED:
            raise DexhotError(
                f"--prompt {name} is a click, which only --masks takes; the keypoints of a hand start from its box: "
                f"{name}:U0,V0,U1,V1."
            )
        if name != "object" and args.side not in ("any", "both", name):
            raise DexhotError(f"--prompt {name} marks a hand that --side {args.side} leaves out.")
