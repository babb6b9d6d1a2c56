"""Run one function over many jobs, in local processes or with Ray on many machines; results in order of completion."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from dexhot.errors import DexhotError, MissingExtraError

EXECUTORS = ("process", "ray")
Run = Callable[[Callable[[Any], Any], list[Any]], Any]  # (function, jobs) -> pairs of job and result or exception
KILLED = "a worker was killed (out of memory?): run the same command again with fewer --workers; it goes on from here."


class KilledError(DexhotError, BrokenProcessPool):
    """A worker was killed: no verdict on its job, and none on those that waited for it."""


def run_jobs(
    function: Callable[[Any], Any], jobs: list[Any], workers: int = 0, executor: str = "process"
) -> Iterator[tuple[Any, Any]]:
    """Yield (job, result) in the order of completion; a job that raised yields its exception as the result, one whose
    worker was killed, or that waited for it, a KilledError.

    workers: local processes (0: one per core). `function` must be importable: it runs in fresh interpreters, each with
        one thread for linear algebra, so that clips share the cores. Ray takes its cluster from RAY_ADDRESS.
    """
    if executor not in EXECUTORS:
        raise DexhotError(f"no executor {executor!r}; one of {', '.join(EXECUTORS)}.")
    yield from _run_ray(function, jobs) if executor == "ray" else _run_processes(function, jobs, workers)


def succeeded(run: Run, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """(job, result) of jobs that must all succeed; raises the exception of one that does not."""
    for job, result in run(function, waiting) if (waiting := list(jobs)) else ():
        if isinstance(result, Exception):
            raise result
        yield job, result


def finish(
    run: Run,
    function: Callable[[Any], Any],
    jobs: Iterable[Any],
    report: Callable[[str], None],
    done: str,
    every: int = 20,
) -> None:
    """Run jobs that must all succeed and leave their results in files; says how many "are `done`" now and then."""
    waiting = list(jobs)
    for k, _ in enumerate(succeeded(run, function, waiting), 1):
        if k % every == 0:
            report(f"{k} of {len(waiting)} are {done}")


def in_turn(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """(job, result), one after the other in this process: for work that is one of many jobs itself."""
    for job in jobs:
        yield job, function(job)


def _run_processes(function: Callable[[Any], Any], jobs: list[Any], workers: int) -> Iterator[tuple[Any, Any]]:
    workers = min(workers or os.cpu_count() or 1, max(1, len(jobs)))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        futures = {pool.submit(function, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                error = future.exception()
                killed = isinstance(error, BrokenProcessPool)  # whose own words are of the pool, not of what to do
                yield futures[future], KilledError(KILLED) if killed else error or future.result()
        except (GeneratorExit, KeyboardInterrupt):
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_ray(function: Callable[[Any], Any], jobs: list[Any]) -> Iterator[tuple[Any, Any]]:
    try:
        import ray
    except ImportError as e:
        raise MissingExtraError("--executor ray", "train") from e
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    remote = ray.remote(num_cpus=1)(function)
    pending = {remote.remote(job): job for job in jobs}
    while pending:
        (done,), _ = ray.wait(list(pending), num_returns=1)
        job = pending.pop(done)
        try:
            yield job, ray.get(done)
        except ray.exceptions.RayTaskError as e:
            yield job, e.cause
        except ray.exceptions.RayError as e:  # its worker or machine is gone
            yield job, KilledError(str(e))


def _one_thread() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
