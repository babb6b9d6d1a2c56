"""Which mutants have been tried, kept in cosmic-ray's own session files, and the trial of those that have not."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

from tools.mutants.mutate import Mutant, changed_lines, mutated
from tools.mutants.table import Table
from tools.mutants.trial import Trial, copy_of, start, write

SPARE, FACTOR = 10.0, 5.0  # a mutant may use so many seconds, and so many times what its tests use without it
Job = tuple[Mutant, str, str, tuple[str, ...], str]  # its module's text, name of its log, its tests, their digest


def end_all(running: list[tuple[Trial, Path, Job]]) -> None:
    """Nothing goes on in a copy that is about to be removed."""
    for trial, *_ in running:
        trial.end()


@dataclass(frozen=True)
class Outcome:
    """Of one mutant."""

    mutant: Mutant
    before: str  # the line, and what it became
    after: str
    killed: bool
    reason: str = ""  # why it is equivalent, where it is listed as such


class Session:
    """The mutants of one package in `path`. A mutant's record is found by its module's mutated text: any change of the
    module has it tried again. One that survived is tried again when its tests have changed."""

    def __init__(self, table: Table, path: Path, jobs: int = 1):
        self.table, self.path, self.jobs = table, path, jobs

    def run(self, chosen: list[Mutant]) -> Iterator[Outcome]:
        """Outcomes in the order in which they are known. Raises RuntimeError where tests fail without any mutant."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with use_db(str(self.path), WorkDB.Mode.create) as database:
            known = {item.job_id: result for item, result in database.completed_work_items}
            items = {item.job_id for item in database.work_items}
            pending = []
            for mutant in chosen:
                text = mutated((self.table.root / mutant.module).read_text(), mutant)
                job = hashlib.sha256(f"{mutant.module}\0{text}".encode()).hexdigest()[:32]
                tests = self.table.nearest(mutant.module)
                digest, result = self.table.digest(tests), known.get(job)
                if result and (result.is_killed or result.output == digest):
                    yield self.outcome(mutant, text, result.is_killed)
                    continue
                if job not in items:
                    database.add_work_item(WorkItem.single(job, mutant.spec))
                    items.add(job)
                pending.append((mutant, text, job, tests, digest))
            for mutant, text, job, _, digest, killed in self.tried(pending):
                verdict = TestOutcome.KILLED if killed else TestOutcome.SURVIVED
                outcome = self.outcome(mutant, text, killed)
                diff = f"- {outcome.before}\n+ {outcome.after}"
                database.set_result(job, WorkResult(WorkerOutcome.NORMAL, digest, verdict, diff))
                yield outcome

    def outcome(self, mutant: Mutant, text: str, killed: bool) -> Outcome:
        before, after = changed_lines((self.table.root / mutant.module).read_text(), text)
        reason = self.table.equivalents.get((mutant.module.as_posix(), before, after), "")
        return Outcome(mutant, before, after, killed, reason)

    def tried(self, pending: list[Job]) -> Iterator[tuple[Mutant, str, str, tuple[str, ...], str, bool]]:
        """The pending ones with whether each was killed, `jobs` at a time, each in a copy of its own."""
        if not pending:
            return
        with ExitStack() as stack:
            logs = Path(stack.enter_context(TemporaryDirectory(prefix="dexhot-mutants-logs-")))
            free = [stack.enter_context(copy_of(self.table.root)) for _ in range(min(self.jobs, len(pending)))]
            seconds: dict[tuple[str, ...], float] = {}
            for copy in free:  # each copy compiles its modules here, once
                for tests in {tests for _, _, _, tests, _ in pending}:
                    seconds[tests] = max(self.unmutated(copy, tests, logs / "unmutated"), seconds.get(tests, 0.0))
            running: list[tuple[Trial, Path, Job]] = []
            waiting = list(pending)
            stack.callback(lambda: end_all(running))
            while waiting or running:
                while waiting and free:
                    copy, job = free.pop(), waiting.pop(0)
                    mutant, text, name, tests, _ = job
                    write(copy / mutant.module, text)
                    limit = SPARE + FACTOR * seconds[tests]
                    running.append((start(copy, tests, logs / name, limit), copy, job))
                done = [entry for entry in running if entry[0].poll()]
                running = [entry for entry in running if entry not in done]
                for trial, copy, job in done:
                    write(copy / job[0].module, (self.table.root / job[0].module).read_text())
                    free.append(copy)
                    yield *job, trial.status != os.EX_OK
                if not done:
                    running[0][0].rest()

    def unmutated(self, copy: Path, tests: tuple[str, ...], log: Path) -> float:
        """Seconds of processor time that these tests take. Raises RuntimeError where they fail."""
        trial = start(copy, tests, log, cpu=600.0, bytecode=True)
        if trial.wait() != os.EX_OK:
            raise RuntimeError(f"{' '.join(tests)} fail without any mutant:\n{log.read_text()}")
        return trial.cpu
