"""Every try of searches over training clips with its cost, and what they say of each clip.

A raw plan is not a label: two seeds on one clip differ as much as two clips do. So the plans of several seeds, each
with a price on its size, are averaged per clip. A file per clip, so that an interrupted run goes on.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot import __version__
from dexhot.data.files import kind_of, load, replacing
from dexhot.data.types import Demonstration, Reference
from dexhot.datasets.retargeted import retargeted_clip
from dexhot.errors import DexhotError
from dexhot.paths import PHYSICS, cache_dir
from dexhot.planning.plan_features import plan_features
from dexhot.planning.planned import SEARCHED
from dexhot.planning.prior import unfitted
from dexhot.planning.search import Budget, PlanSearchOptions, find_plan
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials, TrialWorld
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.setup import Setup, load_setup
from dexhot_train.curriculum.variations import require_training, training_clips
from dexhot_train.mining.executor import Run
from dexhot_train.terms import parent_of

DATA = ("parametric", "grab")  # whose train clips are searched
KINDS = ("dexhot/reference", "dexhot/demonstration")  # files of a set
ARRAYS = ("features", "plan", "plans", "world", "cost", "strict")  # of ClipTries


@dataclass(frozen=True)
class TryOptions:
    """Which clips, and the budget of each."""

    data: str = "parametric"
    sets: tuple[str, ...] = ()  # folders of references and demonstrations, besides
    hand: str = "leap_right"
    seeds: int = 3  # searches per clip
    rollouts: int = 168  # of each search
    seed: int = 0
    clips: int = 0  # the first so many; 0: all
    keep: float = 0.5  # smallest fraction of the search's worlds that a plan must survive to count


@dataclass(frozen=True)
class ClipTries:
    """What was tried on one clip."""

    name: str
    object_name: str
    features: np.ndarray  # (F,) of planning.plan_features
    plan: np.ndarray  # (D,) mean of the plans that survive, zero without one
    kept: int  # number of these, one per seed at most
    plans: np.ndarray  # (M, D) every try
    world: np.ndarray  # (M,) int, which of all seeds' worlds
    cost: np.ndarray  # (M,) in it
    strict: np.ndarray  # (M,) bool, the quick verdict there

    def worth(self, temperature: float = 0.2) -> np.ndarray:
        """(M,) weights of the tries, of sum 1: exp(-cost / temperature) against the best try in the same world, so that
        a hard world weighs as much as an easy one."""
        best = np.full(self.world.max() + 1, np.inf)
        np.minimum.at(best, self.world, self.cost)
        weight = np.exp(-(self.cost - best[self.world]) / temperature)
        return np.asarray(weight / weight.sum())


def clips_for(options: TryOptions) -> list[str]:
    """Training clips: parametric/KIND-SHAPE-SEED, or GRAB's train split; then the files of the sets. No test clip is
    among them. Raises DexhotError for unknown data, or a folder without references and demonstrations."""
    if options.data not in DATA:
        raise DexhotError(f"no training data {options.data!r}; one of {', '.join(DATA)}.")
    names = training_clips([options.data])
    for folder in options.sets:
        found = [str(path) for path in sorted(Path(folder).glob("*.npz")) if kind_of(path) in KINDS]
        if not found:
            raise DexhotError(f"{folder} has no references or demonstrations: give a folder that dexhot made.")
        names += found
    return names[: options.clips or None]


def scene_of(name: str, hand: str = "leap_right") -> tuple[Reference, Setup]:
    """The reference of a clip by name, or of a file. Raises DexhotError for a clip of a test split."""
    if name.endswith(".npz"):
        item: Any = load(Path(name))
        reference = item.reference if isinstance(item, Demonstration) else item
        require_training(parent_of(item), reference)
        return reference, load_setup(reference)
    return retargeted_clip(name, hand)


def tried(job: tuple[str, TryOptions, Path]) -> ClipTries:
    """The searches of one clip; from `job`'s folder where an earlier run left them."""
    name, options, folder = job
    path = folder / f"{name.replace('/', '_').removesuffix('.npz')[-180:]}.tries.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            return ClipTries(
                name, str(kept["object_name"]), **{key: kept[key] for key in ARRAYS}, kept=int(kept["kept"])
            )
    reference, setup = scene_of(name, options.hand)
    trials = Trials(reference, floating_simulator(reference, setup))
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    pose, survivors, rows = reference.object_pose[0], [], []
    how = PlanSearchOptions(stop=False, spread=1.0)
    for k, seed in enumerate(range(options.seed, options.seed + options.seeds)):
        worlds = [trials.world(pose), *trials.perturbed(pose, SEARCHED - 1, seed)]
        place = {id(world): k * SEARCHED + w for w, world in enumerate(worlds)}

        def record(
            plans: np.ndarray, in_: Sequence[TrialWorld], cost: np.ndarray, strict: np.ndarray, place: Any = place
        ) -> None:
            rows.append((plans.astype(np.float32), [place[id(world)] for world in in_], cost, strict))

        prior, start = unfitted(space.fingers), np.zeros(space.size)
        found = find_plan(trials, space, prior, worlds, Budget(options.rollouts), how, seed, start, record=record)
        if found.survived >= options.keep:
            survivors.append(found.plan)
    plan = np.mean(survivors, axis=0) if survivors else np.zeros(space.size)
    if not rows:
        raise DexhotError(f"{options.rollouts} rollouts are too few for a single round of tries: give --rollouts more.")
    plans, world, cost, strict = (np.concatenate(column) for column in zip(*rows))
    features = plan_features(reference, setup.asset)
    tries = ClipTries(name, setup.asset.name, features, plan, len(survivors), plans, world, cost, strict)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, object_name=tries.object_name, kept=tries.kept, **{key: getattr(tries, key) for key in ARRAYS})
    return tries


def collect(options: TryOptions, run: Run, folder: Path | None = None) -> tuple[list[ClipTries], dict[str, str]]:
    """The tries of all clips, in their order, and why some have none. folder: of the clips' files."""
    names, found, lost = clips_for(options), {}, {}
    folder = folder or tries_dir(options)
    for (name, *_), result in run(tried, [(name, options, folder) for name in names]):
        if isinstance(result, Exception):
            lost[name] = str(result)
        else:
            found[name] = result
    return [found[name] for name in names if name in found], lost


def tries_dir(options: TryOptions) -> Path:
    """Where the clips' tries are kept; changes with the budget, the physics and the version."""
    said = [options.hand, options.seeds, options.rollouts, options.seed, options.keep, PHYSICS, __version__]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
    return cache_dir() / "tries" / key
