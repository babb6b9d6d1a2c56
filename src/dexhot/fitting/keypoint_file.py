"""Reads keypoint files as sightings.

One is a .npy of 3D keypoints (T, 21, 3) in m, or a .npz with `points` (T, 21, 3) m, or `pixels` (T, 21, 2)
and `camera` (4,) fx fy cx cy px; optionally `depth` (T, 21) m, `confidence` (T, 21) in [0, 1] and `time` (T,) s. Unseen
keypoints are NaN.
"""

import zipfile
from pathlib import Path

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.fitting.hand_fit import Sighting

RATE = 30.0  # of a file without times
SHAPES = {"points": (21, 3), "pixels": (21, 2), "depth": (21,), "confidence": (21,), "time": ()}


def read_keypoints(path: Path) -> tuple[list[Sighting], np.ndarray]:
    """Sightings of a keypoint file and their times (T,), s. Raises FileFormatError naming the array and its shape."""
    arrays = _arrays(path)
    if "points" not in arrays and not {"pixels", "camera"} <= set(arrays):
        raise FileFormatError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; it needs points (T, 21, 3), or pixels (T, 21, 2) and "
            "camera (4,): fx fy cx cy."
        )
    frames = len(arrays["points" if "points" in arrays else "pixels"])
    if frames < 1:
        raise FileFormatError(f"{path} has no frames.")
    for name, shape in SHAPES.items():
        if name in arrays and arrays[name].shape != (frames, *shape):
            raise FileFormatError(f"{path}: {name} has shape {arrays[name].shape}, expected {(frames, *shape)}.")
    camera = arrays.get("camera")
    if camera is not None and (camera.shape != (4,) or not np.isfinite(camera).all() or not (camera[:2] > 0).all()):
        raise FileFormatError(f"{path}: camera must be four numbers fx fy cx cy in px, fx and fy positive.")
    confidence = np.clip(np.nan_to_num(arrays.get("confidence", np.ones((frames, 21)))), 0.0, 1.0)
    for name in ("points", "pixels"):
        if name in arrays:
            seen = np.isfinite(arrays[name]).all(axis=-1)
            confidence = confidence * seen
            arrays[name] = np.where(seen[..., None], arrays[name], 0.0)
    depth = np.nan_to_num(arrays["depth"]) if "depth" in arrays else None
    found = [
        Sighting(
            confidence[t],
            arrays["points"][t] if "points" in arrays else None,
            arrays["pixels"][t] if "pixels" in arrays else None,
            None if depth is None else depth[t],
            camera,
        )
        for t in range(frames)
    ]
    return found, arrays.get("time", np.arange(frames) / RATE)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.is_file() and path.suffix == ".npz" and not zipfile.is_zipfile(path):
            raise ValueError("it is not an npz archive")  # numpy's own message is about pickle
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"points": loaded.astype(float)}
        with loaded as file:
            return {key: file[key].astype(float) for key in file if key in (*SHAPES, "camera")}
    except FileNotFoundError as e:
        raise FileFormatError(
            f"{path} does not exist; a clip's name or a keypoint file (.npy or .npz) is needed."
        ) from e
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise FileFormatError(f"{path} is not a keypoint file (.npy or .npz): {e}") from e
