"""`dexhot fit` of a recording, or of several of the same moments: hand and object by a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING

from dexhot.cli.fit_inputs import check_regressor, regressed, seen_in
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dexhot.cli.fit_command import Args
    from dexhot.data.recording import Recording
    from dexhot.fitting.recipe import Recipe


def fit_any_recording(args: "Args") -> None:
    """Hand and object of a recording; a robot's hand, where its joints are given."""
    recipe = load_recipe(args.recipe).without(args.without).changed(args.set)
    recordings = [open_recording(name, fovy=args.fovy) for name in (args.clip, *args.views)]
    if recipe.method == "robot_hand" or args.joints:
        from dexhot.cli.fit_robot import fit_robot

        fit_robot(args, recipe, recordings)
    else:
        fit_person(args, recipe, recordings)


def fit_person(args: "Args", recipe: "Recipe", recordings: "Sequence[Recording]") -> None:
    """A person's hand and an object."""
    recording = recordings[0]
    guessed = not args.views and recording.world_T_camera is None and (level := on_table(recording)) is not None
    if guessed:
        recording.world_T_camera = level
    name = recording.name.rpartition("/")[2]
    evidences, asset = seen_in(args, recordings)
    evidence = evidences[0]
    check_regressor(args, recipe, asset)
    out = file_of(args.out or Path(f"{name}.fit.npz"), HandObjectTrajectory)
    check_out(out, "dexhot/trajectory", args.force)
    if args.picture:
        check_out(args.picture, "dexhot/picture", args.force, "--picture")
    sides = ("right", "left") if args.side == "both" else (args.side,)
    hands = [mano(side, args.mano) if args.model == "mano" else open_hand(side) for side in sides]
    default = "mano" if args.model == "mano" else str(evidence.provenance.get("convention", "mediapipe"))
    with progress(f"fitting {name}", counted=True) as job:
        table = hands[0].table(args.convention or default)
        stages = job.stages()
        poses, by = regressed(args, recording, evidence, asset, stages)
        fit = fit_recording(recordings, evidences, asset, recipe, hands, table, regressed=poses, progress=stages)
    fit.trajectory.provenance["fit"] |= by
    save(fit.trajectory, out)
    figures = summarise_recording_fit(fit, evidence) | by
    if args.views:
        figures["views"] = len(recordings)
    if guessed:
        figures["world"] = "level with the table that is seen; the camera's pose is not in the recording"
    if args.picture:
        figures["picture"] = str(draw_overlay(fit, recording, f"{name}, recipe {recipe.name}", args.picture))
    notes = figures.pop("notes", [])
    summary(f"{name} -> {out}", figures)
    for note in notes:
        console.print(f"note: {note}.", soft_wrap=True)
    if args.json:
        print_json({"trajectory": str(out), "recording": name, **figures, "notes": notes})
