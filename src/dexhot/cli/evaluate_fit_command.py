"""Evaluate fits of hand and object: a paper's protocol on a copy of its dataset, or proxies on other recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from dexhot.cli.arguments import at_least, shown

SCHEMA = "dexhot/fit-evaluation"


@dataclass
class Args:
    """Evaluate fits."""

    recordings: Annotated[tuple[Path, ...], tyro.conf.Positional, shown("RECORDING ...")] = ()
    """Recordings without truth: their fits are scored by J2D*, IoU_obj*, SD_obj, penetration and contact."""
    protocol: Literal["", "tfhot", "handypriors", "homan"] = ""
    """A paper's split, filter, masks and alignment (docs/fit_protocols.md), with its published rows beside."""
    path: Annotated[Path | None, shown("FOLDER")] = None
    """Protocol: your copy of DexYCB or HO-3D."""
    recipe: Annotated[str, shown("NAME|FILE.yaml")] = ""
    """Terms, weights and solver; default: the protocol's own; without a protocol, default."""
    without: Annotated[tuple[str, ...], shown("TERM")] = ()
    """Leave these terms of the recipe out."""
    set: Annotated[tuple[str, ...], shown("TERM.SETTING=VALUE")] = ()
    """Change these settings of the recipe."""
    model: Literal["open", "mano"] = "open"
    """The hand model; errors of hand vertices and HO-3D's submission need mano."""
    keypoints: Literal["detector", "rtmpose", "truth"] = "detector"
    """Protocol: 2D keypoints of the embedded detector, of RTMPose-hand, or of the truth, as an upper bound."""
    object: Annotated[str | None, shown("NAME")] = None
    """Recordings: the object (`dexhot object list`); default: the evidence's; "none": the hand alone."""
    evidence: Annotated[tuple[Path, ...], shown("FILE.npz ...")] = ()
    """Recordings: what `dexhot perceive` wrote, one per recording; default: <recording>.evidence.npz."""
    side: Literal["right", "left"] = "right"
    """Recordings: the hand."""
    clips: Annotated[int, shown("N")] = 0
    """Protocol: only the first N clips; 0: all. The number stands in the result."""
    frames: Annotated[int, shown("N")] = 0
    """Protocol: only the first N frames of each clip; 0: all."""
    stride: Annotated[int, shown("N")] = 1
    """Protocol: every N-th frame."""
    submission: Annotated[Path | None, shown("FILE.zip")] = None
    """HO-3D: write pred.json of the challenge, zipped. All frames are needed. Missing folders are created."""
    out: Annotated[Path | None, shown("FILE.json")] = None
    """Write all figures, clip by clip. Missing folders are created."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Evaluate, show a table beside the published rows, write."""
    from dexhot.cli.output import console, print_json, results
    from dexhot.data.files import check_out, write_text
    from dexhot.errors import DexhotError

    at_least(0, clips=args.clips, frames=args.frames)
    at_least(1, stride=args.stride)
    if bool(args.protocol) == bool(args.recordings):
        raise DexhotError("give either --protocol tfhot|handypriors|homan --path DIR, or RECORDINGs without truth.")
    if args.out:
        check_out(args.out, SCHEMA, args.force)
    if args.submission:
        check_out(args.submission, "submission", args.force, "--submission")
    figures = _protocol(args) if args.protocol else _wild(args)
    _show(figures, results(args.json))
    if args.out:
        import json

        write_text(args.out, json.dumps(figures, indent=1))
        console.print(f"written to {args.out}")
    if args.json:
        print_json(figures)


def _protocol(args: Args) -> dict[str, Any]:
    from dataclasses import asdict

    from dexhot.datasets import ho3d
    from dexhot.errors import ClipError, DexhotError
    from dexhot.evaluation import fit
    from dexhot.evaluation.fit_protocols import protocol
    from dexhot.fitting.recipe import load_recipe
    from dexhot.perception.estimators import hands_of
    from dexhot.perception.hand_landmarks import LandmarkHands
    from dexhot.perception.protocols import HandKeypoints
    from dexhot.progress import track

    if args.path is None:
        raise DexhotError(f"--protocol {args.protocol} needs your copy of its dataset: --path FOLDER.")
    rules, dataset = protocol(args.protocol), fit.dataset_of(args.path)
    part = rules.part(dataset)
    recipe = load_recipe(args.recipe or part.recipe).without(args.without).changed(args.set)
    if args.submission and (dataset != "ho3d" or args.model != "mano"):
        raise DexhotError("--submission is HO-3D's, with MANO's vertices: --path of HO-3D and --model mano.")
    every = fit.sources(args.path, part)
    there = fit.counted(part, every, args.path)
    chosen = every[: args.clips or None]
    assets = fit.objects_of(chosen, dataset)
    if not chosen:
        raise DexhotError(f"{args.path} has none of the clips of {rules.name}: {part.split}.")
    hands: HandKeypoints | None = None
    if args.keypoints != "truth":
        hands = LandmarkHands(count=1) if args.keypoints == "detector" else hands_of(args.keypoints, boxed=part.boxed)
    hand = _hand(args.model, part.sides[0])
    table = hand.table("mano")
    results, failed = [], {}
    for source in track(chosen, f"fitting, {rules.name}"):
        try:
            clip = fit.open_clip(source, args.path, assets[source.object_name], args.frames or None, args.stride)
            results.append(fit.evaluate_clip(clip, assets[source.object_name], part, recipe, hand, table, hands))
        except (ClipError, DexhotError) as e:
            failed[source.name] = str(e)
    if not results:
        raise DexhotError(f"no clip could be fitted. {next(iter(failed.values()))}")
    if args.submission:
        joints = {name: row for one in results for name, row in one.joints.items()}
        vertices = {name: row for one in results for name, row in one.vertices.items()}
        ho3d.write_submission(args.submission, ho3d.listed(args.path, "evaluation"), joints, vertices)
    return {
        "schema": SCHEMA,
        "protocol": rules.name,
        "dataset": dataset,
        "split": part.split,
        "masks": rules.masks,
        "keypoints": args.keypoints if args.keypoints == "truth" else rules.keypoints,
        "alignment": rules.alignment,
        "open_choices": list(rules.open_choices),
        "recipe": recipe.name,
        "model": args.model,
        "count": {"unit": part.unit, "expected": part.expected, "in_copy": there, "clips_fitted": len(results)},
        "complete": bool(part.expected)
        and there == part.expected
        and len(results) == len(every)
        and not args.frames
        and args.stride == 1,
        "incomplete": fit.incomplete(args.path, part),
        "frames": sum(one.frames for one in results),
        "frames_left_out": sum(one.left_out for one in results),
        "frames_untracked": sum(one.untracked for one in results),
        "metrics": fit.summarise(results),
        "columns": list(part.metrics),
        "published": part.published,
        "clips": {one.name: one.mean | {"frames": one.frames} for one in results},
        "failed": failed,
        "submission": str(args.submission) if args.submission else None,
        "part": asdict(part) | {"published": None},
    }


def _wild(args: Args) -> dict[str, Any]:
    from dexhot.data.files import load
    from dexhot.data.types import Evidence
    from dexhot.errors import DexhotError
    from dexhot.evaluation import fit
    from dexhot.evaluation.fit_protocols import WILD, WILD_METRICS
    from dexhot.fitting.recipe import load_recipe
    from dexhot.hardware.camera.recording import assume_as_seen, open_recording
    from dexhot.objects.library import load_object
    from dexhot.progress import track

    if args.evidence and len(args.evidence) != len(args.recordings):
        raise DexhotError(f"give one --evidence FILE per recording, not {len(args.evidence)}.")
    if args.submission:
        raise DexhotError("--submission is of --protocol homan or handypriors on HO-3D.")
    recipe = load_recipe(args.recipe or "default").without(args.without).changed(args.set)
    hand = _hand(args.model, args.side)
    results = []
    for k, path in enumerate(track(args.recordings, "fitting")):
        recording = open_recording(path)
        name = recording.name.rpartition("/")[2]
        source = args.evidence[k] if args.evidence else Path(f"{name}.evidence.npz")
        if not source.is_file():
            raise DexhotError(f"{source} does not exist: run `dexhot perceive {path}` first, or give --evidence FILE.")
        evidence = load(source, Evidence)
        assume_as_seen(recording, evidence)
        wanted = args.object or str(evidence.provenance.get("object") or "none")
        asset = None if wanted == "none" else load_object(wanted)
        default = "mano" if args.model == "mano" else str(evidence.provenance.get("convention", "mediapipe"))
        results.append(fit.evaluate_wild(recording, evidence, asset, recipe, hand, hand.table(default)))
    return {
        "schema": SCHEMA,
        "protocol": "",
        "recipe": recipe.name,
        "model": args.model,
        "frames": sum(one.frames for one in results),
        "metrics": fit.summarise(results),
        "columns": list(WILD_METRICS),
        "published": WILD,
        "clips": {one.name: one.mean | {"frames": one.frames} for one in results},
        "failed": {},
    }


def _hand(model: str, side: str) -> Any:
    from dexhot.humans.mano import mano
    from dexhot.humans.open_hand import open_hand

    return mano(side) if model == "mano" else open_hand(side)


def _show(figures: dict[str, Any], to: Console) -> None:
    """The rules in words, then the published rows with ours below."""
    import numpy as np
    from rich.table import Table

    from dexhot.evaluation.fit import rows_beside

    columns = tuple(figures["columns"])
    what = figures["protocol"] or "recordings without truth"
    said = f"{what}, recipe {figures['recipe']}, {figures['frames']} frames"
    table = Table("", *columns, title=said, title_justify="left")
    for name, *values in rows_beside(columns, figures["published"], figures["metrics"]):
        table.add_row(name, *("" if np.isnan(v) else f"{v:.3g}" for v in values))
    to.print(table)
    for key in ("split", "masks", "keypoints", "alignment"):
        if figures.get(key):
            to.print(f"{key}: {figures[key]}", soft_wrap=True)
    if "count" in figures:
        count = figures["count"]
        expected = f"{count['expected']} expected" if count["expected"] else "no number published"
        state = "" if figures["complete"] else ": not the published row's clips"
        to.print(
            f"{count['in_copy']} {count['unit']} in the copy, {expected}; {count['clips_fitted']} clips fitted{state}",
            soft_wrap=True,
        )
    for choice in (*figures.get("open_choices", ()), *figures.get("incomplete", ())):
        to.print(f"note: {choice}", soft_wrap=True)
    for name, why in figures["failed"].items():
        to.print(f"{name}: {why}", soft_wrap=True)
    if figures.get("submission"):
        to.print(f"submission written to {figures['submission']}")
