"""What a network is taught about one clip: worlds, a teacher's demonstrations under noise, held-out trials.

The teacher is a sequence of targets that succeeds, object-relative; it is shown where it succeeds in perturbed worlds
under DART's noise in the executed actions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.controllers import following_object
from dexhot.control.policy import baseline_targets, turn_of, turned
from dexhot.data.files import replacing
from dexhot.data.types import PolicyCard, Reference
from dexhot.errors import FileFormatError
from dexhot.metrics.rollout import compute
from dexhot.objects.object_offset import object_offset
from dexhot.rollouts.floating import floating_rollout, floating_simulator, start_state
from dexhot.rollouts.network import run_network
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import worlds as named_worlds
from dexhot.simulation.setup import Setup
from dexhot_train.learners.imitation import dart_noise
from dexhot_train.network import PolicyNetwork, TorchNetwork

WORLD_SEED, HELD_OUT_SEED = 3_000_000, 4_000_000  # added to the seed; searches and evaluations use others


@dataclass(frozen=True)
class LessonOptions:
    """In how many worlds a clip is taught and tried."""

    seed: int = 0
    worlds: int = 16  # per round, of the student and of the noisy demonstrations
    trials: int = 24  # held-out worlds


@dataclass(frozen=True)
class Lesson:
    """What every job needs."""

    reference: Reference
    setup: Setup
    options: LessonOptions
    folder: Path  # of the steps' files

    def simulator(self) -> MujocoSimulator:
        """The clip's nominal world."""
        return floating_simulator(self.reference, self.setup)


@dataclass(frozen=True)
class Spent:
    """What simulation a training took."""

    steps: int  # control steps
    seconds: float = 0.0  # of CPU time in jobs

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.steps + other.steps, self.seconds + other.seconds)


# Worlds


def drawn_worlds(lesson: Lesson, simulator: MujocoSimulator, count: int, seed: int) -> tuple[np.ndarray, list[Any]]:
    """`count` perturbed worlds: start states and models."""
    how, rng = named_worlds("worlds_v2"), np.random.default_rng(seed)
    drawn = [how.draw(rng) for _ in range(count)]
    starts = [start_state(lesson.reference, simulator, d.offset, d.yaw) for d in drawn]
    return np.stack(starts), [d.model(simulator.scene) for d in drawn]


def relative(lesson: Lesson, targets: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(T, 6+n) targets moved with the object first observed at `pose` (7,)."""
    offset = object_offset(lesson.setup.asset.symmetry, lesson.reference.object_pose[0], pose)
    return following_object(lesson.reference, targets, offset)


def strict(
    lesson: Lesson, simulator: MujocoSimulator, states: np.ndarray, commands: np.ndarray, lost: np.ndarray
) -> np.ndarray:
    """(N,) bool, the judge's strict success of states (N, T, ns)."""
    out = []
    for rows, plan, failed in zip(states, commands, lost):
        rollout = floating_rollout(lesson.reference, plan, rows, simulator)
        strict = compute(rollout, lesson.setup.asset, lesson.setup.hand)["success_strict"]
        out.append(bool(strict and not failed))
    return np.array(out)


def teacher_survives(lesson: Lesson, targets: np.ndarray) -> float:
    """Fraction of the held-out worlds in which the teacher, object-relative, succeeds."""
    simulator = lesson.simulator()
    starts, models = drawn_worlds(lesson, simulator, lesson.options.trials, lesson.options.seed + HELD_OUT_SEED)
    plans = np.stack([relative(lesson, targets, simulator.object_pose(s)) for s in starts])
    batch = simulator.rollout(starts, plans[:, :-1], models)
    states = np.concatenate([starts[:, None], batch.states], axis=1)
    return float(strict(lesson, simulator, states, plans, batch.diverged).mean())


def held_out(lesson: Lesson, card: PolicyCard, student: PolicyNetwork, plan: np.ndarray | None = None) -> float:
    """Fraction of the held-out worlds in which the student succeeds; plan: targets (T, 6+n) that it is the feedback
    on."""
    simulator = lesson.simulator()
    starts, models = drawn_worlds(lesson, simulator, lesson.options.trials, lesson.options.seed + HELD_OUT_SEED)
    network = TorchNetwork(student, card)
    run = run_network(network, lesson.reference, lesson.setup, simulator, starts, models, plan=plan)
    lost = run.diverged | np.array([bool(why) for why in run.unsafe])
    return float(strict(lesson, simulator, run.states, run.commands, lost).mean())


# The lessons of a round


class _Teaching:
    """The teacher as a network: it says the residuals that it is given, whatever is observed."""

    def __init__(self, card: PolicyCard, residuals: np.ndarray):
        self.card = replace(card, residual_step=[1e3] * len(card.joint_names))  # a teacher may be abrupt
        self.residuals, self.t = residuals, 0

    def __call__(self, observation: np.ndarray, residual: np.ndarray) -> np.ndarray:
        self.t += 1
        out: np.ndarray = self.residuals[:, self.t - 1]
        return out


def labels_of(
    lesson: Lesson, card: PolicyCard, teacher: np.ndarray, poses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (N, T, 6+n) of the teacher for objects first observed at `poses` (N, 7), in the demonstration's frame,
    and the baselines (N, T, 6+n) that they are added to."""
    setup, reference = lesson.setup, lesson.reference
    plan = plan_of(card, teacher)
    base = np.stack([baseline_targets(card, reference, setup.physics, setup.asset, pose, plan) for pose in poses])
    taught = np.stack([relative(lesson, teacher, pose) for pose in poses])
    return in_demonstration(reference, taught - base), base


def plan_of(card: PolicyCard, teacher: np.ndarray) -> np.ndarray | None:
    """The teacher's targets where they are what the card's residual is added to."""
    return teacher if card.baseline == "planned" else None


def in_demonstration(reference: Reference, residuals: np.ndarray) -> np.ndarray:
    """World residuals (..., 6+n) with their translation in the demonstration's frame: undoes with_residual."""
    return turned(residuals, turn_of(reference.placement), back=True)


def demonstrated(
    lesson: Lesson, card: PolicyCard, teacher: np.ndarray, round_: int, sigma: np.ndarray, failures: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Observations (M, F) and labels (M, 6+n) of the teacher under noise; of the worlds in which it succeeds, or of all
    with `failures`."""
    o, simulator = lesson.options, lesson.simulator()
    seed = o.seed + WORLD_SEED + 1000 * round_
    starts, models = drawn_worlds(lesson, simulator, o.worlds, seed)
    labels, _ = labels_of(lesson, card, teacher, simulator.object_pose(starts))
    noise = dart_noise(labels.shape, sigma, np.random.default_rng(seed))
    network = _Teaching(card, labels)
    run = run_network(network, lesson.reference, lesson.setup, simulator, starts, models, noise)
    good = np.ones(o.worlds, bool) if failures else strict(lesson, simulator, run.states, run.commands, run.diverged)
    if not good.any():  # noise, or these worlds, are too much for it: then what it does without them
        start = start_state(lesson.reference, simulator)[None]
        labels, _ = labels_of(lesson, card, teacher, simulator.object_pose(start))
        run = run_network(_Teaching(card, labels), lesson.reference, lesson.setup, simulator, start, [simulator.model])
        good = np.ones(1, bool)
    size = run.observations.shape[-1]
    return run.observations[good].reshape(-1, size), labels[good].reshape(-1, labels.shape[-1])


def cached(lesson: Lesson, name: str, make: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """What `make` returns, from the folder if an interrupted training left it there. Raises FileFormatError for a
    damaged file."""
    path = lesson.folder / f"{name}.npz"
    if lesson.folder == Path():
        return make()
    if path.is_file():
        return kept_step(path)
    made = make()
    keep_step(path, made)
    return made


def keep_step(path: Path, made: tuple[Any, ...]) -> None:
    """Leave what a step made in its file."""
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, *made)


def kept_step(path: Path) -> tuple[Any, ...]:
    """What a step left in its file. Raises FileFormatError for a damaged or missing one."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return tuple(kept[f"arr_{k}"][()] for k in range(len(kept.files)))
    except Exception as e:  # numpy's and zipfile's errors have no common base
        raise FileFormatError(f"{path}, a step of an earlier training, is damaged ({e}); delete it.") from e


def timed(make: Callable[..., tuple[Any, ...]], *arguments: Any) -> tuple[Any, ...]:
    """What it returns and the CPU time that it took, s: the work of other processes counts too."""
    began = time.process_time()
    return *make(*arguments), time.process_time() - began
