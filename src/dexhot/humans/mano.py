"""MANO from the user's file (mano.is.tue.mpg.de, licence of its own): MANO_RIGHT.pkl, MANO_LEFT.pkl, never shipped.

The file is a Python 2 pickle with chumpy arrays in it. It is read by an unpickler that builds arrays, sparse matrices
and inert stand-ins for chumpy's objects, and nothing else: a file that names any other class is refused.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.humans.skin import JOINTS, PARENTS, PosePrior, SkinnedHand
from dexhot.paths import config_dir

FILES = {"right": "MANO_RIGHT.pkl", "left": "MANO_LEFT.pkl"}
NEEDED = (
    "v_template", "shapedirs", "posedirs", "weights", "f", "kintree_table", "J_regressor", "hands_components",
    "hands_mean",
)  # fmt: skip
TIPS = np.array([745, 317, 444, 556, 673])  # vertices: thumb, index, middle, ring, little (smplx's)
LARGEST = 64 * 2**20  # bytes; MANO's files have 4 MB
LIMIT_DEVIATIONS = 4.0  # of its pose prior: MANO has no joint limits

# module, name of what a MANO file may build -> where it is now
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


class _Chumpy:
    """Stand-in for any class of chumpy: stores its state, does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple):
            state = next((part for part in state if isinstance(part, dict)), {})
        self.__dict__.update(state if isinstance(state, dict) else {})


class _ManoUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "chumpy":
            return _Chumpy
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which no MANO file needs")
        module, name = ALLOWED[module, name]
        if module.startswith("numpy._core") and np.lib.NumpyVersion(np.__version__) < "2.0.0":
            module = module.replace("numpy._core", "numpy.core")
        return super().find_class(module, name)


def mano_file(side: str) -> Path:
    """Path for the user's MANO file of a side."""
    return config_dir() / "mano" / FILES[side]


def mano(side: str = "right", path: Path | None = None) -> SkinnedHand:
    """The MANO hand of a side from `path`, by default `mano_file`; mirrored if only the other side's file exists.

    Raises FileFormatError for a missing file, or one that is not a MANO file.
    """
    if path is not None:
        return read_mano(path, side)
    other = "left" if side == "right" else "right"
    if not mano_file(side).is_file() and mano_file(other).is_file():
        return read_mano(mano_file(other), other).mirrored()
    return read_mano(mano_file(side), side)


def missing_sentence() -> str:
    """Instructions for a user without a MANO file."""
    return (
        f"put {FILES['right']} (and {FILES['left']}) of https://mano.is.tue.mpg.de (registration, non-commercial "
        f"licence) into {mano_file('right').parent}; the open hand needs no file."
    )


def read_mano(path: Path, side: str) -> SkinnedHand:
    """Read a MANO pickle without executing any code in it."""
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist: {missing_sentence()}")
    if path.stat().st_size > LARGEST:
        raise FileFormatError(f"{path} has {path.stat().st_size / 2**20:.0f} MB; a MANO file has about 4.")
    try:
        with open(path, "rb") as stream:
            raw = _ManoUnpickler(stream, encoding="latin1").load()
    except Exception as e:  # a damaged pickle may raise anything
        raise FileFormatError(f"{path} was refused: {e}. Get the file again from https://mano.is.tue.mpg.de.") from e
    lacking = [name for name in NEEDED if not isinstance(raw, dict) or name not in raw]
    if lacking:
        raise FileFormatError(f"{path} is not a MANO file: it lacks {', '.join(lacking)}.")
    try:
        known = (*NEEDED, *(("hands_coeffs",) if "hands_coeffs" in raw else ()))
        return _hand({name: _array(raw[name]) for name in known}, side)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, np.linalg.LinAlgError) as e:
        raise FileFormatError(f"{path} is not a MANO file ({type(e).__name__}: {e}).") from e


def _array(value: Any) -> np.ndarray:
    if isinstance(value, _Chumpy):
        state = value.__dict__
        if "a" in state and "idxs" in state:  # chumpy.reordering.Select
            chosen: np.ndarray = _array(state["a"]).ravel()[np.asarray(state["idxs"])]
            return np.reshape(chosen, state["preferred_shape"]) if "preferred_shape" in state else chosen
        if "x" in state:
            return _array(state["x"])
        raise ValueError(f"an object of chumpy with {', '.join(sorted(state)) or 'no state'}")
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def _hand(parts: dict[str, np.ndarray], side: str) -> SkinnedHand:
    parents = parts["kintree_table"][0].astype(np.int64)
    if parents.shape != (JOINTS,) or not np.array_equal(parents[1:], PARENTS[1:]):
        raise ValueError("its kinematic tree differs from MANO's")
    floats = {name: parts[name].astype(float) for name in NEEDED if name not in ("f", "kintree_table")}
    vertices, directions, regressor = floats["v_template"], floats["shapedirs"], floats["J_regressor"]
    if vertices.ndim != 2 or len(vertices) <= TIPS.max() or not all(np.isfinite(x).all() for x in floats.values()):
        raise ValueError("vertices are missing or not finite")
    faces = parts["f"].astype(np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError("faces refer to vertices that do not exist")
    return SkinnedHand(
        "mano",
        side,
        vertices,
        faces,
        directions,
        regressor @ vertices,
        np.einsum("jv,vcs->jcs", regressor, directions),
        floats["weights"],
        TIPS,
        floats["posedirs"],
        prior=_prior(floats["hands_mean"], floats["hands_components"], parts.get("hands_coeffs")),
    )


def _prior(mean: np.ndarray, components: np.ndarray, scans: np.ndarray | None) -> PosePrior:
    """MANO's own: mean, principal components, and the coefficients (N, 45) of its scans where the file has them."""
    if mean.shape != (45,) or components.shape != (45, 45):
        raise ValueError("hands_mean and hands_components must have 45 and 45x45 numbers")
    deviation = np.ones(45) if scans is None else scans.astype(float).std(axis=0)
    scaled = components * deviation[:, None]
    covariance = scaled.T @ scaled + 1e-4 * np.eye(45)
    reach = LIMIT_DEVIATIONS * np.sqrt(np.diag(covariance))
    return PosePrior(mean, covariance, scaled[:16], mean - reach, mean + reach)
