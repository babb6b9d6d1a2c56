"""MANO from the user's file (mano.is.tue.mpg.de, licence of its own): MANO_RIGHT.pkl, MANO_LEFT.pkl, never shipped.

The file is a Python 2 pickle with chumpy arrays in it, read by humans/safe_pickle.py without running code in it.
"""

from pathlib import Path

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.humans.model_files import mano_file, missing_mano
from dexhot.humans.safe_pickle import read_model
from dexhot.humans.skin import JOINTS, MIRRORED_POINT, PARENTS, PosePrior, SkinnedHand, model_faces

NEEDED = (
    "v_template", "shapedirs", "posedirs", "weights", "f", "kintree_table", "J_regressor", "hands_components",
    "hands_mean",
)  # fmt: skip
TIPS = np.array([745, 317, 444, 556, 673])  # vertices: thumb, index, middle, ring, little (smplx's)
LARGEST = 64 * 2**20  # bytes; MANO's files have 4 MB
LIMIT_DEVIATIONS = 4.0  # of its pose prior: MANO has no joint limits


def mano(side: str = "right", path: Path | None = None, template: np.ndarray | None = None) -> SkinnedHand:
    """The MANO hand of a side from `path`, by default `mano_file`; mirrored if only the other side's file exists.

    `template`: vertices (778, 3) m of one person's hand in place of the mean one. Raises FileFormatError for a missing
    file, or one that is not a MANO file.
    """
    if path is not None:
        return read_mano(path, side, template)
    other = "left" if side == "right" else "right"
    if not mano_file(side).is_file() and mano_file(other).is_file():
        flipped = None if template is None else template * MIRRORED_POINT
        return read_mano(mano_file(other), other, flipped).mirrored()
    return read_mano(mano_file(side), side, template)


def mano_pca(side: str, path: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean (45,) and principal components (45, 45) of a side's finger angles, rad, as datasets use them. Raises
    FileFormatError."""
    parts = _read_parts(path or mano_file(side))
    return parts["hands_mean"].astype(float), parts["hands_components"].astype(float)


def read_mano(path: Path, side: str, template: np.ndarray | None = None) -> SkinnedHand:
    """Read a MANO pickle without executing any code in it; `template` as in `mano`."""
    parts = _read_parts(path)
    if template is not None:
        if template.shape != parts["v_template"].shape:
            raise FileFormatError(
                f"a person's hand for MANO has {parts['v_template'].shape} vertices, not {template.shape}."
            )
        parts["v_template"] = template
    try:
        return _hand(parts, side)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, np.linalg.LinAlgError) as e:
        raise FileFormatError(f"{path} is not a MANO file ({type(e).__name__}: {e}).") from e


def _read_parts(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MANO file. Raises FileFormatError."""
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist: {missing_mano()}")
    return read_model(path, "MANO", NEEDED, ("hands_coeffs",), LARGEST, "https://mano.is.tue.mpg.de")


def _hand(parts: dict[str, np.ndarray], side: str) -> SkinnedHand:
    parents = parts["kintree_table"][0].astype(np.int64)
    if parents.shape != (JOINTS,) or not np.array_equal(parents[1:], PARENTS[1:]):
        raise ValueError("its kinematic tree differs from MANO's")
    floats = {name: parts[name].astype(float) for name in NEEDED if name not in ("f", "kintree_table")}
    vertices, directions, regressor = floats["v_template"], floats["shapedirs"], floats["J_regressor"]
    if vertices.ndim != 2 or len(vertices) <= TIPS.max() or not all(np.isfinite(x).all() for x in floats.values()):
        raise ValueError("vertices are missing or not finite")
    faces = model_faces(parts["f"], len(vertices))
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
