"""A specialist: one clip mined, and a feedback network distilled from it, in minutes.

1. Structured plans of several seeds are searched for and averaged: the teacher (a raw plan is no label). Where none is
   good enough the miner's free knots are it; a Demonstration is its own teacher.
2. Round 0 clones the teacher where it succeeds in perturbed worlds under DART's noise.
3. Each further round (DAgger, Ross et al. 2011) lets the student act in new worlds, asks the sampling expert in the
   states that it visits, adds the answers and clones anew; it also repeats the noisy demonstrations, with noise of the
   size of the student's errors.
4. The round that survives most of the held-out worlds is exported.

Every step's result is a file in the folder, so an interrupted training goes on where it stopped, to the same network.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexhot.control.observation import LAYOUTS
from dexhot.control.policy import make_card
from dexhot.control.sampling import base_actions
from dexhot.data.types import Demonstration, PolicyCard, Reference
from dexhot.errors import DexhotError, FileFormatError
from dexhot.planning.planned import SEARCHED
from dexhot.planning.prior import unfitted
from dexhot.planning.search import Budget, PlanSearchOptions, find_plan
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials
from dexhot.simulation.setup import Setup
from dexhot.versions import source_hash, versions
from dexhot_train.export import export_policy
from dexhot_train.learners.asking import AskingLesson, AskingOptions, answered
from dexhot_train.learners.imitation import FitOptions, clone, error_sigma, first_sigma
from dexhot_train.learners.lessons import (
    Spent,
    cached,
    demonstrated,
    held_out,
    teacher_survives,
    timed,
)
from dexhot_train.mining.executor import Run, succeeded
from dexhot_train.mining.mine import MineOptions, make_worlds, mine
from dexhot_train.network import PolicyNetwork, TorchNetwork


@dataclass(frozen=True)
class SpecialistOptions(AskingOptions):
    """Budget of one specialist; `trials` choose the round."""

    searches: int = 3  # plans averaged
    rollouts: int = 168  # of each search
    keep: float = 0.5  # smallest fraction of the search's worlds that a plan must survive to count
    rounds: int = 2  # of DAgger, after the first cloning
    layout: str = "specialist"  # control.observation.LAYOUTS
    fit: FitOptions = field(default_factory=FitOptions)


@dataclass(frozen=True)
class SpecialistLesson(AskingLesson):
    """What every job needs."""

    options: SpecialistOptions


@dataclass
class Specialist:
    """A trained specialist; its card has what its rounds measured."""

    network: PolicyNetwork
    card: PolicyCard
    teacher: np.ndarray  # (T, 6+n) targets in the nominal world


def train_specialist(
    reference: Reference,
    setup: Setup,
    run: Run,
    options: SpecialistOptions | None = None,
    demonstration: Demonstration | None = None,
    folder: Path | None = None,
    command: str = "",
    report: Callable[[str], None] = lambda what: None,
) -> Specialist:
    """Train one; see the module's docstring. Raises DexhotError where the clip is too short, or nothing succeeds."""
    o = options or SpecialistOptions()
    began = time.process_time()
    if len(reference.q) <= 2 * o.stride:
        raise DexhotError(f"{reference.name} has {len(reference.q)} frames; a specialist needs over {2 * o.stride}.")
    if demonstration is not None and demonstration.reference.hand != reference.hand:
        raise DexhotError(
            f"the demonstration is of the hand {demonstration.reference.hand}, the reference of {reference.hand}."
        )
    lesson = SpecialistLesson(reference, setup, o, folder or Path())
    if demonstration is None:
        report("searching for plans")
        teacher, spent = _teacher(lesson, run, report)
    else:
        teacher, made = demonstration.actions, demonstration.provenance
        spent = Spent(int(made.get("control_steps", 0)), float(made.get("seconds_cpu", 0.0)))
    card = make_card(f"specialist of {reference.name}", reference, setup.physics, LAYOUTS[o.layout], alone=True)
    card.training_data = [reference.name]
    bounds = np.asarray(card.residual_limit)
    asked = np.abs(teacher - base_actions(reference, setup.physics)).max(axis=0) / bounds
    if (asked > 1.0).any():  # a mined demonstration may correct more than a card allows by default
        card.residual_limit = [float(x) for x in bounds * np.maximum(1.0, 1.1 * asked)]
    sigma, rows = first_sigma(len(reference.joint_names)), []
    data: list[tuple[np.ndarray, np.ndarray]] = []
    best: tuple[float, int, PolicyNetwork] | None = None
    student: PolicyNetwork | None = None
    for k in range(o.rounds + 1):
        doing = f"round {k} of {o.rounds}"
        report(f"{doing}: demonstrations")
        shown = demonstrated(lesson, card, teacher, k, sigma)
        data.append(shown)
        spent += Spent(o.worlds * len(reference.q))
        row: dict[str, Any] = {"round": k}
        if student is not None:
            report(f"{doing}: answers to the network's states")
            answers = answered(lesson, card, teacher, TorchNetwork(student, card), k, run)
            data.append((answers.seen, answers.wanted))
            spent += answers.spent
            row["expert_improved"] = answers.improved
        seen, wanted = (np.concatenate(part) for part in zip(*data))
        report(f"{doing}: fitting the network")
        student = _cached_student(lesson, card, seen, wanted, k)
        sigma = np.maximum(error_sigma(student, *shown), 0.25 * first_sigma(len(sigma)))
        report(f"{doing}: {o.trials} held-out worlds")
        survived = held_out(lesson, card, student)
        spent += Spent(o.trials * len(reference.q))
        rows.append(row | {"frames": len(seen), "held_out": survived})
        report(f"round {k}: survives {survived:.2f} of {o.trials} held-out worlds")
        if best is None or survived > best[0]:
            best = survived, k, student
    assert best is not None
    card.scores = {"held_out": best[0], "round": best[1], "rounds": rows, "teacher": teacher_survives(lesson, teacher)}
    card.provenance = {"command": command, "seed": o.seed, "options": asdict(o), "control_steps": spent.steps}
    seconds = spent.seconds + time.process_time() - began  # jobs that ran in this process count twice
    card.provenance |= {"seconds_cpu": seconds, "versions": versions()}
    return Specialist(best[2], card, teacher)


def save_specialist(found: Specialist, path: Path) -> Path:
    """Export it; returns the .onnx file."""
    return export_policy(found.network, found.card, path)


def lesson_key(reference: Reference, setup: Setup, options: SpecialistOptions, teacher: np.ndarray | None) -> str:
    """Hash of what a training depends on, for its folder's name: the code too."""
    context = [asdict(options), setup.physics.version, source_hash(), reference.name]
    digest = hashlib.sha256(json.dumps(context).encode())
    for array in (reference.q, reference.target, reference.object_pose, *(() if teacher is None else (teacher,))):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


# The teacher


def _teacher(lesson: SpecialistLesson, run: Run, report: Callable[[str], None]) -> tuple[np.ndarray, "Spent"]:
    """(T, 6+n) targets of the averaged plan, or of the single one that survives more, or of the miner where no plan is
    good enough; and the control steps simulated."""
    o, setup = lesson.options, lesson.setup
    jobs = [(lesson, o.seed + k) for k in range(o.searches)]
    found = {seed: result for (_, seed), result in succeeded(run, searched_plan, jobs)}
    kept = [plan for _, (plan, survived, _, _) in sorted(found.items()) if survived >= o.keep]
    spent = Spent(sum(int(f[2]) for f in found.values()), sum(f[3] for f in found.values()))
    if not kept:
        report("no structured plan is good enough: mining with free knots")
        actions, steps, strict, seconds = cached(lesson, "mined", lambda: timed(_mine, lesson))
        if not strict:
            raise DexhotError(f"{lesson.reference.name}: mining finds no strict success, so there is nothing to learn.")
        return actions, spent + Spent(int(steps), seconds)
    space = StructuredPlans(lesson.reference, setup.physics, setup.asset.symmetry.center)
    targets = space.targets(np.stack([np.mean(kept, axis=0), *kept]))
    survived = [teacher_survives(lesson, t) for t in targets]
    return targets[int(np.argmax(survived))], spent + Spent(targets.shape[0] * o.trials * targets.shape[1])


def _mine(lesson: SpecialistLesson) -> tuple[np.ndarray, int, bool]:
    """The miner's actions (T, 6+n), the control steps of its searches, and whether it is a strict success."""
    options = MineOptions(seed=lesson.options.seed, structured=0)
    found = mine(lesson.reference, make_worlds(lesson.reference, lesson.setup, options), options)
    return found.actions, found.provenance["control_steps"], bool(found.scores["success_strict"])


def searched_plan(job: tuple[SpecialistLesson, int]) -> tuple[Any, ...]:
    """A seed's plan (D,), the fraction of the search's worlds that it survives, its control steps, and CPU time, s."""
    lesson, seed = job
    return cached(lesson, f"plan-{seed}", lambda: timed(_search_plan, lesson, seed))


def _search_plan(lesson: SpecialistLesson, seed: int) -> tuple[np.ndarray, float, int]:
    reference, setup, o = lesson.reference, lesson.setup, lesson.options
    trials = Trials(reference, lesson.simulator())
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    pose = reference.object_pose[0]
    worlds = [trials.world(pose), *trials.perturbed(pose, SEARCHED - 1, seed)]
    how = PlanSearchOptions(stop=False)
    found = find_plan(trials, space, unfitted(space.fingers), worlds, Budget(o.rollouts), how, seed)
    return found.plan, found.survived, trials.control_steps


# The student


def _cached_student(
    lesson: SpecialistLesson, card: PolicyCard, seen: np.ndarray, wanted: np.ndarray, round_: int
) -> PolicyNetwork:
    o = lesson.options

    def fit() -> tuple[np.ndarray, ...]:
        network = clone(card, seen, wanted, o.fit, o.seed + round_)
        return tuple(value.detach().numpy() for value in network.state_dict().values())

    student = PolicyNetwork(card, o.fit.hidden, o.fit.blend)
    values = cached(lesson, f"student-{round_}", fit)
    names = student.state_dict()
    if [v.shape for v in values] != [tuple(v.shape) for v in names.values()]:
        raise FileFormatError(f"{lesson.folder / f'student-{round_}.npz'} is of another network; delete it.")
    student.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in zip(names, values)})
    return student.eval()
