"""The data engine: demonstrations from variations of clips, by structured plans alone.

Each parent clip is solved first; its plan is where the search of its variations begins. Of a parent that is not solved
only synthetic grasps are tried, which have nothing of it but the object. Then rounds, of one variation of each clip;
kinds and clips that seldom become demonstrations are left out of the rounds that follow. A variation becomes a
demonstration where its plan succeeds strictly in the nominal world and survives most of the perturbed ones. Every
attempt is a row of the ledger, and every demonstration a file, so a killed run goes on where it stopped.

A plan of one search is no label: two seeds on one clip differ as much as two clips do. With `searches` above 1 each
plan is searched for several times, from the prior alone, and the mean of those is the demonstration's.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.metrics.task_scores import tracking_error
from dexhot.planning.planned import SEARCHED
from dexhot.planning.prior import unfitted
from dexhot.planning.search import Budget, PlanSearchOptions, find_plan
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials, TrialWorld
from dexhot.progress import Report, unreported
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import perturbed
from dexhot.simulation.setup import Setup
from dexhot.versions import versions
from dexhot_train.curriculum.jobs import results_of
from dexhot_train.curriculum.ledger import AVERAGED, MADE, NO_SUCCESS, PARENT, REFUSED, REPLAY, SEARCH, Ledger
from dexhot_train.curriculum.variations import (
    CLIP,
    KEEP_GRASP,
    KINDS,
    SYNTHETIC,
    Variation,
    VariedClip,
    make,
    of_parent,
    parent_clip,
)
from dexhot_train.learners.folder import claim
from dexhot_train.mining.mine import VALIDATION_SEED
from dexhot_train.mining.scored import scored
from dexhot_train.mining.worlds import draw_worlds

SEARCH_SEEDS = 10_000  # from one search of a plan to the next


@dataclass(frozen=True)
class EngineOptions:
    """What is varied, and the budget of an attempt; changed ones are refused when a set resumes, all but `per_clip`."""

    per_clip: int = 10  # variations, at most
    kinds: tuple[str, ...] = KINDS  # in turn
    worthwhile: float = 0.3  # smallest expected yield of a kind, or of a clip's variations, to go on with it
    hand: str = "leap_right"
    profile: str | None = None  # of the finger servos
    seed: int = 0
    rollouts: int = 132  # of the search of a variation
    parent_rollouts: int = 252  # of a parent
    searches: int = 1  # by different seeds, each of these rollouts
    enough: float = 0.8  # fraction of the search's worlds that ends it
    keep: float = 0.5  # smallest fraction of the held-out worlds that a demonstration survives
    trials: int = 6  # held-out worlds


@dataclass(frozen=True)
class Attempt:
    """One variation to make a demonstration of."""

    variation: Variation
    options: EngineOptions
    folder: Path

    @property
    def out(self) -> Path:
        """File of its demonstration."""
        return self.folder / f"{self.variation.name}.npz"

    @property
    def parent(self) -> Path:
        """File of its parent's demonstration, if that was solved."""
        return self.folder / f"{Variation(self.variation.parent).name}.npz"


def variations_of(
    round_: int, clips: Sequence[str], rows: Sequence[dict[str, Any]], o: EngineOptions
) -> list[Variation]:
    """What is missing of a round, from 0: a variation of each clip that is worthwhile, all of one kind. Decided from
    the ledger's rows of the parents and of earlier rounds alone, so a run that was stopped decides as it did."""
    solved = {row["parent"] for row in rows if row["kind"] == CLIP and row["verdict"] == MADE}
    seed, varied = o.seed + round_, [row for row in rows if row["kind"] != CLIP]
    before, done = (
        [row for row in varied if row["seed"] < seed],
        {row["parent"] for row in varied if row["seed"] == seed},
    )
    kinds = [kind for kind in o.kinds if _expected_yield(before, "kind", kind) >= o.worthwhile]
    if not kinds:
        return []
    kind = kinds[round_ % len(kinds)]
    return [
        Variation(clip, kind, seed)
        for clip in clips
        if clip not in done
        and (clip in solved or kind == SYNTHETIC)
        and _expected_yield(before, "parent", clip) >= o.worthwhile
    ]


def _expected_yield(rows: Sequence[dict[str, Any]], of: str, value: str) -> float:
    """Expected fraction of demonstrations among the next attempts, by Laplace's rule of succession."""
    verdicts = [row["verdict"] for row in rows if row[of] == value]
    return (verdicts.count(MADE) + 1) / (len(verdicts) + 2)


def make_set(
    clips: Sequence[str],
    options: EngineOptions,
    folder: Path,
    command: str = "",
    workers: int = 0,
    executor: str = "process",
    progress: Report = unreported,
) -> Ledger:
    """Make the demonstrations of a set, or those that are missing; returns its ledger.

    Raises DexhotError for no clip, a clip of a test split, another set's folder, or a worker that was killed.
    """
    if not clips:
        raise DexhotError("a set of demonstrations needs a clip; the list is empty.")
    for clip in clips:
        parent_clip(clip)  # before anything is mined
    settings = {"options": asdict(options), "clips": sorted(clips)}
    claim(folder, settings, command, ("options.per_clip", "clips"), older={"options.searches": 1})
    ledger = Ledger(folder)

    def run(variations: list[Variation], rounds: int) -> None:
        """Make these; at most so many `rounds` follow."""
        total = len(ledger.rows) + len(variations) + rounds * len(clips)
        for job, facts in results_of(attempt, [Attempt(v, options, folder) for v in variations], workers, executor):
            v = job.variation
            ledger.add({"name": v.name, "parent": v.parent, "kind": v.kind, "seed": v.seed} | facts)
            made = sum(row["verdict"] == MADE for row in ledger.rows)
            progress(len(ledger.rows), total, f"{made} demonstrations of {len(ledger.rows)}")

    parents = [Variation(clip) for clip in clips]
    run([v for v in parents if v.name not in ledger.names], options.per_clip)
    for k in range(options.per_clip):
        run(variations_of(k, clips, ledger.rows, options), options.per_clip - k - 1)
    return ledger


def attempt(job: Attempt) -> dict[str, Any]:
    """Retarget and plan one variation, save its demonstration where it is one; the facts of its row."""
    began = time.process_time()
    try:
        found, row = labelled(job, began)
        if row["verdict"] == MADE:
            save(found, job.out)
        return row
    except DexhotError as e:  # a clip that cannot be retargeted or simulated is an attempt too, and costs
        return {
            "verdict": REFUSED,
            "reason": str(e),
            "by": "",
            "seconds_cpu": time.process_time() - began,
            "control_steps": 0,
        }


def labelled(job: Attempt, began: float) -> tuple[Demonstration, dict[str, Any]]:
    """The best that is found for a variation, whether it is a demonstration or not, and the facts of its row. The same
    attempt finds the same, but for its times. began: CPU time, s. Raises DexhotError where it is refused."""
    o = job.options
    varied = make(job.variation)
    setup = Setup(load_hand(o.hand), varied.asset, load_physics(profile=o.profile))
    reference = _reference(job, varied, setup)
    retargeted = time.process_time() - began
    found, by, steps = plan(job, reference, setup, varied.friction)
    scores = found.scores
    verdict = MADE if scores["success_strict"] and scores["robustness"] >= o.keep else NO_SUCCESS
    spent = time.process_time() - began
    found.provenance |= {"parent": job.variation.parent, "kind": job.variation.kind, "by": by, "varied": varied.drawn}
    found.provenance |= {"seconds_cpu": spent, "control_steps": steps, "seed": job.variation.seed}
    found.provenance |= {"versions": versions(), "verdict": verdict}
    return found, {
        "verdict": verdict,
        "reason": "" if verdict == MADE else _why(scores, o),
        "by": by,
        "object": varied.asset.name,
        "drawn": varied.drawn,
        "robustness": scores["robustness"],
        "error": tracking_error(scores),
        "seconds_cpu": spent,
        "seconds_retarget": retargeted,
        "control_steps": steps,
    }


def _reference(job: Attempt, varied: VariedClip, setup: Setup) -> Reference:
    if job.variation.kind in KEEP_GRASP:
        return of_parent(load(job.parent, Demonstration).reference, varied)
    return retarget(varied.trajectory, setup.hand, setup.asset, RetargetOptions(profile=job.options.profile))


def plan(job: Attempt, reference: Reference, setup: Setup, friction: float) -> tuple[Demonstration, str, int]:
    """The best structured plan as a Demonstration, how it was found, and the control steps simulated for it."""
    o, seed = job.options, job.variation.seed
    trials = Trials(reference, floating_simulator(reference, setup))
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    observed = reference.object_pose[0]
    worlds = [trials.world(observed)]
    if friction != 1.0:
        worlds.append(trials.world(observed, perturbed(trials.scene, friction)))
    worlds += trials.perturbed(observed, SEARCHED - len(worlds), seed)
    starts = {REPLAY: np.zeros(space.size)}
    if o.searches == 1 and job.variation.kind not in (CLIP, SYNTHETIC) and job.parent.is_file():
        starts[PARENT] = np.asarray(load(job.parent, Demonstration).provenance["plan"])
    by, best, survived = _tried(trials, space, starts, worlds)
    if survived < o.enough:
        found = _searched(job, trials, space, worlds, best if PARENT in starts else None)
        if found[2] > survived:
            by, best, survived = found
    scene = trials.scene
    actions = np.clip(space.targets(best)[0], scene.lower, scene.upper)
    held_out = draw_worlds(reference, trials.floating, o.trials, o.seed + VALIDATION_SEED)
    made = scored(reference, actions, setup, trials.floating, held_out)
    if friction != 1.0:
        slippery = worlds[1]
        states, diverged = trials.roll(space.targets(best), [slippery])
        made.scores["success_strict"] &= bool(trials.strict(states, diverged, [slippery])[0])
    made.provenance = {"plan": best.tolist()}
    judged = 1 + (o.trials if made.scores["robustness"] else 0)
    return made, by, trials.control_steps + judged * (len(reference.q) - 1)


def _searched(
    job: Attempt, trials: Trials, space: StructuredPlans, worlds: list[TrialWorld], start: np.ndarray | None
) -> tuple[str, np.ndarray, float]:
    """What a search finds or, of several, the mean of the plans that survive enough, where it survives no fewer worlds
    than the best of them: how, the plan, and the fraction that it survives."""
    o, prior = job.options, unfitted(space.fingers)
    rollouts = o.parent_rollouts if job.variation.kind == CLIP else o.rollouts
    how = PlanSearchOptions(enough=o.enough, stop=o.searches == 1)  # a label's cost, with its size, goes on to fall
    seeds = [job.variation.seed + k * SEARCH_SEEDS for k in range(o.searches)]
    found = [find_plan(trials, space, prior, worlds, Budget(rollouts), how, seed, start) for seed in seeds]
    best = max(found, key=lambda f: (f.survived, -f.cost))
    kept = [f.plan for f in found if f.survived >= o.keep]
    if len(kept) > 1:
        mean = _tried(trials, space, {AVERAGED: np.mean(kept, axis=0)}, worlds)
        if mean[2] >= best.survived:
            return mean
    return SEARCH, best.plan, best.survived


def _tried(
    trials: Trials, space: StructuredPlans, starts: dict[str, np.ndarray], worlds: list[TrialWorld]
) -> tuple[str, np.ndarray, float]:
    """The best of `starts` over `worlds`: its name, itself, and the fraction that it survives."""
    plans = np.repeat(np.stack(list(starts.values())), len(worlds), axis=0)
    everywhere = worlds * len(starts)
    states, diverged = trials.roll(space.targets(plans), everywhere)
    shape = len(starts), len(worlds)
    survived = trials.strict(states, diverged, everywhere).reshape(shape).mean(axis=1)
    cost = (trials.cost(states, diverged) + space.size_cost(plans, PlanSearchOptions.price)).reshape(shape).mean(axis=1)
    k = int(np.lexsort((cost, -survived))[0])
    name = list(starts)[k]
    return name, starts[name], float(survived[k])


def _why(scores: dict[str, Any], options: EngineOptions) -> str:
    if scores["success_strict"]:
        return f"survives {scores['robustness']:.2f} of the held-out worlds, {options.keep:g} are needed"
    lifts = scores["reference_lifted_frames"] > 0
    if lifts and not scores["lifted_frames"]:
        return "never lifted"
    return f"largest error {scores['judged_T_max_cm']:.1f} cm, {scores['judged_R_max_deg']:.0f} degrees"
