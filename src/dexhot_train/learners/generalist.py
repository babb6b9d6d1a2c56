"""A generalist: one network, cloned from the demonstrations of many clips, for clips that it was never shown.

Each demonstration's actions are a teacher (lessons.py): played object-relative in perturbed worlds under DART's noise,
and shown to the network where they succeed. The network observes the scene from the reference's palm, so that a state
of one clip looks like the same state of another; what it is not shown is the clip, its time, and the hand itself. In
each of `rounds` further rounds (DAgger, Ross et al. 2011) the network acts, the sampling expert answers in the states
that it visits, beginning with the demonstration's actions, and all that was shown and answered is cloned anew.

Some clips are held out with their variations: on them the network is tried beside the replay and their own actions.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from dexhot.control.observation import LAYOUTS
from dexhot.control.policy import ResidualNetwork, make_card
from dexhot.control.sampling import base_actions
from dexhot.data.files import load
from dexhot.data.types import Demonstration, PolicyCard
from dexhot.errors import DexhotError
from dexhot.simulation.setup import load_setup
from dexhot.versions import versions
from dexhot_train.curriculum.variations import require_training
from dexhot_train.learners.asking import AskingLesson, AskingOptions, answered
from dexhot_train.learners.imitation import FitOptions, clone, first_sigma
from dexhot_train.learners.lessons import Spent, cached, demonstrated, held_out, teacher_survives, timed
from dexhot_train.mining.executor import Run, in_turn, succeeded
from dexhot_train.network import PolicyNetwork, TorchNetwork
from dexhot_train.terms import carried_terms, parent_of, sources

LAYOUT = "egocentric"


@dataclass(frozen=True)
class GeneralistOptions(AskingOptions):
    """Budget of one generalist."""

    rounds: int = 0  # of DAgger, after the first cloning
    worlds: int = 8  # of each demonstration
    trials: int = 8  # of each demonstration that is held out
    held_out: float = 0.1  # fraction of the clips, with their variations
    failures: bool = False  # show also worlds in which a demonstration fails
    fit: FitOptions = field(default_factory=lambda: FitOptions(epochs=30, batch=512))


@dataclass
class Generalist:
    """A trained generalist; its card has what the held-out demonstrations measured."""

    network: PolicyNetwork
    card: PolicyCard


def train_generalist(
    files: Sequence[Path],
    run: Run,
    options: GeneralistOptions | None = None,
    folder: Path | None = None,
    command: str = "",
    report: Callable[[str], None] = lambda what: None,
) -> Generalist:
    """Train one on demonstrations, all of one hand and servo profile; `folder`: of the steps' files, which resume an
    interrupted training. Raises DexhotError for too few, ones of different rigs, or of a test split."""
    o = options or GeneralistOptions()
    demonstrations = [load(path, Demonstration) for path in files]
    card, taught, tried = card_for(demonstrations), *parted(demonstrations, o)
    report(f"{len(taught)} demonstrations are shown, {len(tried)} are held out")
    lessons = {d.reference.name: (d, card, o, folder or Path()) for d in demonstrations}
    own = [lessons[d.reference.name] for d in taught]
    shown = {job[0].reference.name: told for job, told in succeeded(run, shown_frames, own)}
    seen, wanted = (np.concatenate([shown[d.reference.name][k] for d in taught]) for k in range(2))
    report(f"{len(seen)} frames to imitate")
    network, asked = clone(card, seen, wanted, o.fit, o.seed), Spent(0)
    for k in range(1, o.rounds + 1):
        questions = [Question(*lesson, TorchNetwork(network, card), k) for lesson in own]
        answers = {job.demonstration.reference.name: told for job, told in succeeded(run, asked_frames, questions)}
        more = [answers[d.reference.name] for d in taught]
        seen, wanted = (np.concatenate([all_, *(a[i] for a in more)]) for i, all_ in enumerate((seen, wanted)))
        asked = sum((Spent(int(a[3]), float(a[2])) for a in more), asked)
        report(f"round {k} of {o.rounds}: {len(seen)} frames to imitate")
        network = clone(card, seen, wanted, o.fit, o.seed + k)
    trials = [_tried(lessons[d.reference.name], network) for d in tried]
    card.training_data = [d.reference.name for d in taught]
    card.terms = carried_terms(sources(demonstrations), "policy")
    means = {name: float(np.mean([row[name] for row in trials])) for name in ("network", "replay", "demonstration")}
    card.scores = {"held_out": means, "held_out_clips": trials, "frames": len(seen)}
    steps = sum(int(d.provenance.get("control_steps", 0)) + o.worlds * len(d.actions) for d in demonstrations)
    card.provenance = {"command": command, "seed": o.seed, "options": asdict(o), "control_steps": steps + asked.steps}
    card.provenance |= {"seconds_mining": sum(float(d.provenance.get("seconds_cpu", 0.0)) for d in demonstrations)}
    card.provenance |= {"seconds_asking": asked.seconds, "versions": versions()}
    return Generalist(network, card)


def training_key(files: Sequence[Path], options: GeneralistOptions, source: str) -> str:
    """Hash of what a training depends on, for its folder's name."""
    digest = hashlib.sha256(repr([source, asdict(options)]).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def shown_frames(
    job: tuple[Demonstration, PolicyCard, GeneralistOptions, Path],
) -> tuple[np.ndarray, np.ndarray, float]:
    """Observations (M, F) and labels (M, 6+n) of one demonstration, in the worlds in which it succeeds under noise, and
    the CPU time that it took, s."""
    demonstration, card, o, _ = job
    lesson, sigma = _lesson(job), first_sigma(len(card.joint_names))
    made = demonstration.actions, 0, sigma, o.failures
    seen, wanted, seconds = cached(lesson, frames_name(demonstration), lambda: timed(demonstrated, lesson, card, *made))
    return seen, wanted, float(seconds)


@dataclass(frozen=True)
class Question:
    """What the expert is asked about one demonstration."""

    demonstration: Demonstration
    card: PolicyCard
    options: GeneralistOptions
    folder: Path  # of the steps' files; Path(): none are kept
    actor: ResidualNetwork  # that visits the states
    round: int


def asked_frames(q: Question) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Observations (M, F) of the states that the actor visits on one demonstration's clip, and the expert's answers
    there (M, 6+n), the CPU time, s, and the control steps that they took."""
    folder = q.folder / frames_name(q.demonstration) if q.folder != Path() else Path()
    lesson = _lesson((q.demonstration, q.card, q.options, folder))
    answers = answered(lesson, q.card, q.demonstration.actions, q.actor, q.round, in_turn)
    return answers.seen, answers.wanted, answers.spent.seconds, answers.spent.steps


def frames_name(demonstration: Demonstration) -> str:
    """Of the file of its frames, without the ending."""
    return f"shown-{demonstration.reference.name.replace('/', '_')}"


def _tried(
    job: tuple[Demonstration, PolicyCard, GeneralistOptions, Path], network: PolicyNetwork
) -> dict[str, float | str]:
    """Fractions of one held-out demonstration's worlds in which the network, the replay and its own actions succeed."""
    demonstration, lesson = job[0], _lesson(job)
    replay = base_actions(lesson.reference, lesson.setup.physics)
    return {
        "clip": demonstration.reference.name,
        "network": held_out(lesson, job[1], network),
        "replay": teacher_survives(lesson, replay),
        "demonstration": teacher_survives(lesson, demonstration.actions),
    }


def _lesson(job: tuple[Demonstration, PolicyCard, GeneralistOptions, Path]) -> AskingLesson:
    reference = job[0].reference
    return AskingLesson(reference, load_setup(reference), job[2], job[3])


def card_for(demonstrations: Sequence[Demonstration], baseline: str = "object_relative") -> PolicyCard:
    """One for all of them, its limits wide enough for their corrections; with the baseline "planned" for feedback on
    them, which is not to correct as much."""
    if len(demonstrations) < 2:
        raise DexhotError(f"a generalist is trained on 2 demonstrations or more, not {len(demonstrations)}.")
    names, rigs = [d.reference.name for d in demonstrations], {(d.reference.hand, d.servo) for d in demonstrations}
    if len(rigs) > 1:
        told = ", ".join(f"{hand} with servo {servo}" for hand, servo in sorted(rigs))
        raise DexhotError(f"the demonstrations are of several rigs ({told}): give those of one.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DexhotError(f"{twice[0]} is given twice: give each clip's demonstration once.")
    for d in demonstrations:
        require_training(parent_of(d), d.reference)
    first = demonstrations[0].reference
    setup = load_setup(first)
    name = f"{'feedback' if baseline == 'planned' else 'generalist'} of {len(names)} demonstrations"
    card = make_card(name, first, setup.physics, LAYOUTS[LAYOUT], baseline=baseline)
    if baseline == "planned":
        return card
    bounds, asked = np.asarray(card.residual_limit), np.zeros(len(card.joint_names))
    for d in demonstrations:
        asked = np.maximum(asked, np.abs(d.actions - base_actions(d.reference, setup.physics)).max(axis=0) / bounds)
    card.residual_limit = [float(x) for x in bounds * np.maximum(1.0, 1.1 * asked)]
    return card


def parted(
    demonstrations: Sequence[Demonstration], o: GeneralistOptions
) -> tuple[list[Demonstration], list[Demonstration]]:
    """Those to show and those held out: some clips with all their variations, at least one clip, chosen by the seed."""
    parents = sorted({parent_of(d) for d in demonstrations})
    if len(parents) < 2:
        raise DexhotError(f"every demonstration is of {parents[0]}: give those of two clips or more.")
    count = min(len(parents) - 1, max(1, round(o.held_out * len(parents))))
    out = set(np.random.default_rng(o.seed).permutation(parents)[:count])
    return [d for d in demonstrations if parent_of(d) not in out], [d for d in demonstrations if parent_of(d) in out]
