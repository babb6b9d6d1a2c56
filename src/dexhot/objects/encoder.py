"""An object's feature: 256 numbers of a point-cloud encoder (DexTrack, appendix A.2), which `dexhot train
object-encoder` trains as half of an auto-encoder.

A PointNet: the same layers for each point of the mesh's surface, the largest value over the points, and one more layer.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import UNREADABLE, replacing
from dexhot.errors import FileFormatError, absent
from dexhot.geometry.meshes import surface_samples
from dexhot.objects.asset import ObjectAsset

OBJECT_FEATURE = 256  # numbers of a feature
POINTS = 512  # of a cloud
SCALE = 10.0  # 1/m: clouds are of the order of 1
SCHEMA = "dexhot/object-encoder"
Layer = tuple[np.ndarray, np.ndarray]  # weight (in, out), bias (out,)


@dataclass
class ObjectEncoder:
    """The encoder of one training."""

    points: list[Layer]  # per point, each followed by a ReLU
    last: Layer  # of the largest values
    trained_on: list[str] = field(default_factory=list)  # objects
    terms: str = ""  # of their use; "": none
    provenance: dict[str, Any] = field(default_factory=dict)

    def of_points(self, cloud: np.ndarray) -> np.ndarray:
        """(..., OBJECT_FEATURE) of clouds (..., P, 3) m in the mesh frame, in any order."""
        x = SCALE * np.asarray(cloud, float)
        for weight, bias in self.points:
            x = np.maximum(x @ weight + bias, 0.0)
        feature: np.ndarray = x.max(axis=-2) @ self.last[0] + self.last[1]
        return feature

    def of(self, asset: ObjectAsset) -> np.ndarray:
        """(OBJECT_FEATURE,) of an object's mesh."""
        return self.of_points(object_cloud(asset))

    def save(self, path: Path) -> Path:
        """Write an .npz file."""
        arrays: dict[str, Any] = {}
        for k, (weight, bias) in enumerate((*self.points, self.last)):
            arrays |= {f"weight{k}": weight.astype(np.float32), f"bias{k}": bias.astype(np.float32)}
        told = {"schema": SCHEMA, "trained_on": self.trained_on, "terms": self.terms, "provenance": self.provenance}
        with replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(stream, told=as_bytes(told), **arrays)
        return path


def load_encoder(path: str | Path) -> ObjectEncoder:
    """Read one. Raises FileFormatError for a file that is missing, or none."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(absent(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            told: dict[str, Any] = json.loads(file["told"].tobytes())
            if told["schema"] != SCHEMA:
                raise KeyError(SCHEMA)
            count = sum(name.startswith("weight") for name in file.files)
            layers = [(file[f"weight{k}"].astype(float), file[f"bias{k}"].astype(float)) for k in range(count)]
    except UNREADABLE as e:
        raise FileFormatError(f"{path} is not an object encoder; make one with `dexhot train object-encoder`.") from e
    if len(layers) < 2 or layers[0][0].shape[0] != 3 or layers[-1][0].shape[1] != OBJECT_FEATURE:
        raise FileFormatError(f"{path} maps points to no {OBJECT_FEATURE} numbers; make an encoder again.")
    return ObjectEncoder(layers[:-1], layers[-1], told["trained_on"], told["terms"], told["provenance"])


def object_cloud(asset: ObjectAsset, count: int = POINTS, seed: int = 0) -> np.ndarray:
    """(count, 3) m, spread evenly over the object's surface, in the mesh frame."""
    return surface_samples(asset.vertices, asset.faces, count, seed)[0]


def file_hash(path: Path) -> str:
    """sha256 of a file, by which a policy's card names its encoder."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def as_bytes(told: dict[str, Any]) -> np.ndarray:
    """A JSON text as an array of an .npz file."""
    return np.frombuffer(json.dumps(told, sort_keys=True).encode(), np.uint8)
