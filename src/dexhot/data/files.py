"""One file format for the data pipeline's dataclasses: an .npz whose `header` entry is JSON (schema, version, fields).

A class without arrays (PolicyCard, PriorCard) is stored as JSON only, in a .json file. Nothing is pickled. A file is
written under a temporary name and renamed, so a reader never sees a partial file. References in a file are names, or
paths relative to the file: that of a hand.yaml is absolute in memory only (`_written_paths`, `_read_paths`).
"""

import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

from dexhot import __version__
from dexhot.data import types
from dexhot.data.disk import check_folder
from dexhot.errors import DexhotError, FileFormatError, absent

T = TypeVar("T")

SCHEMAS = {
    "dexhot/trajectory": types.HandObjectTrajectory,
    "dexhot/reference": types.Reference,
    "dexhot/demonstration": types.Demonstration,
    "dexhot/rollout": types.Rollout,
    "dexhot/evidence": types.Evidence,
    "dexhot/policy": types.PolicyCard,
    "dexhot/prior": types.PriorCard,
}
CARDS = (types.PolicyCard, types.PriorCard)  # JSON beside an ONNX file
VERSION = 2
WRITTEN: dict[Path, None] = {}  # what this process has written, for the message of an interrupted command
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)  # of an npz
ROOTS = "home|root|tmp|mnt|media|usr|var|opt|srv|etc|Users"  # top-level folders; a path outside them may be a ROS name
ABSOLUTE = re.compile(
    rf"/({ROOTS})/.*|(?!(/[A-Za-z_]\w*)+$)(/[^/\s\0]+){{2,}}/?|(~|file:/|[A-Za-z]:)[\\/].*|\\\\.*", re.DOTALL
)


def save(item: Any, path: str | Path) -> Path:
    """Write `item` (one of SCHEMAS) to `path`; .npz, or .json for a card, is added if missing. Returns the path
    written. Raises FileFormatError for invalid values and for another suffix, before anything is written.
    """
    schema = next((name for name, kind in SCHEMAS.items() if type(item) is kind), None)
    if schema is None:
        raise FileFormatError(
            f"{type(item).__name__} has no file format; one of {[k.__name__ for k in SCHEMAS.values()]}."
        )
    item.validate()
    path = file_of(path, type(item))
    arrays: dict[str, np.ndarray] = {}
    small = _written_paths(_pack(item, "", arrays), path.parent)
    header = {"schema": schema, "version": VERSION, "dexhot": __version__, "fields": small}
    text = json.dumps(header, default=jsonable, indent=1 if path.suffix == ".json" else None)
    _refuse_absolute(json.loads(text)["fields"], path)
    if path.suffix == ".json":
        return write_text(path, text)
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes them for allow_pickle too
    return path


def file_of(path: str | Path, kind: type) -> Path:
    """`path` with the suffix of a file of `kind`: .npz, or .json for a card. Raises as `with_suffix`."""
    return with_suffix(path, ".json" if kind in CARDS else ".npz")


def with_suffix(path: str | Path, suffix: str) -> Path:
    """`path` with `suffix`, which is added where it has none. Raises FileFormatError for a folder and for another
    suffix, where adding one would create an unintended file beside what was named."""
    path = Path(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; name a file in it, e.g. {path / ('NAME' + suffix)}.")
    if path.suffix not in ("", suffix):
        raise FileFormatError(f"{path}: the file that is written is {suffix}; name it {path.with_suffix(suffix)}.")
    return path.with_suffix(suffix)


def load(path: str | Path, kind: type[T] | None = None) -> T:
    """Read any file that `save` wrote; with `kind`, only that kind. Raises FileFormatError."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(absent(path))
    try:
        header, arrays = _read(path)
        schema, version, small = header["schema"], int(header["version"]), header["fields"]
    except UNREADABLE as e:
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
        raise FileFormatError(f"{path} holds {a(SCHEMAS[schema])}, but {a(kind)} is needed here.")
    _refuse_absolute(small, path)
    try:
        item: Any = _unpack(SCHEMAS[schema], _read_paths(small, path.parent), "", arrays)
    except (KeyError, TypeError, AttributeError) as e:
        raise FileFormatError(f"{path}: field {e} of {schema} is missing; the file was not written by dexhot.") from e
    try:
        item.validate()
    except FileFormatError as e:
        raise FileFormatError(f"{path}: {e}") from e
    loaded: T = item
    return loaded


def a(kind: type) -> str:
    """A kind's name with its article."""
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file, unchecked."""
    if path.suffix == ".json":
        return json.loads(path.read_text()), {}
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not an npz archive")  # numpy's own message is about pickle
    with np.load(path, allow_pickle=False) as entries:
        arrays = {name: entries[name] for name in entries.files}
    return json.loads(arrays.pop("header").tobytes()), arrays


def header(path: Path) -> dict[str, Any]:
    """Schema, version and small fields (`fields`) of an .npz file that `save` wrote, without its arrays. Raises one of
    UNREADABLE."""
    with zipfile.ZipFile(path) as archive, archive.open("header.npy") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        found: dict[str, Any] = json.loads(stream.read())
        return found


def kind_of(path: Path) -> str | None:
    """Kind of a file written by dexhot: its schema, "dexhot/report", "dexhot/bench ...", "dexhot/picture" or
    "dexhot/page"; None: not ours. Only the header is read: a damaged file still counts as ours."""
    try:
        if path.suffix == ".npz":
            return str(header(path)["schema"])
        if path.suffix == ".png":
            return "dexhot/picture" if PICTURE_MARK in _beginning(path) else None
        if path.suffix == ".html":
            return "dexhot/page" if PAGE_MARK.encode() in _beginning(path) else None
        found = json.loads(path.read_text())
        return str(found["schema"]) if "schema" in found else f"dexhot/bench {found['bench']}"
    except UNREADABLE:
        return None


PAGE_MARK = '<meta name="generator" content="dexhot">'
PICTURE_MARK = b"Software\0dexhot"  # PNG text chunk in our pictures
PICTURE_METADATA = {"Software": "dexhot"}


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(4096)


def save_figure(figure: Any, path: Path, dpi: int) -> Path:
    """Write a Matplotlib figure as one of our PNG pictures, and close it."""
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png", metadata=PICTURE_METADATA)
    plt.close(figure)
    return path


def check_out(path: str | Path, kind: str, force: bool = False, flag: str = "--out") -> Path:
    """`path`, if a file of `kind` (see kind_of) can be written there; checked before the work, which would be lost.

    Raises DexhotError if the path is not writable, its disk is full, or a file of another kind exists there, which is
    replaced only with `force`.
    """
    path = Path(path)
    if path.is_dir():
        raise DexhotError(f"{path} is a folder; name a file with {flag}.")
    if kind == "dexhot/picture" and path.suffix != ".png":
        raise DexhotError(f"{path}: pictures are PNG files; give a name that ends in .png with {flag}.")
    if path.exists() and not force and (found := kind_of(path)) != kind:
        what = f"a {found} file" if found else "a file that dexhot did not write, or a damaged one"
        raise DexhotError(f"{path} is {what}, and is not replaced by a {kind} file; give another {flag}, or --force.")
    check_folder(path.parent, flag)
    return path


class replacing:
    """Context manager: yields a temporary path beside `path` and renames it over `path` when the block succeeds."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.temporary

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(value, OSError) and value.filename is None:
            value.filename = str(self.path)  # a write error of a full disk lacks the file name
        try:
            if kind is None:
                with open(self.temporary, "rb") as written:
                    os.fsync(written.fileno())  # after a power failure a renamed file must be complete
                os.replace(self.temporary, self.path)
                WRITTEN[self.path] = None
        finally:
            self.temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file through `replacing`."""
    path = Path(path)
    with replacing(path) as temporary:
        temporary.write_text(text)
    return path


def _written_paths(small: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make each `hand` (nested ones too) that is a path of a hand.yaml relative to the file's folder."""
    return _with_hand(small, lambda hand: os.path.relpath(hand, folder.resolve()) if os.path.isabs(hand) else hand)


def _read_paths(small: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make each such path absolute, as `load_hand` requires."""

    def absolute(hand: str) -> str:
        return os.path.normpath(folder.resolve() / hand) if hand.endswith((".yaml", ".yml")) else hand

    return _with_hand(small, absolute)


def _with_hand(small: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """`small` with `change` applied to every `hand`, except in provenance."""
    out = dict(small)
    for name, value in small.items():
        if name == "hand" and isinstance(value, str):
            out[name] = change(value)
        elif name == "reference" and isinstance(value, dict):
            out[name] = _with_hand(value, change)
    return out


def _refuse_absolute(value: Any, path: Path, where: str = "") -> None:
    """Raise FileFormatError if a string in the header of `path` is an absolute path, which is invalid on another
    machine and may refer to another file on this one."""
    if isinstance(value, str) and ABSOLUTE.fullmatch(value):
        again = (
            "your own hand is stored as a path relative to the file: retarget again with --hand"
            if where.endswith("hand")
            else "write the name, or a path relative to the file"
        )
        raise FileFormatError(
            f"{path}: {where} is the absolute path {value!r}, which is not allowed in a file; {again}."
        )
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        _refuse_absolute(inner, path, f"{where}.{key}" if where else str(key))


def _pack(item: Any, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Put the arrays of `item` into `arrays` under dotted names; return the rest as JSON-able values."""
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
        optional = f.default is not MISSING or f.default_factory is not MISSING
        if optional and f.name not in small and not any(n == name or n.startswith(name + ".") for n in arrays):
            continue  # of an older file
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
    """NumPy numbers and arrays as JSON values; anything else as text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
