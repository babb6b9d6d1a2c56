"""`dexhot bench prior`: priors over structured plans, by the tries that they need on objects they were not fitted to.

GRAB's train clips are parted by their objects. For each part a prior of each kind is fitted to the tries of the others
(`dexhot train prior`) and proposes 24 plans for each of its clips. No test clip is used.

KIND_success_at_8_tries, _24_tries   fraction of clips on which one of so many plans is strict where the object was
                                     observed (quick verdict)
KIND_tries_to_success_p50            tries to the first, median over clips
KIND_success_per_try_perturbed       fraction of all plans that are strict in a perturbed world (worlds_v2)
"""

from typing import Any

import numpy as np

from dexhot.data.types import PRIORS
from dexhot.paths import cache_dir
from dexhot.planning.prior import NetworkPrior, unfitted
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials
from dexhot.progress import track
from dexhot.rollouts.floating import floating_simulator
from dexhot_bench.kept import Kept
from dexhot_bench.policy import TRIES, tried
from dexhot_train.mining.executor import Run, run_jobs
from dexhot_train.prior.fit import proposed
from dexhot_train.prior.networks import fit_network
from dexhot_train.prior.tries import ClipTries, TryOptions, collect, scene_of, tries_dir

PARTS = 5
UNFITTED = "unfitted"
WORLDS, SEED = 6, 777_000  # perturbed worlds, in turn; their seed, which no search has
QUICK = TryOptions("parametric", seeds=1, rollouts=42, clips=4)  # which says nothing about real clips
Proposals = dict[str, np.ndarray]  # kind -> (tries, D) plans


def run(quick: bool = False, workers: int = 0) -> dict[str, Any]:
    """Metrics of each kind, and a row per clip. A full run that was stopped goes on."""
    options = QUICK if quick else TryOptions("grab")

    def run_here(what: str) -> Run:
        return lambda function, jobs: track(run_jobs(function, jobs, workers), what, len(jobs))

    clips, lost = collect(options, run_here("searching"))
    kept = Kept(None if quick else cache_dir() / "bench" / "prior.json", tries_dir(options).name)
    proposals = proposals_of(clips, 2 if quick else PARTS)
    left = [(name, plans) for name, plans in proposals.items() if kept.get(name) is None]
    for (name, _), verdicts in run_here("trying")(verdicts_of, left):
        if not isinstance(verdicts, Exception):
            kept.put(name, verdicts)
    rows = {name: kept.get(name) for name in proposals if kept.get(name)}
    metrics: dict[str, Any] = {"clips": len(rows), "tries_stored": sum(len(clip.cost) for clip in clips)}
    for kind in (UNFITTED, *PRIORS):
        told = tried([row[kind]["first"] for row in rows.values()])
        told["success_per_try_perturbed"] = float(np.mean([row[kind]["perturbed"] for row in rows.values()]))
        metrics |= {f"{kind}_{name}": value for name, value in told.items()}
    return {"metrics": metrics, "clips": rows, "failed": lost}


def parts(clips: list[ClipTries], count: int) -> np.ndarray:
    """(P,) the part of each clip; clips of one object, stretched ones of it too, are in one part."""
    owner = [clip.object_name.removeprefix("stretched/").rsplit("/", 1)[0] if "stretched/" in clip.object_name
             else clip.object_name for clip in clips]  # fmt: skip
    place = {name: k % count for k, name in enumerate(sorted(set(owner)))}
    return np.array([place[name] for name in owner])


def proposals_of(clips: list[ClipTries], count: int) -> dict[str, Proposals]:
    """Clip -> what each kind proposes for it, fitted to the clips of the other parts."""
    part, found = parts(clips, count), {clip.name: Proposals() for clip in clips}
    for k in range(count):
        shown = [clip for clip, own in zip(clips, part) if own != k]
        networks = {kind: fit_network(kind, shown) for kind in PRIORS}
        for clip in (clip for clip, own in zip(clips, part) if own == k):
            size = len(clip.plan)
            found[clip.name][UNFITTED] = unfitted((size - 6) // 2).draw(max(TRIES), np.random.default_rng(0))
            for kind, network in networks.items():
                prior = NetworkPrior(lambda *seen, network=network: proposed(network, *seen), clip.features, size)
                found[clip.name][kind] = prior.draw(max(TRIES), np.random.default_rng(0))
    return found


def verdicts_of(job: tuple[str, Proposals]) -> dict[str, dict[str, float]]:
    """Kind -> the first try that is strict where the object was observed (0: none), and the fraction in perturbed
    worlds."""
    name, proposals = job
    reference, setup = scene_of(name)
    trials = Trials(reference, floating_simulator(reference, setup))
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    here = trials.world(reference.object_pose[0])
    worlds = trials.perturbed(reference.object_pose[0], WORLDS, SEED)
    told = {}
    for kind, plans in proposals.items():
        targets, others = space.targets(plans), [worlds[k % WORLDS] for k in range(len(plans))]
        strict = trials.strict(*trials.roll(targets, [here] * len(plans)), [here] * len(plans))
        survive = trials.strict(*trials.roll(targets, others), others)
        told[kind] = {"first": int(np.argmax(strict)) + 1 if strict.any() else 0, "perturbed": float(survive.mean())}
    return told
