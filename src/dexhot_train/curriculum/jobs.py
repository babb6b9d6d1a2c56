"""Jobs of the curriculum: in this process, in a pool, or on Ray."""

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from dexhot.errors import DexhotError
from dexhot_train.mining.executor import KILLED, run_jobs


def results_of(
    function: Callable[[Any], Any], jobs: list[Any], workers: int = 0, executor: str = "process"
) -> Iterator[tuple[Any, Any]]:
    """(job, result) as they come; one worker is this process. Raises what a job raises; and DexhotError for a worker
    that was killed, which is no verdict on its job."""
    if workers == 1 and executor == "process":
        for job in jobs:
            yield job, function(job)
        return
    for job, result in run_jobs(function, jobs, workers, executor):
        if isinstance(result, BrokenProcessPool):
            raise DexhotError(KILLED)
        if isinstance(result, Exception):
            raise result
        yield job, result
