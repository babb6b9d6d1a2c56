"""What a flywheel leaves in its folder, as a benchmark reads it: controllers, what they were made for, and what came of
its last stage on fractions of its demonstrations."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.errors import FileFormatError
from dexhot_train.learners.folder import CONFIG, POLICY

DIRECT, PRIOR, PATH, GIVEN = "direct", "prior", "path", "given"  # how a result was found
WAYS = (DIRECT, PRIOR, PATH)  # of mining
FRACTION = "fraction_"
TASKS, GENERATOR = "tasks", "generator"  # folders


@dataclass(frozen=True)
class FlywheelFolder:
    """A folder of `dexhot train flywheel`, finished or not."""

    folder: Path
    stages: int
    ways: frozenset[str]
    clips: tuple[str, ...]
    command: str  # that began it, without its folder
    plain: bool = False  # its references by eq. 5-7 alone

    @property
    def done(self) -> int:
        """Stages whose controller is there."""
        return sum(self._controller(stage).is_file() for stage in range(1, self.stages + 1))

    @property
    def policy(self) -> Path | None:
        """The last stage's controller; None before it is trained."""
        path = self._controller(self.stages)
        return path if path.is_file() else None

    @property
    def fractions(self) -> dict[str, Path]:
        """FRACTION with the number -> the controller trained on that fraction."""
        files = (self.folder / f"stage{self.stages}").glob(f"{FRACTION}*/{POLICY}")
        return {path.parent.name: path for path in sorted(files)}

    @property
    def generator(self) -> Path | None:
        """The generator of its paths; None where no path was effective."""
        path = generator_file(self.folder)
        return path if path.is_file() else None

    @property
    def datasets(self) -> frozenset[str]:
        """Of its clips."""
        return frozenset(clip.partition("/")[0] for clip in self.clips if not clip.endswith(".npz"))

    def _controller(self, stage: int) -> Path:
        return self.folder / f"stage{stage}" / "controller" / POLICY


def read_flywheel(folder: Path) -> FlywheelFolder:
    """Raises FileFormatError where `folder` is none of a flywheel."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        settings: dict[str, Any] = config["settings"]
        options, clips = settings["options"], tuple(map(str, settings["clips"]))
        ways = frozenset(options.get("ways", WAYS))
        command, plain = str(config["command"]), bool(options.get("plain", False))
        return FlywheelFolder(folder, len(options["sizes"]), ways, clips, command, plain)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(f"{folder} is not a folder of `dexhot train flywheel` ({e!r}).") from e


def generator_file(folder: Path) -> Path:
    """Of a flywheel's folder."""
    return folder / GENERATOR / "generator.npz"


def nested(names: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` of `names`, in their order; fewer are always among more, whatever the order they came in."""
    drawn = np.random.default_rng([seed, *FRACTION.encode()]).permutation(sorted(names))[:count]
    chosen = {str(name) for name in drawn}
    return [name for name in names if name in chosen]


def fraction_name(fraction: float) -> str:
    """Of its folder, and of its row in the ledger."""
    return f"{FRACTION}{fraction:g}"
