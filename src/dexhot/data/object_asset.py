"""An object as physics and metrics need it: a mesh, its convex pieces, mass, symmetry and resting poses, kept on disk.

An asset lives in one folder of the cache, objects/<collection>/<name>/: object.json beside mesh.npz. Its frame is the
mesh frame; every object pose in the project is world_T_mesh.
"""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dexhot.data.files import replacing, write_text
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.paths import cache_dir, share_dir

SCHEMA, VERSION = "dexhot/object", 1
SYMMETRIES = ("none", "discrete", "axis", "sphere")


@dataclass
class Symmetry:
    """Rotations of the mesh frame about `center` that leave the shape as it is.

    kind: "none"; "discrete" (the listed `rotations`); "axis" (any turn about `axis`, and the listed rotations: a
    flip where turning it over changes nothing); "sphere".
    """

    kind: str = "none"
    axis: list[float] = field(default_factory=lambda: [0.0, 0.0, 1.0])
    rotations: list[list[float]] = field(default_factory=lambda: [[1.0, 0.0, 0.0, 0.0]])  # wxyz, identity first
    center: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


@dataclass
class ObjectAsset:
    """A rigid object. Lengths in m, masses in kg, all in the mesh frame."""

    name: str  # "grab/duck", "parametric/box-...", "user/..."
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3) int
    pieces: list[tuple[np.ndarray, np.ndarray]]  # convex pieces, each vertices (v, 3) and faces (f, 3)
    mass: float
    center_of_mass: np.ndarray  # (3,)
    inertia: np.ndarray  # (3, 3) about the centre of mass
    symmetry: Symmetry = field(default_factory=Symmetry)
    resting_poses: np.ndarray = field(
        default_factory=lambda: np.zeros((0, 7))
    )  # (P, 7) world_T_mesh on a table at z = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        """Raise FileFormatError for values that no rigid body has."""
        arrays = [self.vertices, self.center_of_mass, self.inertia, self.resting_poses, *(v for v, _ in self.pieces)]
        finite = all(np.isfinite(a).all() for a in arrays)
        if not (self.pieces and finite and np.isfinite(self.mass)):
            raise FileFormatError(f"object {self.name!r} lacks pieces or holds a non-finite value.")
        if self.mass <= 0 or np.linalg.eigvalsh(self.inertia).min() <= 0:
            raise FileFormatError(
                f"object {self.name!r} needs a positive mass and inertia; its mass is {self.mass} kg."
            )
        if self.symmetry.kind not in SYMMETRIES:
            raise FileFormatError(
                f"object {self.name!r}: symmetry {self.symmetry.kind!r} is unknown, one of {', '.join(SYMMETRIES)}."
            )


def objects_dir() -> Path:
    return cache_dir() / "objects"


def save_object(asset: ObjectAsset) -> Path:
    """Write the asset into the cache; returns its folder. Raises FileFormatError for values that cannot be."""
    asset.validate()
    folder = objects_dir() / asset.name
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"vertices": asset.vertices, "faces": asset.faces, "center_of_mass": asset.center_of_mass}
    arrays |= {"inertia": asset.inertia, "resting_poses": asset.resting_poses}
    for i, (vertices, faces) in enumerate(asset.pieces):
        arrays |= {f"piece{i}.vertices": vertices, f"piece{i}.faces": faces}
    with replacing(folder / "mesh.npz") as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    header = {"schema": SCHEMA, "version": VERSION, "name": asset.name, "mass": asset.mass, "pieces": len(asset.pieces)}
    header |= {"symmetry": asdict(asset.symmetry), "provenance": asset.provenance}
    write_text(folder / "object.json", json.dumps(header, indent=1))
    return folder


def load_object(name: str) -> ObjectAsset:
    """Read an asset of the cache by name; a parametric one is made from its name. Raises NotFoundError with the names
    that exist."""
    folder = objects_dir() / name
    if not (folder / "object.json").is_file() and name.startswith("parametric/"):
        from dexhot.data.datasets.shapes import named_shape, shape_asset  # they are assets themselves

        return shape_asset(named_shape(name))
    if not (folder / "object.json").is_file():
        hint = (
            "Get a dataset's objects with `dexhot datasets get NAME`, add your own scan with `dexhot object add FILE`."
        )
        raise NotFoundError("object", name, list_objects(), hint)
    try:
        header = json.loads((folder / "object.json").read_text())
        if header["schema"] != SCHEMA or header["version"] > VERSION:
            raise ValueError(
                f"{header['schema']} version {header['version']}, this dexhot reads {SCHEMA} up to {VERSION}"
            )
        with np.load(folder / "mesh.npz", allow_pickle=False) as a:
            pieces = [(a[f"piece{i}.vertices"], a[f"piece{i}.faces"]) for i in range(header["pieces"])]
            asset = ObjectAsset(
                name=header["name"],
                vertices=a["vertices"],
                faces=a["faces"],
                pieces=pieces,
                mass=float(header["mass"]),
                center_of_mass=a["center_of_mass"],
                inertia=a["inertia"],
                symmetry=Symmetry(**header["symmetry"]),
                resting_poses=a["resting_poses"],
                provenance=header["provenance"],
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise FileFormatError(
            f"object {name!r} in {folder} cannot be read ({e}); delete the folder and add it again."
        ) from e
    asset.validate()
    return asset


def default_mass(volume: float) -> float:
    """Mass (kg) of an object of `volume` (m^3) whose mass nobody knows, by the benchmark physics' density and range."""
    physics = yaml.safe_load((share_dir() / "config" / "physics.yaml").read_text())
    return float(np.clip(physics["object_density"] * volume, *physics["object_mass_range"]))


def list_objects() -> list[str]:
    """Names of the assets in the cache."""
    base = objects_dir()
    return sorted(p.parent.relative_to(base).as_posix() for p in base.glob("**/object.json"))
