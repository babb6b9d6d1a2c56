"""DAgger's lessons (Ross et al. 2011): an actor acts in perturbed worlds, and the sampling expert is asked in the
states that it visits."""

from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np

from dexhot.control.policy import ResidualNetwork
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError
from dexhot.rollouts.network import run_network
from dexhot_train.learners.expert import ExpertOptions, SamplingExpert, queried
from dexhot_train.learners.lessons import (
    WORLD_SEED,
    Lesson,
    LessonOptions,
    Spent,
    cached,
    drawn_worlds,
    in_demonstration,
    labels_of,
    plan_of,
    relative,
    timed,
)
from dexhot_train.mining.executor import Run, succeeded


@dataclass(frozen=True)
class AskingOptions(LessonOptions):
    """How often an expert is asked, and for what."""

    stride: int = 8  # frames between questions to the expert
    expert: ExpertOptions = field(default_factory=ExpertOptions)


@dataclass(frozen=True)
class AskingLesson(Lesson):
    """What every job needs."""

    options: AskingOptions


@dataclass(frozen=True)
class Answers:
    """What an actor saw, what the expert would have done there, and what asking it took."""

    seen: np.ndarray  # (M, F) observations
    wanted: np.ndarray  # (M, 6+n) residuals
    spent: Spent
    improved: float  # fraction of the answers that were better than the teacher's plan


def answered(
    lesson: AskingLesson, card: PolicyCard, teacher: np.ndarray, actor: ResidualNetwork, round_: int, run: Run
) -> Answers:
    """The expert's answers in the states that `actor` visits, beginning with the teacher's targets (T, 6+n); an actor
    that is the feedback on them plays them back."""
    o, simulator = lesson.options, lesson.simulator()
    seed = o.seed + WORLD_SEED + 1000 * round_ + 500
    starts, models = drawn_worlds(lesson, simulator, o.worlds, seed)
    plan = plan_of(card, teacher)
    acted = run_network(actor, lesson.reference, lesson.setup, simulator, starts, models, plan=plan)
    jobs = [(lesson, card, teacher, round_, k, seed, acted.states[k]) for k in range(o.worlds) if not acted.diverged[k]]
    if not jobs:
        raise DexhotError(f"{lesson.reference.name}: the simulation diverged in all {o.worlds} worlds; nothing to ask.")
    answers = {job[4]: result for job, result in succeeded(run, asked, jobs)}
    seen, wanted, spent, improved = [], [], Spent(0), []
    for k, (labels, frames, steps, better, seconds) in sorted(answers.items()):
        seen.append(acted.observations[k][frames])
        wanted.append(labels)
        if plan is not None:  # away from the grasp it is the answer
            rest = np.setdiff1d(np.arange(len(plan)), frames)
            seen.append(acted.observations[k][rest])
            wanted.append(np.zeros((len(rest), plan.shape[1])))
        spent += Spent(int(steps), float(seconds))
        improved.append(better)
    return Answers(np.concatenate(seen), np.concatenate(wanted), spent, float(np.mean(improved)))


def asked(job: tuple[AskingLesson, PolicyCard, np.ndarray, int, int, int, np.ndarray]) -> tuple[Any, ...]:
    """One world's answers: labels (M, 6+n), their frames (M,), control steps, fraction better than the teacher's, and
    CPU time, s."""
    lesson, _, _, round_, world, _, _ = job
    return cached(lesson, f"answers-{round_}-{world}", lambda: timed(_ask, job))


def _ask(job: tuple[AskingLesson, PolicyCard, np.ndarray, int, int, int, np.ndarray]) -> tuple[Any, ...]:
    lesson, card, teacher, _, world, seed, states = job
    o, reference, simulator = lesson.options, lesson.reference, lesson.simulator()
    model: mujoco.MjModel = drawn_worlds(lesson, simulator, o.worlds, seed)[1][world]
    pose = simulator.object_pose(states[0])
    expert = SamplingExpert(reference, simulator, model, relative(lesson, teacher, pose), o.expert, seed + world)
    base = labels_of(lesson, card, teacher, pose[None])[1][0]
    labels, frames = [], []
    for t in queried(reference, o.stride):
        span = np.arange(t, min(t + o.stride, len(reference.q)))
        labels.append(in_demonstration(reference, expert.answer(states[t], t, len(span)) - base[span]))
        frames.append(span)
    return np.concatenate(labels), np.concatenate(frames), expert.control_steps, expert.improved / expert.answers
