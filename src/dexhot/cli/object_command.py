"""Objects: add your own scan, list the objects in the cache."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, listing, print_json, summary
from dexhot.progress import progress

if TYPE_CHECKING:
    from dexhot.objects.asset import ObjectAsset


@dataclass
class Add:
    """Make an object from a mesh file: checks, repair, convex pieces, mass, inertia, symmetry, resting poses, a
    picture."""

    file: Annotated[Path, tyro.conf.Positional, shown("FILE")]
    """A mesh that trimesh reads (obj, stl, ply, off, glb); small parts are dropped and openings capped, with a note."""
    name: Annotated[str | None, shown("NAME")] = None
    """Name in the cache; a plain name is put under user/. Default: the file's name."""
    unit: Literal["m", "cm", "mm", "in"] = "m"
    """Length unit of the file."""
    scale: float = 1.0
    """Additional scale factor."""
    mass: Annotated[float | None, shown("KG")] = None
    """Mass, kg; weigh the object if you can. Default: volume times density."""
    density: Annotated[float | None, shown("KG_PER_M3")] = None
    """Density, kg/m3. Default: the benchmark's, with the mass clipped to its range (config/physics/2.yaml)."""
    wall: Annotated[float, shown("MM")] = 0.0
    """Wall thickness of a hollow container, mm; the mesh is its outer surface. Default: solid object."""
    openings: Literal["cap", "keep"] | None = None
    """Cap openings with a flat face, or keep them open. Default: cap; with --wall keep (a container's mouth)."""
    keep_parts: bool = False
    """Keep small detached parts; by default they are dropped as scan noise."""
    replace: bool = False
    """Overwrite an object of this name."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class List:
    """List the objects in the cache."""

    json: bool = False
    """Print one JSON object on the last line of stdout."""


Args = Annotated[Add, tyro.conf.subcommand(name="add")] | Annotated[List, tyro.conf.subcommand(name="list")]


def run(args: Add | List) -> None:
    """Add or list."""
    if isinstance(args, Add):
        _add(args)
    else:
        _list(args)


def _add(args: Add) -> None:
    from dexhot.data.disk import check_folder
    from dexhot.data.types import OBJECT_NAME
    from dexhot.errors import DexhotError
    from dexhot.objects.library import PICTURE, list_objects, objects_dir, save_object
    from dexhot.simulation.renderer import NoRendererError
    from dexhot.simulation.scans import object_from_file, thumbnail

    name = args.name or re.sub(r"[^\w.-]+", "_", args.file.stem)
    name = name if "/" in name else f"user/{name}"
    if not OBJECT_NAME.fullmatch(name):
        raise DexhotError(
            f"{name!r} is not an object name; use letters, digits, '_', '-' and '.', with '/' between folders."
        )
    if name in list_objects() and not args.replace:
        raise DexhotError(f"{name} is in the cache already; use --replace to overwrite it, or give another --name.")
    check_folder(objects_dir() / name, "$DEXHOT_CACHE")
    picture = None
    with progress(name) as job:
        asset = object_from_file(
            args.file,
            name,
            unit=args.unit,
            scale=args.scale,
            mass=args.mass,
            density=args.density,
            keep_parts=args.keep_parts,
            keep_openings=args.openings == "keep" or (args.openings is None and args.wall > 0),
            wall=args.wall / 1000,
            progress=lambda step, done, total: job(done, total, f"{name}, {step}"),
        )
        try:
            picture = thumbnail(asset)
        except NoRendererError as e:
            console.print(str(e))
    folder = save_object(asset, picture)
    repairs = {key: asset.provenance[key] for key in ("mass_from", "notes", "repairs")}
    facts = _facts(asset) | repairs | ({} if picture is None else {"picture": str(folder / PICTURE)})
    shown_facts = {key: value for key, value in facts.items() if key != "repairs"}
    shown_facts |= {"notes": "\n".join(facts["notes"]) or "none", "folder": folder}
    summary(f"object add {name}", shown_facts)
    if args.json:
        print_json({"name": name, "folder": str(folder), **facts})


def _list(args: List) -> None:
    from rich.table import Table

    from dexhot.objects.library import list_objects, load_object

    rows = {name: _facts(load_object(name)) for name in list_objects()}
    table = Table("object", "size cm", "mass kg", "pieces", "symmetry", "rests", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
        column.justify = "right" if column.header in ("mass kg", "pieces", "rests") else "left"
    for name, facts in rows.items():
        size = "x".join(f"{100 * side:.1f}" for side in facts["size_m"])
        table.add_row(
            name, size, f"{facts['mass_kg']:.3f}", *(str(facts[k]) for k in ("pieces", "symmetry", "resting"))
        )
    if rows:
        listing(table, args.json)
    else:
        console.print(
            "The cache holds no objects; add one with `dexhot object add FILE` or `dexhot datasets get grab`."
        )
    if args.json:
        print_json({"objects": rows})


def _facts(asset: "ObjectAsset") -> dict[str, Any]:
    size = asset.vertices.max(axis=0) - asset.vertices.min(axis=0)
    return {
        "size_m": [round(float(side), 4) for side in size],
        "mass_kg": asset.mass,
        "pieces": len(asset.pieces),
        "symmetry": asset.symmetry.kind,
        "resting": len(asset.resting_poses),
    }
