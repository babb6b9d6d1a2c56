"""Objects: add your own scan, list the objects in the cache."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, print_json, results, summary
from dexhot.progress import progress

if TYPE_CHECKING:
    from dexhot.objects.asset import ObjectAsset


@dataclass
class Add:
    """Make an object from a mesh file: checks, repair, convex pieces, mass, inertia, symmetry, resting poses, a
    picture."""

    file: Annotated[Path | None, tyro.conf.Positional, shown("FILE")] = None
    """A mesh that trimesh reads (obj, stl, ply, off, glb); small parts are dropped and openings capped, with a note.
    With --from: a mesh of unknown scale, as image-to-mesh models give; without FILE the recording alone makes it."""
    recording: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RECORDING", help_behavior_hint="")] = None
    """An RGB-D recording that starts with the object standing on a table."""
    prompt: Annotated[str, shown("object:U,V[,U1,V1]")] = ""
    """--from: the object in the first frame, a click or a box (object:U0,V0,U1,V1) in pixels."""
    shape: Literal["auto", "box", "cylinder", "lying-cylinder", "sphere", "fused"] = "auto"
    """--from without FILE: auto fits each primitive and keeps the best; fused makes a mesh of all frames of --evidence,
    in which the object was tracked by a primitive."""
    mesher: Annotated[str, shown("MODULE:FUNCTION")] = ""
    """--from: your image-to-mesh model (docs/objects.md), given the first frame and the object's mask; its mesh is
    scaled by the depth."""
    evidence: Annotated[Path | None, shown("FILE.npz")] = None
    """--from: what `dexhot perceive --object` wrote of the recording; its masks stand for --prompt."""
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
    friction: Annotated[float | None, shown("COEFFICIENT")] = None
    """Sliding friction against rubber fingertips and the table. Default: the benchmark's (config/physics/2.yaml)."""
    wall: Annotated[float, shown("MM")] = 0.0
    """Wall thickness of a hollow container, mm; the mesh is its outer surface. Default: solid object."""
    openings: Annotated[Literal["cap", "keep"] | None, shown("{cap,keep}")] = None
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
    from dexhot.hardware.camera.recording import recording_name
    from dexhot.objects.asset import MOST_FRICTION
    from dexhot.objects.library import PICTURE, check_own_name, list_objects, objects_dir, save_object
    from dexhot.objects.volume import keep_volume
    from dexhot.simulation.renderer import NoRendererError
    from dexhot.simulation.scans import object_from_file, thumbnail

    source = args.file or args.recording
    if source is None:
        raise DexhotError("give a mesh FILE, or an RGB-D recording of the object: --from RECORDING.")
    if args.mesher and (args.file or args.shape != "auto"):
        raise DexhotError("--mesher makes the mesh from the recording: leave out FILE and --shape.")
    name = args.name or re.sub(r"[^\w.-]+", "_", args.file.stem if args.file else recording_name(source))
    name = name if "/" in name else f"user/{name}"
    if not OBJECT_NAME.fullmatch(name):
        raise DexhotError(
            f"{name!r} is not an object name; use letters, digits, '_', '-' and '.', with '/' between folders."
        )
    check_own_name(name)
    if args.mass is not None and args.density is not None:
        raise DexhotError("--mass and --density both give the mass: keep one, --mass if you weighed the object.")
    if name in list_objects() and not args.replace:
        raise DexhotError(f"{name} is in the cache already; use --replace to overwrite it, or give another --name.")
    if args.friction is not None and not 0 < args.friction <= MOST_FRICTION:
        raise DexhotError(f"--friction {args.friction:g} must be above 0 and at most {MOST_FRICTION:g}.")
    check_folder(objects_dir() / name, "$DEXHOT_CACHE")
    picture = None
    with progress(name) as job:
        options: dict[str, Any] = {
            "mass": args.mass,
            "density": args.density,
            "keep_parts": args.keep_parts,
            "keep_openings": args.openings == "keep" or (args.openings is None and args.wall > 0),
            "wall": args.wall / 1000,
            "progress": lambda step, done, total: job(done, total, f"{name}, {step}"),
        }
        if args.recording:
            asset = _from_recording(args, args.recording, name, options)
        else:
            asset = object_from_file(source, name, unit=args.unit, scale=args.scale, **options)
        asset = replace(asset, friction=args.friction)
        try:
            picture = thumbnail(asset)
        except NoRendererError as e:
            console.print(str(e))
    folder = save_object(asset, picture)
    volume = keep_volume(asset)
    repairs = {key: asset.provenance[key] for key in ("mass_from", "notes", "repairs")}
    repairs |= {"sdf_spacing_mm": None if volume is None else round(1e3 * volume.spacing, 2)}
    facts = _facts(asset) | repairs | ({} if picture is None else {"picture": str(folder / PICTURE)})
    shown_facts = {key: value for key, value in facts.items() if key != "repairs"}
    shown_facts |= {"notes": "\n".join(facts["notes"]) or "none", "folder": folder}
    shown_facts["friction"] = asset.friction or "the benchmark's"
    summary(f"object add {name}", shown_facts)
    if args.json:
        print_json({"name": name, "folder": str(folder), **facts})


def _from_recording(args: Add, path: Path, name: str, options: dict[str, Any]) -> "ObjectAsset":
    """An object that nobody scanned, or one whose mesh has no scale."""
    import numpy as np

    from dexhot.data.files import load
    from dexhot.data.types import Evidence
    from dexhot.errors import DexhotError
    from dexhot.geometry.meshes import read_mesh
    from dexhot.hardware.camera.recording import open_recording
    from dexhot.objects.library import load_object
    from dexhot.perception.estimators import mesher_of
    from dexhot.perception.fitted_shape import SHAPES, fit_shape
    from dexhot.perception.prompts import object_prompt
    from dexhot.perception.unscanned import fused_mesh, generated_mesh, resting_mask, resting_points, scale_by_depth
    from dexhot.simulation.scans import object_from_scan

    prompt = object_prompt(args.prompt) if args.prompt else None
    evidence = load(args.evidence, Evidence) if args.evidence else None
    recording = open_recording(path)
    if args.shape == "fused":
        if evidence is None or args.file:
            raise DexhotError("--shape fused needs --evidence of the object tracked by a primitive, and no FILE.")
        tracked = load_object(str(evidence.provenance.get("object") or args.name or ""))
        vertices, faces = fused_mesh(recording, evidence, tracked.vertices, tracked.faces)
        frames = int(np.isfinite(evidence.object_pose).all(axis=1).sum())
        asset = object_from_scan(vertices, faces, name, **options)
        facts: dict[str, Any] = {"shape": "fused", "frames": frames, "tracked_with": tracked.name}
        note = f"fused from {frames} frames; what no frame saw is as in {tracked.name}"
    elif args.file or args.mesher:
        points, plane = resting_points(recording, prompt, evidence)
        if args.file:
            vertices, faces = read_mesh(args.file)
        else:
            mask, _ = resting_mask(recording, prompt, evidence)
            vertices, faces = generated_mesh(mesher_of(args.mesher), recording.color[0], mask)
        scale, differ = scale_by_depth(vertices, points, plane)
        asset = object_from_scan(vertices, faces, name, scale=scale, **options)
        facts = {"shape": "mesh", "scale": scale, "sides_differ": round(differ, 3)}
        facts |= {"mesher": args.mesher} if args.mesher else {}
        note = f"scaled by {scale:.4g}; its sides alone would give factors that differ {differ:.2f}-fold"
    else:
        points, plane = resting_points(recording, prompt, evidence)
        fitted = fit_shape(points, plane, SHAPES if args.shape == "auto" else (args.shape,))
        asset = object_from_scan(fitted.vertices, fitted.faces, name, convex=True, **options)
        residuals = {kind: round(1e3 * value, 2) for kind, value in fitted.residuals.items()}
        facts = {"shape": fitted.kind, "residual_mm": residuals, "camera_T_mesh": fitted.camera_T_mesh.tolist()}
        note = f"a {fitted.kind}, {1e3 * fitted.residual:.1f} mm from the points seen (mean)"
    asset.provenance |= {"seen": facts | {"recording": recording.name.rpartition("/")[2]}}
    asset.provenance["notes"] = [*asset.provenance["notes"], note]
    return asset


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
        results(args.json).print(table)
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
        "friction": asset.friction,
        "pieces": len(asset.pieces),
        "symmetry": asset.symmetry.kind,
        "resting": len(asset.resting_poses),
    }
