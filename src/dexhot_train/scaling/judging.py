"""Networks and object-relative replay, judged clip by clip in the same worlds."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dexhot.control.policy import OnnxNetwork
from dexhot.data.files import jsonable, load, save, write_text
from dexhot.data.types import Reference
from dexhot.datasets import split_clips, splits
from dexhot.datasets.retargeted import retargeted_clip
from dexhot.errors import DexhotError
from dexhot.evaluation.motions import MOTIONS
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.verdicts import judge_motion, judge_policy
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.setup import load_setup
from dexhot_train.curriculum.data_engine import EngineOptions
from dexhot_train.mining.executor import Run, finish
from dexhot_train.scaling.cloning import network_file
from dexhot_train.scaling.options import ScalingOptions

HELD_OUT, TEST = "held-out", "test"  # what is judged on
REPLAY = "replay"  # the row beside


@dataclass(frozen=True)
class Judging:
    """One network, or replay, to judge on one clip."""

    row: str
    split: str
    clip: str
    made_for: EngineOptions
    trials: int
    folder: Path

    @property
    def out(self) -> Path:
        """File of the verdict."""
        return self.folder / "judged" / self.split / self.row / f"{self.clip.replace('/', '_')}.json"


def grab_test_clips() -> list[str]:
    """Of all its test splits."""
    return [f"grab/{clip}" for clip in split_clips("test", splits("grab"))]


def judge(
    split: str,
    clips: Sequence[str],
    rows: Sequence[str],
    made_for: EngineOptions,
    o: ScalingOptions,
    folder: Path,
    run: Run,
    report: Callable[[str], None],
) -> None:
    """Leave a verdict on each row, and on the replay, on each clip."""
    jobs = [Judging(row, split, clip, made_for, o.trials, folder) for clip in clips for row in (REPLAY, *rows)]
    jobs = [job for job in jobs if not job.out.is_file()]
    report(f"{split}: {len(jobs)} of {len(clips) * (1 + len(rows))} verdicts are missing")
    finish(run, judged, jobs, lambda said: report(f"{split}: {said}"), "judged")


def judged(job: Judging) -> None:
    """Judge one in the same worlds as all others; a clip that cannot be retargeted says why."""
    try:
        reference = _reference(job)
    except DexhotError as e:
        write_text(job.out, json.dumps({"absent": str(e)}) + "\n")
        return
    setup = load_setup(reference)
    simulator = floating_simulator(reference, setup)
    if job.row == REPLAY:
        motion = MOTIONS[REPLAY](reference, setup, EvaluationOptions())
        verdict = judge_motion(reference, motion, simulator, setup, job.trials)
    else:
        network = OnnxNetwork(network_file(job.folder, job.row))
        verdict = judge_policy(reference, network, simulator, setup, job.trials)
    write_text(job.out, json.dumps(verdict, default=jsonable) + "\n")


def _reference(job: Judging) -> Reference:
    """Of a clip, retargeted once."""
    path = job.folder / "references" / f"{job.clip.replace('/', '_')}.npz"
    if path.is_file():
        return load(path, Reference)
    reference, _ = retargeted_clip(job.clip, job.made_for.hand, job.made_for.profile)
    save(reference, path)
    return reference
