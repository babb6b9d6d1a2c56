"""Expert motions of a task, and their split: half to train with, half to test."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dexhot.errors import DexhotError, FileFormatError
from dexhot.paths import cache_dir

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Experts:
    """Successful motions of one task: replayed from the reset that `seeds` gives, each reaches the goal."""

    task: str
    actions: list[np.ndarray]  # (T, A) each, of the range -1 to 1
    seeds: list[int]
    inputs: list[np.ndarray] = field(default_factory=list)  # (V, T, A) each: user inputs to choose from, or none

    def split(self, name: str) -> "Experts":
        """The first half is `train`, the second `test`."""
        if name not in SPLITS:
            raise DexhotError(f"no split {name!r} of the expert motions; one of {', '.join(SPLITS)}.")
        half = (len(self.seeds) + 1) // 2
        part = slice(0, half) if name == "train" else slice(half, None)
        return Experts(self.task, self.actions[part], self.seeds[part], self.inputs[part])


def experts_file() -> Path:
    """Where the expert motions are looked for by default."""
    return cache_dir() / "adroit" / "experts.npz"


def load_experts(task: str, path: Path | None = None) -> Experts:
    """The motions of `task` in an npz of arrays TASK/NN/actions (T, A) and TASK/NN/seed. Raises DexhotError for a
    missing file, FileFormatError for one of another layout."""
    path = path or experts_file()
    if not path.is_file():
        raise DexhotError(
            f"no expert motions at {path}: name a file (--experts FILE), an npz with TASK/NN/actions (T, A) and "
            "TASK/NN/seed, or copy it there (docs/assist.md)."
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = sorted(key.split("/")[1] for key in arrays.files if key.startswith(f"{task}/") and "seed" in key)
            actions = [np.asarray(arrays[f"{task}/{name}/actions"], float) for name in names]
            seeds = [int(arrays[f"{task}/{name}/seed"]) for name in names]
            found = sorted({key.split("/")[0] for key in arrays.files})
    except (ValueError, KeyError, OSError) as error:
        raise FileFormatError(f"{path} holds no expert motions: {error}") from error
    if len(seeds) < 2:
        raise FileFormatError(f"{path} has {len(seeds)} motions of {task}, two are needed; it has {', '.join(found)}.")
    if any(a.ndim != 2 or not np.isfinite(a).all() for a in actions):
        raise FileFormatError(f"{path}: the actions of {task} must be finite and of shape (T, A).")
    return Experts(task, actions, seeds)
