"""Jobs of the curriculum: in this process, in a pool, or on Ray."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dexhot_train.mining.executor import in_turn, run_jobs, succeeded


def results_of(
    function: Callable[[Any], Any], jobs: list[Any], workers: int = 0, executor: str = "process"
) -> Iterator[tuple[Any, Any]]:
    """(job, result) as they come; one worker is this process. Raises what a job raises; and KilledError for a
    worker that was killed, which is no verdict on its job."""
    if workers == 1 and executor == "process":
        yield from in_turn(function, jobs)
    else:
        yield from succeeded(partial(run_jobs, workers=workers, executor=executor), function, jobs)
