"""What of a set of demonstrations is trained for the curve."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dexhot.errors import FileFormatError
from dexhot_train.curriculum.data_engine import EngineOptions
from dexhot_train.curriculum.ledger import LEDGER, read
from dexhot_train.learners.folder import CONFIG
from dexhot_train.learners.generalist import GeneralistOptions
from dexhot_train.learners.imitation import FitOptions
from dexhot_train.scaling.subsets import COUNTINGS

COUNTS = (16, 64, 256, 1024)


@dataclass(frozen=True)
class ScalingOptions:
    """What is trained; only `counts`, `countings` and `labels` may change when a run goes on."""

    counts: tuple[int, ...] = COUNTS
    countings: tuple[str, ...] = tuple(COUNTINGS)
    labels: int = 64  # demonstrations of each set of labels; 0: none is trained
    held_out: float = 0.2  # fraction of the clips
    trials: int = 10  # perturbed worlds per clip that is judged on
    worlds: int = 8  # in which a demonstration is shown
    searches: int = 3  # of which an averaged label is the mean
    asked: int = 2  # worlds per demonstration in which the expert answers
    seed: int = 0
    updates: int = 10_000  # of every network: of few demonstrations it would else be a network that is hardly trained
    fit: FitOptions = field(default_factory=lambda: GeneralistOptions().fit)


@dataclass(frozen=True)
class SetOfDemonstrations:
    """A folder of the data engine, read only."""

    folder: Path
    rows: list[dict[str, Any]]
    options: EngineOptions

    @property
    def by_name(self) -> dict[str, dict[str, Any]]:
        """Attempt -> its row."""
        return {row["name"]: row for row in self.rows}


def read_set(folder: Path) -> SetOfDemonstrations:
    """From a folder of `dexhot train demonstrations`. Raises FileFormatError where it is none."""
    if not (folder / CONFIG).is_file():
        raise FileFormatError(f"{folder} is not a set of `dexhot train demonstrations`: it has no {CONFIG}.")
    rows = read(folder / LEDGER)
    try:
        made = json.loads((folder / CONFIG).read_text())["settings"]["options"]
        options = EngineOptions(**made | {"kinds": tuple(made["kinds"])})
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(f"{folder} is not a set of `dexhot train demonstrations` ({e}).") from e
    return SetOfDemonstrations(folder, rows, options)
