"""How far test clips are from the nearest train clips (DexTrack, eq. 15)."""

from collections.abc import Callable, Sequence
from typing import Any

from dexhot.evaluation.clips import clip_task
from dexhot.evaluation.options import EvaluationOptions
from dexhot.metrics.task_scores import task_gap
from dexhot.progress import track


def split_gap(
    clips: Sequence[str],
    training: Sequence[str],
    options: EvaluationOptions,
    run: Callable[[Callable[[Any], Any], list[Any]], Any],
    failed: dict[str, str] | None = None,
) -> float:
    """Eq. 15 between clips of `options` and the training ones; each is retargeted. run(function, jobs) yields (job,
    result or exception). failed: takes the clips that raised an error, which are then left out; without it the error is
    raised."""
    wanted, tasks = list(dict.fromkeys((*clips, *training))), {}
    jobs = run(clip_task, [(clip, options) for clip in wanted])
    for (clip, _), result in track(jobs, "comparing with the train split", len(wanted)):
        if not isinstance(result, Exception):
            tasks[clip] = result
        elif failed is None:
            raise result
        else:
            failed[clip] = f"{type(result).__name__}: {result}"
    return task_gap([tasks[clip] for clip in clips if clip in tasks], [tasks[c] for c in training if c in tasks])
