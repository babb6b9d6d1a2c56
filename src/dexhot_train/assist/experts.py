"""Expert motions of a task, and their split: half to train with, half to test; and the experts as policies."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dexhot.data.files import UNREADABLE
from dexhot.errors import DexhotError, FileFormatError, absent
from dexhot.paths import cache_dir

SPLITS = ("train", "test")
LAYERS = ("in_shift", "in_scale", "w0", "b0", "w1", "b1", "w2", "b2", "out_scale", "out_shift")


@dataclass(frozen=True)
class ExpertPolicy:
    """A task's expert as a function of the state (hand_dapg's layout): two hidden layers of tanh."""

    arrays: dict[str, np.ndarray]  # LAYERS

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """States (..., S), which begin with what the environment observes -> mean actions (..., A)."""
        w = self.arrays
        seen = (states[..., : len(w["in_shift"])] - w["in_shift"]) / (w["in_scale"] + 1e-8)
        hidden = np.tanh(np.tanh(seen @ w["w0"].T + w["b0"]) @ w["w1"].T + w["b1"])
        action: np.ndarray = (hidden @ w["w2"].T + w["b2"]) * w["out_scale"] + w["out_shift"]
        return action

    @property
    def digest(self) -> str:
        """Of its weights."""
        parts = b"".join(np.ascontiguousarray(self.arrays[name], float).tobytes() for name in LAYERS)
        return hashlib.sha256(parts).hexdigest()[:16]


@dataclass(frozen=True)
class Experts:
    """Successful motions of one task: replayed from the reset that `seeds` gives, each reaches the goal."""

    task: str
    actions: list[np.ndarray]  # (T, A) each, of the range -1 to 1
    seeds: list[int]
    inputs: list[np.ndarray] = field(default_factory=list)  # (V, T, A) each: user inputs to choose from, or none
    policy: ExpertPolicy | None = None  # answers for states off the motions, in place of these

    def split(self, name: str) -> "Experts":
        """The first half is `train`, the second `test`."""
        if name not in SPLITS:
            raise DexhotError(f"no split {name!r} of the expert motions; one of {', '.join(SPLITS)}.")
        half = (len(self.seeds) + 1) // 2
        part = slice(0, half) if name == "train" else slice(half, None)
        return Experts(self.task, self.actions[part], self.seeds[part], self.inputs[part], self.policy)


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
    except UNREADABLE as error:
        raise FileFormatError(
            f"{path} holds no expert motions, or is damaged; give an npz with TASK/NN/actions (T, A) and TASK/NN/seed."
        ) from error
    if len(seeds) < 2:
        raise FileFormatError(f"{path} has {len(seeds)} motions of {task}, two are needed; it has {', '.join(found)}.")
    if any(a.ndim != 2 or not np.isfinite(a).all() for a in actions):
        raise FileFormatError(f"{path}: the actions of {task} must be finite and of shape (T, A).")
    return Experts(task, actions, seeds)


def load_expert_policy(task: str, path: Path) -> ExpertPolicy:
    """The policy of `task` in an npz of arrays TASK/LAYER. Raises FileFormatError for a file without it."""
    if not path.is_file():
        raise FileFormatError(absent(path))
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[f"{task}/{name}"], float) for name in LAYERS}
    except UNREADABLE as error:
        raise FileFormatError(
            f"{path} holds no expert policy of {task}; an npz with {task}/w0 ... is needed (docs/assist.md)."
        ) from error
    sizes = [found[name].shape for name in ("w0", "w1", "w2")]
    chained = all(len(s) == 2 for s in sizes) and sizes[0][0] == sizes[1][1] and sizes[1][0] == sizes[2][1]
    fits = chained and len(found["in_shift"]) == sizes[0][1] and len(found["out_shift"]) == sizes[2][0]
    if not fits or not all(np.isfinite(x).all() for x in found.values()):
        raise FileFormatError(f"{path}: the layers of {task} are not finite, or do not fit each other.")
    return ExpertPolicy(found)
