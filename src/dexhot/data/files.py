"""One file format for every dataclass of the way: an .npz whose `header` entry is JSON (schema, version, small fields).

A class without arrays (PolicyCard) is that JSON alone, in a .json file. Nothing is pickled. A file is written under a
temporary name and renamed, so a reader never meets half of one.
"""

import json
import os
import zipfile
import zlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

from dexhot import __version__
from dexhot.data import types
from dexhot.errors import FileFormatError

T = TypeVar("T")

SCHEMAS = {
    "dexhot/trajectory": types.HandObjectTrajectory,
    "dexhot/reference": types.Reference,
    "dexhot/demonstration": types.Demonstration,
    "dexhot/rollout": types.Rollout,
    "dexhot/evidence": types.Evidence,
    "dexhot/policy": types.PolicyCard,
}
VERSION = 1


def save(item: Any, path: str | Path) -> Path:
    """Write `item` (one of SCHEMAS) to `path`; .npz, or .json for a PolicyCard, is added when missing. Returns the path
    written. Raises FileFormatError for values that cannot be, before anything is written.
    """
    schema = next((name for name, kind in SCHEMAS.items() if type(item) is kind), None)
    if schema is None:
        raise FileFormatError(
            f"{type(item).__name__} has no file format; one of {[k.__name__ for k in SCHEMAS.values()]}."
        )
    item.validate()
    path = Path(path)
    suffix = ".json" if type(item) is types.PolicyCard else ".npz"
    path = path if path.suffix == suffix else path.with_name(path.name + suffix)
    arrays: dict[str, np.ndarray] = {}
    header = {"schema": schema, "version": VERSION, "dexhot": __version__, "fields": _pack(item, "", arrays)}
    text = json.dumps(header, default=jsonable, indent=1 if suffix == ".json" else None)
    if suffix == ".json":
        return write_text(path, text)
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return path


def load(path: str | Path, kind: type[T] | None = None) -> T:
    """Read any file that `save` wrote; with `kind`, refuse another kind. Raises FileFormatError."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist or is not a file.")
    try:
        header, arrays = _read(path)
        schema, version, small = header["schema"], int(header["version"]), header["fields"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise FileFormatError(
            f"{path} is not a dexhot file, or it is truncated ({e}); write it again or restore a copy."
        ) from e
    if schema not in SCHEMAS:
        raise FileFormatError(f"{path} has schema {schema!r}; this version reads {', '.join(SCHEMAS)}.")
    if version > VERSION:
        raise FileFormatError(
            f"{path} has version {version} of {schema}; this dexhot reads up to {VERSION}: upgrade it."
        )
    if kind is not None and SCHEMAS[schema] is not kind:
        raise FileFormatError(f"{path} holds a {SCHEMAS[schema].__name__}, but a {kind.__name__} is needed here.")
    try:
        item = _unpack(SCHEMAS[schema], small, "", arrays)
    except (KeyError, TypeError, AttributeError) as e:
        raise FileFormatError(
            f"{path}: field {e} of {schema} is missing; the file was written by something else."
        ) from e
    try:
        item.validate()
    except FileFormatError as e:
        raise FileFormatError(f"{path}: {e}") from e
    return item


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file, nothing checked."""
    if path.suffix == ".json":
        return json.loads(path.read_text()), {}
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no npz archive")  # numpy would speak of pickle
    with np.load(path, allow_pickle=False) as entries:
        arrays = {name: entries[name] for name in entries.files}
    return json.loads(arrays.pop("header").tobytes()), arrays


class replacing:
    """Context manager: yields a temporary path beside `path` and renames it over `path` when the block succeeds."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind, value, traceback) -> None:
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file through `replacing`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text)
    return path


def _pack(item: Any, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of `item` into `arrays` under dotted names; the rest returned as JSON-able values."""
    small: dict[str, Any] = {}
    for f in fields(item):
        name, value = prefix + f.name, getattr(item, f.name)
        if isinstance(value, np.ndarray):
            arrays[name] = _plain(name, value)
        elif is_dataclass(value):
            small[f.name] = _pack(value, name + ".", arrays)
        elif isinstance(value, dict) and value and all(is_dataclass(v) for v in value.values()):
            small[f.name] = {key: _pack(v, f"{name}.{key}.", arrays) for key, v in value.items()}
        elif isinstance(value, dict) and value and all(isinstance(v, np.ndarray) for v in value.values()):
            arrays.update({f"{name}.{key}": _plain(f"{name}.{key}", v) for key, v in value.items()})
            small[f.name] = list(value)
        else:
            small[f.name] = value
    return small


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.hasobject:
        raise FileFormatError(f"{name} is an array of Python objects, which cannot be written without pickle.")
    return array


def _unpack(kind: Any, small: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for f in fields(kind):
        name, hint = prefix + f.name, hints[f.name]
        inner = get_args(hint)[1] if get_args(hint)[:1] == (str,) and len(get_args(hint)) == 2 else None
        if hint is np.ndarray:
            values[f.name] = arrays[name]
        elif is_dataclass(hint):
            values[f.name] = _unpack(hint, small[f.name], name + ".", arrays)
        elif is_dataclass(inner):
            values[f.name] = {k: _unpack(inner, v, f"{name}.{k}.", arrays) for k, v in small[f.name].items()}
        elif inner is np.ndarray:
            values[f.name] = {k: arrays[f"{name}.{k}"] for k in small[f.name]}
        else:
            values[f.name] = small[f.name]
    return kind(**values)


def jsonable(value: Any) -> Any:
    """What json.dumps writes for NumPy's numbers and arrays; the text of anything else."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
