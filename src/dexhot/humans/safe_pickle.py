"""Pickles of other people's data without running any code in them.

An unpickler that builds arrays, sparse matrices, torch's tensors (as arrays, without torch) and inert stand-ins for
chumpy's objects, and nothing else: a file that names any other class is refused.
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from dexhot.errors import FileFormatError

# module, name of what a pickle may build -> where it is now
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"): ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"): ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("scipy.sparse.csc", "csc_matrix"): ("scipy.sparse", "csc_matrix"),
    ("scipy.sparse._csc", "csc_matrix"): ("scipy.sparse", "csc_matrix"),
    ("scipy.sparse.csr", "csr_matrix"): ("scipy.sparse", "csr_matrix"),
    ("scipy.sparse._csr", "csr_matrix"): ("scipy.sparse", "csr_matrix"),
    ("copy_reg", "_reconstructor"): ("copyreg", "_reconstructor"),
    ("copyreg", "_reconstructor"): ("copyreg", "_reconstructor"),
    ("__builtin__", "object"): ("builtins", "object"),
    ("builtins", "object"): ("builtins", "object"),
    ("_codecs", "encode"): ("_codecs", "encode"),
}
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
}
DAMAGED = (ValueError, KeyError, TypeError, IndexError, EOFError, AttributeError, struct.error, pickle.UnpicklingError)


class Inert:
    """Stand-in for any class of chumpy: stores its state, does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple):
            state = next((part for part in state if isinstance(part, dict)), {})
        self.__dict__.update(state if isinstance(state, dict) else {})


class SafeUnpickler(pickle.Unpickler):
    """Builds what is allowed; raises UnpicklingError for anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "chumpy":
            return Inert
        if module == "collections" and name == "OrderedDict":
            return OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) in TORCH:
            return TORCH[module, name]
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which no such file needs")
        module, name = ALLOWED[module, name]
        if module.startswith("numpy._core") and np.lib.NumpyVersion(np.__version__) < "2.0.0":
            module = module.replace("numpy._core", "numpy.core")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """A storage of torch: ("storage", type, key, device, size, ...)."""
        return pid[1], str(pid[2])


def load_pickle(stream: IO[bytes]) -> Any:
    """The next object of an open file. Raises UnpicklingError and whatever a damaged pickle raises."""
    return SafeUnpickler(stream, encoding="latin1").load()


def read_pickle(path: Path) -> Any:
    """The object in a file. Raises FileFormatError for a missing, damaged or refused one."""
    try:
        with open(path, "rb") as stream:
            return load_pickle(stream)
    except (OSError, *DAMAGED) as e:
        raise FileFormatError(f"{path} was refused: {e}. Download the file again.") from e


def read_model(
    path: Path, what: str, needed: Sequence[str], also: Sequence[str], largest: int, site: str
) -> dict[str, np.ndarray]:
    """The arrays `needed` (and those of `also` that are there) of a model's pickle such as MANO's, `what`, chumpy's
    included. Raises FileFormatError, naming the site to get it from."""
    if path.stat().st_size > largest:
        said = f"{path.stat().st_size / 2**20:.0f} MB; a {what} file has at most {largest / 2**20:.0f}."
        raise FileFormatError(f"{path} has {said}")
    try:
        with open(path, "rb") as stream:
            raw = load_pickle(stream)
    except Exception as e:  # a damaged pickle may raise anything
        raise FileFormatError(f"{path} was refused: {e}. Get the file again from {site}.") from e
    lacking = [name for name in needed if not isinstance(raw, dict) or name not in raw]
    if lacking:
        raise FileFormatError(f"{path} is not a {what} file: it lacks {', '.join(lacking)}.")
    try:
        return {name: _numbers(raw[name]) for name in (*needed, *(name for name in also if name in raw))}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as e:
        raise FileFormatError(f"{path} is not a {what} file ({type(e).__name__}: {e}).") from e


def _numbers(value: Any) -> np.ndarray:
    if isinstance(value, Inert):
        state = value.__dict__
        if "a" in state and "idxs" in state:  # chumpy.reordering.Select
            chosen: np.ndarray = _numbers(state["a"]).ravel()[np.asarray(state["idxs"])]
            return np.reshape(chosen, state["preferred_shape"]) if "preferred_shape" in state else chosen
        if "x" in state:
            return _numbers(state["x"])
        raise ValueError(f"an object of chumpy with {', '.join(sorted(state)) or 'no state'}")
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def read_object_npz(path: Path) -> dict[str, Any]:
    """A .npz whose entries are arrays, or Python objects in an array of one. Raises FileFormatError."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    found[name.removesuffix(".npy")] = _entry(io.BytesIO(stream.read()))
    except (OSError, zipfile.BadZipFile, *DAMAGED) as e:
        raise FileFormatError(f"{path} was refused: {e}. Download the file again.") from e
    return found


def _entry(stream: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    dtype = read(stream)[2]
    value = load_pickle(stream) if dtype.hasobject else None
    if value is None:
        stream.seek(0)
        value = np.lib.format.read_array(stream, allow_pickle=False)
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _torch_storage(data: bytes) -> np.ndarray:
    """The numbers in what `torch.save` writes of one storage in its older format."""
    stream = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol, facts about the machine
        load_pickle(stream)
    dtype, key = load_pickle(stream)
    if load_pickle(stream) != [key]:
        raise ValueError("a tensor's storage is damaged")
    (count,) = struct.unpack("<q", stream.read(8))
    return np.frombuffer(stream.read(count * np.dtype(dtype).itemsize), dtype, count)


def _torch_tensor(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """An array of a tensor's numbers. Raises ValueError where it reaches beyond them."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    beyond = 0 not in size and (last >= len(storage) or np.prod(size, dtype=float) > len(storage))
    if min((offset, *size, *stride), default=0) < 0 or beyond:
        raise ValueError("a tensor reaches beyond its storage")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), steps).copy()


TORCH = {
    ("torch._utils", "_rebuild_tensor_v2"): _torch_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch.storage", "_load_from_bytes"): _torch_storage,
}
