"""A run of the flywheel: its sizes and budgets, and what all its stages share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dexhot_train.curriculum.flywheel_folder import TASKS, WAYS, generator_file
from dexhot_train.curriculum.generator import GeneratorOptions
from dexhot_train.curriculum.homotopy import HomotopyOptions
from dexhot_train.curriculum.path_search import task_of
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.learners.tracker import TrackerOptions


@dataclass(frozen=True)
class FlywheelOptions:
    """Sizes and budgets; changed ones are refused when a run resumes."""

    sizes: tuple[int, ...] = (8, 8, 16)  # tasks of each stage; the paper has 100, 100 and 200
    reward: float = 50.0  # smallest return of a demonstration that supervises
    trials: int = 4  # worlds per remaining task in which the controller's error is measured
    seed: int = 0
    hand: str = "leap_right"  # of clips that are no files
    profile: str | None = None  # of the finger servos; None: the hand's own, or that of a reference's file
    plain: bool = False  # references by eq. 5-7 alone, of clips and of files
    ways: tuple[str, ...] = WAYS  # of mining a task, from the second stage on
    most: int = 0  # demonstrations that supervise a stage's controller, drawn by the seed; 0: all
    homotopy: HomotopyOptions = field(default_factory=HomotopyOptions)
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    generator: GeneratorOptions = field(default_factory=GeneratorOptions)


@dataclass(frozen=True)
class FlywheelRun:
    """The folder of a run, and how it is carried out."""

    folder: Path
    options: FlywheelOptions
    command: str = ""  # that began it
    workers: int = 0
    executor: str = "process"
    report: Callable[[str], object] = lambda line: None

    def stage(self, number: int) -> Path:
        """Folder of a stage, from 1."""
        return self.folder / f"stage{number}"

    def task(self, clip: str) -> HomotopyTask:
        """The task of a clip."""
        o = self.options
        return task_of(clip, self.folder / TASKS, o.profile, o.hand, o.plain)

    @property
    def generator(self) -> Path | None:
        """The generator of paths; None before it is trained."""
        path = generator_file(self.folder)
        return path if path.is_file() else None
