"""A human demonstration -> a Reference: the target motion of the robot's wrist and fingers and the object, at 60 Hz."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import ON, shown

if TYPE_CHECKING:
    from dexhot.data.types import HandObjectTrajectory


@dataclass
class Args:
    """Retarget one clip."""

    writes_at_end: ClassVar[bool] = True

    clip: Annotated[str, tyro.conf.Positional, shown("CLIP|FILE")]
    """A clip in the cache ("grab/duck_lift") or a trajectory file (.npz)."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """A shipped robot hand, or the path of a hand.yaml (docs/add_a_hand.md)."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Output Reference file; by default <clip>.reference.npz in the current folder. Missing folders are created."""
    contact: Annotated[bool, ON] = True
    """Track the measured fingertips directly, without planned contacts, opening, closing and squeeze."""
    in_hand: bool = False
    """Let the fingers turn the object within the hand as the person's do, on contacts that roll and change. By default
    the hand turns with the object."""
    links: bool = False
    """Let the fingers' inner sides and the palm touch the object too, where the person's do and the robot's can. By
    default contacts are fingertips only."""
    plain: bool = False
    """DexTrack's retargeting, eq. 5-7 alone: keypoints onto keypoints, without contacts, posture, smoothness and
    repairs of the clip."""
    place: Annotated[bool, ON] = True
    """Keep the recorded coordinates; by default the demonstration is placed within the arm's reach."""
    speed: Annotated[Literal["auto", "1"], shown("auto|1")] = "auto"
    """auto: slow down only where a joint limit requires it; 1: the clip's original timing, even if the arm cannot
    follow."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos for which the squeeze is computed (config/servos.yaml); default: the hand's own."""
    frames: Annotated[str | None, shown("FIRST:STOP")] = None
    """Use only these frames of the clip, counted from 0; STOP is excluded."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also draw human keypoints, wrist and palm frames and robot fingertips to this PNG."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Check, retarget and place the clip, print a summary, and draw if requested."""
    from dexhot.cli.output import console, print_json, styled, summary
    from dexhot.data.files import check_out, file_of, save
    from dexhot.data.types import Reference
    from dexhot.datasets.library import is_file, keep_clip
    from dexhot.errors import DexhotError
    from dexhot.objects.library import load_object
    from dexhot.progress import progress
    from dexhot.retargeting.mending import checked_clip
    from dexhot.retargeting.placement import demanded, place
    from dexhot.retargeting.retarget import RetargetOptions, plain_options, reference_kind, retarget
    from dexhot.retargeting.summary import summarise
    from dexhot.robots.robot_hand import load_hand

    trajectory, hand = _trajectory(args.clip, args.frames), load_hand(args.hand)
    out = file_of(args.out or Path(f"{trajectory.name.rpartition('/')[2]}.reference.npz"), Reference)
    check_out(out, "dexhot/reference", args.force)
    if args.picture:
        check_out(args.picture, "dexhot/picture", args.force, "--picture")
    asset = load_object(trajectory.object_name)
    if args.plain and (args.in_hand or args.links or not args.contact):
        raise DexhotError(
            "--plain is retargeting without contacts already: leave out --in-hand, --links and --no-contact."
        )
    if args.links and not args.contact:
        raise DexhotError("--links plans contacts: leave out --no-contact.")
    options = RetargetOptions(contact=args.contact, profile=args.profile, in_hand=args.in_hand, links=args.links)
    options = plain_options(args.profile) if args.plain else options
    with progress("retargeting") as job:
        reference = retarget(trajectory, hand, asset, options, job)
    if is_file(args.clip):
        keep_clip(trajectory)
    if args.place:
        with progress("placing within the arm's reach"):
            reference = place(reference, hand, slow=args.speed == "auto")
    save(reference, out)
    mended = reference.provenance["mended"]
    for what in mended:
        console.print(styled("repaired", "yellow", f": {what}"), soft_wrap=True)
    if mended:
        trajectory = checked_clip(trajectory, hand.side, asset)[0]
    figures = (
        {"kind": reference_kind(reference)}
        | summarise(reference, trajectory, hand, asset)
        | {"placement": reference.placement.round(4).tolist()}
    )
    if args.place:
        too_fast = demanded(reference, hand).too_fast
        figures |= {"speed_factor": reference.speed_factor, "limited_by": [str(peak) for peak in too_fast]}
        for peak in too_fast if args.speed == "1" else ():
            console.print(styled("too fast", "yellow", f": {peak}"), soft_wrap=True)
    if args.picture:
        from dexhot.retargeting.picture import draw  # matplotlib, a fifth of the command's start

        figures["picture"] = str(draw(reference, trajectory, hand, asset, args.picture))
    worst = {"limited_by": figures["limited_by"][:1]} if figures.get("limited_by") else {}
    summary(f"{trajectory.name} on {hand.name} -> {out}", figures | worst)
    if args.json:
        print_json({"reference": str(out), "clip": trajectory.name, "hand": hand.name, "mended": mended, **figures})


def _trajectory(clip: str, frames: str | None) -> "HandObjectTrajectory":
    from dexhot.datasets.source_clip import clip_or_file

    return part_of(clip_or_file(clip), frames)


def part_of(clip: "HandObjectTrajectory", frames: str | None) -> "HandObjectTrajectory":
    """Frames "FIRST:STOP" of a clip; None for all. Raises DexhotError."""
    import re

    from dexhot.errors import DexhotError

    if frames is None:
        return clip
    given = re.fullmatch(r"(\d*):(\d*)", frames)
    if not given:
        raise DexhotError(
            f"--frames {frames!r}: write FIRST:STOP, e.g. 0:{len(clip.time)} for all frames of {clip.name}."
        )
    return clip.cut(int(given[1] or 0), int(given[2] or len(clip.time)))
