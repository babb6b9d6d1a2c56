"""What the path generator learns from: vectors of the tasks in folders, and of the pairs of effective paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import kind_of, load
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError, FileFormatError
from dexhot.simulation.setup import load_setup
from dexhot_train.curriculum.generator import task_vector
from dexhot_train.curriculum.ledger import LEDGER
from dexhot_train.curriculum.path_search import pairs
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.curriculum.variations import require_training

KINDS = ("dexhot/reference", "dexhot/demonstration")


def task_vectors(folders: Sequence[Path]) -> np.ndarray:
    """(N, D) of every reference and demonstration in the folders. Raises DexhotError for tasks of different hands."""
    files = [path for folder in folders for path in sorted(folder.glob("*.npz")) if kind_of(path) in KINDS]
    return _same_size([vector_of(path) for path in files])


def pair_vectors(folders: Sequence[Path]) -> np.ndarray:
    """(P, 2, D) of the effective paths in folders of `dexhot train homotopy`. Raises FileFormatError."""
    for folder in folders:
        if not (folder / LEDGER).is_file():
            raise FileFormatError(f"{folder} has no {LEDGER}; give a folder that `dexhot train homotopy` wrote.")
    found = [vector_of(path) for folder in folders for pair in pairs(folder) for path in pair]
    vectors = _same_size(found)
    return vectors.reshape(len(found) // 2, 2, -1) if len(found) else np.zeros((0, 2, 0))


def vector_of(path: Path) -> np.ndarray:
    """Task vector of a reference's or a demonstration's file. Raises DexhotError for a clip of a test split."""
    item: Any = load(path)
    reference: Reference = item.reference if isinstance(item, Demonstration) else item
    require_training(reference.name, reference)
    return task_vector(HomotopyTask(reference, load_setup(reference)))


def _same_size(vectors: list[np.ndarray]) -> np.ndarray:
    if len({len(vector) for vector in vectors}) > 1:
        raise DexhotError("tasks of hands with different numbers of joints do not fit one generator; give one hand's.")
    return np.stack(vectors) if vectors else np.zeros((0, 0))
