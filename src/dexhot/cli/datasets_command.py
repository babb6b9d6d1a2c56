"""Datasets of human demonstrations: list the clips in the cache, get more."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, listing, print_json, summary


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

    dataset: tyro.conf.Positional[Literal["grab", "hot3d"]]
    """grab: from the package registry; hot3d: from a sequence's folder on this machine."""
    accept_licence: Annotated[str | None, shown("DATASET")] = None
    """Accept the licence terms of this dataset; otherwise you are asked on the terminal."""
    path: Annotated[Path | None, shown("FOLDER")] = None
    """hot3d: folder of one sequence, in the published layout."""
    objects: Annotated[Path | None, shown("FOLDER")] = None
    """hot3d: folder of object meshes; default: objects/ in the sequence's folder."""
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
        listing(table, args.json)
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
        written = get_grab(accepted, args.again)
    elif args.path is None:
        raise DexhotError("hot3d cannot be downloaded automatically; give the folder of a sequence: --path DIR.")
    else:
        written = get_hot3d(args.path, args.objects, args.again)
    rows = {f"{name} written": count for name, count in written.items()}
    summary(f"datasets get {args.dataset}", rows | {"cache": str(cache_dir())})
    if args.json:
        print_json({"dataset": args.dataset, **written})


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
