"""The clips that controllers are evaluated on, as references."""

from dexhot.data.types import Reference
from dexhot.datasets import list_datasets, split_clips, splits
from dexhot.datasets.human_clip import human_clip
from dexhot.errors import NotFoundError
from dexhot.evaluation.options import EvaluationOptions
from dexhot.metrics.task_scores import Task, task_points
from dexhot.retargeting.retarget import retarget, retarget_options
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup


def dataset_splits(dataset: str) -> dict[str, list[str]]:
    """The splits of a dataset. Raises NotFoundError for one without any."""
    if not (named := splits(dataset)):
        known = [name for name in (*list_datasets(), "parametric") if splits(name)]
        raise NotFoundError("dataset with splits", dataset, known, "`dexhot datasets get` imports one.")
    return named


def clips_named(split: str, chosen: list[str] | None, splits: dict[str, list[str]]) -> list[str]:
    """The clips of a split ("test": all test splits), or those of them that are chosen. Raises NotFoundError, or
    DexhotError for a split without clips."""
    clips = split_clips(split, splits)
    for clip in chosen or ():
        if clip not in clips:
            other = "train" if split == "test" else "test"
            elsewhere = any(clip in names for name, names in splits.items() if name.partition("_")[0] == other)
            hint = f"It is a {other} clip: --split {other}." if elsewhere else ""
            raise NotFoundError(f"clip of the {split} split", clip, clips, hint)
    return chosen or clips


def clip_reference(clip: str, options: EvaluationOptions) -> tuple[Reference, Setup]:
    """A clip of the dataset, retargeted for the hand and its servo profile."""
    trajectory, asset = human_clip(f"{options.dataset}/{clip}")
    setup = Setup(load_hand(options.hand), asset, load_physics(profile=options.profile))
    return retarget(trajectory, setup.hand, asset, retarget_options(options.profile, options.plain)), setup


def clip_task(job: tuple[str, EvaluationOptions]) -> Task:
    """A clip of the dataset as a task of eq. 15-18."""
    reference, setup = clip_reference(*job)
    return reference, task_points(setup.asset)
