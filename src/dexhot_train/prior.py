"""The prior over structured plans, fitted to averaged plans of training clips.

A raw plan is not a label: two seeds on one clip differ as much as two clips do. So the plans of several seeds, each
with a price on its size, are averaged per clip; their mean over clips is the constant, their spread the Gaussian.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot import __version__
from dexhot.data.files import replacing
from dexhot.data.types import PlanPrior
from dexhot.datasets import split_clips, splits
from dexhot.datasets.human_clip import human_clip
from dexhot.errors import DexhotError
from dexhot.paths import PHYSICS, cache_dir
from dexhot.planning.planned import SEARCHED
from dexhot.planning.prior import fit, unfitted
from dexhot.planning.search import Budget, PlanSearchOptions, find_plan
from dexhot.planning.structured import StructuredPlans, plan_sigma
from dexhot.planning.trials import Trials
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup
from dexhot.versions import versions

DATA = ("parametric", "grab")
TERMS = {
    "parametric": "none: made from generated demonstrations alone",
    "grab": "GRAB's: for non-commercial scientific research; the prior carries them (dexhot datasets get grab)",
}


@dataclass(frozen=True)
class PriorOptions:
    """Budget of the fit."""

    data: str = "parametric"
    seeds: int = 3  # searches per clip
    rollouts: int = 168  # of each search
    seed: int = 0
    clips: int = 0  # the first so many; 0: all
    hand: str = "leap_right"
    keep: float = 0.5  # smallest fraction of the search's worlds that a plan must survive to count


def clips_for(options: PriorOptions) -> list[str]:
    """Names of the training clips: parametric/KIND-SHAPE-SEED, or GRAB's train split. No test clip is among them."""
    if options.data not in DATA:
        raise DexhotError(f"no data {options.data!r} for a prior; one of {', '.join(DATA)}.")
    names = [f"{options.data}/{clip}" for clip in split_clips("train", splits(options.data))]
    return names[: options.clips or None]


def averaged_plan(job: tuple[str, PriorOptions, Path]) -> tuple[np.ndarray | None, int]:
    """The mean (D,) of the plans that survive, None where none does, and the number of them; from `job`'s folder where
    an earlier run left it."""
    name, options, folder = job
    path = folder / f"{name.replace('/', '_')}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as done:
            return (done["plan"] if done["count"] else None), int(done["count"])
    trajectory, asset = human_clip(name)
    setup = Setup(load_hand(options.hand), asset, load_physics())
    reference = retarget(trajectory, setup.hand, asset)
    trials = Trials(reference, floating_simulator(reference, setup))
    space = StructuredPlans(reference, setup.physics, asset.symmetry.center)
    pose, kept = reference.object_pose[0], []
    how = PlanSearchOptions(stop=False, spread=1.0)
    for seed in range(options.seed, options.seed + options.seeds):
        worlds = [trials.world(pose), *trials.perturbed(pose, SEARCHED - 1, seed)]
        prior, start = unfitted(space.fingers), np.zeros(space.size)
        found = find_plan(trials, space, prior, worlds, Budget(options.rollouts), how, seed, start)
        if found.survived >= options.keep:
            kept.append(found.plan)
    plan = np.mean(kept, axis=0) if kept else np.zeros(space.size)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, plan=plan, count=len(kept))
    return (plan if kept else None), len(kept)


def fit_prior(
    options: PriorOptions,
    run: Callable[[Callable[[Any], Any], list[Any]], Any],
    command: str,
    folder: Path | None = None,
) -> PlanPrior:
    """Fit it. run(function, jobs) yields (job, result or exception); folder: of the clips' plans, which resume an
    interrupted run. Raises DexhotError where fewer than two clips have a plan."""
    names = clips_for(options)
    folder = folder or plans_dir(options)
    plans, lost = {}, {}
    for (name, *_), result in run(averaged_plan, [(name, options, folder) for name in names]):
        if isinstance(result, Exception):
            lost[name] = str(result)
        elif result[0] is not None:
            plans[name] = result[0]
    hand, physics = load_hand(options.hand), load_physics()
    used = [name for name in names if name in plans]
    if len(used) < 2:
        why = f"; {next(iter(lost.values()))}" if lost else ""
        raise DexhotError(f"{len(used)} of {len(names)} clips have a plan that survives, a prior needs 2{why}.")
    fitted = fit(np.stack([plans[name] for name in used]), plan_sigma(len(hand.joint_names)))
    made = {"command": command, "data": options.data, "seed": options.seed, "seeds": options.seeds}
    made |= {"rollouts": options.rollouts, "clips_tried": len(names), "failed": lost, **physics.named(hand)}
    return PlanPrior(
        f"plan prior from {options.data}",
        hand.name,
        list(hand.joint_names),
        fitted.mean,
        fitted.covariance,
        used,
        TERMS[options.data],
        made | {"versions": versions()},
    )


def plans_dir(options: PriorOptions) -> Path:
    """Where the clips' plans are kept; changes with the options, the physics and the version."""
    said = [
        options.data,
        options.seeds,
        options.rollouts,
        options.seed,
        options.keep,
        options.hand,
        PHYSICS,
        __version__,
    ]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
    return cache_dir() / "priors" / f"{options.data}-{key}"
