"""Feedback on the playback of `planned`: one network over many clips, distilled from the sampling expert.

1. Each clip has a plan: a Demonstration's actions, or the plan that `planned` chooses for a Reference.
2. In round 0 the plan is played back in perturbed worlds, and the expert is asked in the states that this visits. Its
   answers, averaged over seeds, less the playback are the labels; they are zero where no answer is better than the
   plan, and away from the grasp.
3. In each further round (DAgger) the network acts; all answers so far are cloned anew.

What it observes and what is held out is as for a generalist. The last round is exported.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import a, load
from dexhot.data.types import Demonstration, PolicyCard, Reference
from dexhot.errors import FileFormatError
from dexhot.evaluation.score import to_play
from dexhot.planning.planned import Planned, PlannedOptions
from dexhot.planning.prior import unfitted
from dexhot.simulation.setup import load_setup
from dexhot.versions import versions
from dexhot_train.learners.asking import AskingLesson, answered
from dexhot_train.learners.generalist import Generalist, GeneralistOptions, card_for, parted
from dexhot_train.learners.imitation import clone
from dexhot_train.learners.lessons import Spent, cached, held_out, teacher_survives
from dexhot_train.mining.executor import Run, succeeded
from dexhot_train.network import PolicyNetwork, TorchNetwork
from dexhot_train.terms import carried_terms, sources


@dataclass(frozen=True)
class FeedbackOptions(GeneralistOptions):
    """Budget of one feedback network."""

    rounds: int = 1  # of DAgger, after the playback's
    rollouts: int = 160  # of `planned`, for a clip that has no plan


class NoFeedback:
    """The feedback that adds nothing."""

    def __init__(self, card: PolicyCard):
        self.card = card

    def __call__(self, observation: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return residual


def train_feedback(
    files: Sequence[Path],
    run: Run,
    options: FeedbackOptions | None = None,
    folder: Path | None = None,
    command: str = "",
    report: Callable[[str], None] = lambda what: None,
) -> Generalist:
    """Train one on clips, all of one hand and servo profile; `folder`: of the steps' files, which resume an interrupted
    training. Raises DexhotError as train_generalist does."""
    o = options or FeedbackOptions()
    demonstrations, spent = _with_plans(files, run, o, folder, report)
    card, taught, tried = card_for(demonstrations, "planned"), *parted(demonstrations, o)
    report(f"{len(taught)} plans are shown, {len(tried)} are held out")
    data: list[tuple[np.ndarray, np.ndarray]] = []
    rows: list[dict[str, Any]] = []
    trials: list[dict[str, Any]] = []
    student: PolicyNetwork | None = None
    for k in range(o.rounds + 1):
        improved = []
        for d in taught:
            actor = NoFeedback(card) if student is None else TorchNetwork(student, card)
            answers = answered(_lesson(d.reference, o, folder), card, d.actions, actor, k, run)
            data.append((answers.seen, answers.wanted))
            spent += answers.spent
            improved.append(answers.improved)
        seen, wanted = (np.concatenate(part) for part in zip(*data))
        student = clone(card, seen, wanted, o.fit, o.seed + k)
        trials = [_tried(_lesson(d.reference, o, folder), card, d, student) for d in tried]
        spent += Spent(2 * o.trials * sum(len(d.actions) for d in tried))
        means = {name: float(np.mean([row[name] for row in trials])) for name in ("network", "playback")}
        rows.append({"round": k, "frames": len(seen), "expert_improved": float(np.mean(improved))} | means)
        report(f"round {k}: on held-out clips {means['network']:.2f}, the playback alone {means['playback']:.2f}")
    assert student is not None
    card.training_data = [d.reference.name for d in taught]
    card.terms = carried_terms(sources(demonstrations), "policy")
    card.scores = {"held_out": means, "held_out_clips": trials, "rounds": rows}
    card.provenance = {"command": command, "seed": o.seed, "options": asdict(o), "control_steps": spent.steps}
    card.provenance |= {"seconds_asking": spent.seconds, "versions": versions()}
    return Generalist(student, card)


def planned_targets(job: tuple[AskingLesson, int]) -> tuple[Any, ...]:
    """The targets (T, 6+n) that `planned` chooses within so many rollouts, the fraction of worlds that it expects to
    survive, and control steps."""
    lesson, rollouts = job
    return cached(lesson, "plan", lambda: _plan(lesson, rollouts))


def _plan(lesson: AskingLesson, rollouts: int) -> tuple[np.ndarray, float, int]:
    reference = lesson.reference
    options = PlannedOptions(planning_rollouts=rollouts, planning_limit=0.0, seed=lesson.options.seed)
    controller = Planned(reference, lesson.setup, unfitted(reference.q.shape[1] - 6), options, threads=1)
    chosen = controller.plan(reference.object_pose[0])
    return chosen.targets, chosen.expected, chosen.control_steps


def _with_plans(
    files: Sequence[Path], run: Run, o: FeedbackOptions, folder: Path | None, report: Callable[[str], None]
) -> tuple[list[Demonstration], Spent]:
    """Each file as a Demonstration whose actions are its plan, and what was simulated for them; a reference for which
    `planned` would refuse is left out."""
    items: list[Any] = [load(path) for path in files]
    for path, item in zip(files, items):
        if not isinstance(item, Reference | Demonstration):
            raise FileFormatError(f"{path} holds {a(type(item))}; give References or Demonstrations.")
    jobs = [(_lesson(item, o, folder), o.rollouts) for item in items if isinstance(item, Reference)]
    plans = {lesson.reference.name: result for (lesson, _), result in succeeded(run, planned_targets, jobs)}
    found, spent, limit = [], Spent(0), PlannedOptions().planning_limit
    for item in items:
        if isinstance(item, Demonstration):
            found.append(item)
            spent += Spent(int(item.provenance.get("control_steps", 0)))
            continue
        targets, expected, steps = plans[item.name]
        spent += Spent(int(steps))
        if expected < limit:
            report(f"{item.name}: left out, its plan is expected to survive {expected:.2f} of the worlds")
            continue
        found.append(to_play(item, targets, load_setup(item)))
    return found, spent


def _tried(
    lesson: AskingLesson, card: PolicyCard, demonstration: Demonstration, student: PolicyNetwork
) -> dict[str, float | str]:
    """Fractions of one held-out clip's worlds in which the plan succeeds with the network, and alone."""
    return {
        "clip": demonstration.reference.name,
        "network": held_out(lesson, card, student, demonstration.actions),
        "playback": teacher_survives(lesson, demonstration.actions),
    }


def _lesson(reference: Reference, o: FeedbackOptions, folder: Path | None) -> AskingLesson:
    steps = folder / reference.name.replace("/", "_") if folder else Path()
    return AskingLesson(reference, load_setup(reference), o, steps)
