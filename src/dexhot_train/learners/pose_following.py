"""Training of a pick-up by one of four methods from one demonstration (TF-HOT, section 4.4), and its evaluation.

ptf         PPO, paid the sparse reward and the progress along the demonstration (algorithm 1)
sparse      PPO, paid for a lifted object and for one at the goal
dense       PPO, paid eq. 11
imitation   PPO, paid eq. 11 and by a discriminator that compares states, without actions, with the demonstration's

The paper's state-only imitation infers actions with an inverse model (Radosavovic et al. 2021); the discriminator
stands in its place. It gets the dense reward, the better of the two.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexhot.data.files import jsonable, write_text
from dexhot.progress import Report
from dexhot_train.learners.folder import claim
from dexhot_train.learners.networks import Actor
from dexhot_train.learners.ppo import PPO, PPOOptions
from dexhot_train.learners.training import train_in_folder
from dexhot_train.task.pickup import PickupOptions, PickupTask
from dexhot_train.task.pickup_clips import Pickup

RESULT = "result.json"
HELD_OUT = 515151  # seed of the evaluation; no training draws with it


@dataclass(frozen=True)
class FollowingTraining:
    """Settings of a training; changed ones are refused when it resumes, all but `steps`."""

    method: str = "ptf"
    worlds: int = 512  # table 4
    steps: int = 2_000_000  # of all worlds in all
    seed: int = 0
    save_every: int = 10  # iterations
    backend: str = "mujoco"
    judge: float = 0.1  # weight of the discriminator's reward, of the method "imitation"
    task: PickupOptions = field(default_factory=PickupOptions)
    ppo: PPOOptions = field(
        default_factory=lambda: PPOOptions(
            steps=8, reward_scale=1.0, std=0.1, gain=0.1, learning_rate=5e-4, desired_kl=0.06, entropy=0.0
        )
    )

    @property
    def iterations(self) -> int:
        """Of the learner, the last one whole."""
        return self.ppo.iterations(self.steps, self.worlds)


def train_pickup(
    pickup: Pickup,
    options: FollowingTraining,
    folder: Path,
    command: str = "",
    threads: int = 1,
    episodes: int = 100,
    progress: Report | None = None,
) -> dict[str, Any]:
    """Train, or go on with what `folder` has; then try the mean policy in `episodes` held-out starts. A summary, which
    result.json has too.

    Raises DexhotError for another training's folder, FileFormatError for a damaged checkpoint.
    """
    torch.set_num_threads(threads)
    setup = pickup.clip.setup
    what = {"task": pickup.name, "hand": setup.hand.name, "demonstration": pickup.clip.reference.provenance["source"]}
    claim(folder, {"options": asdict(options), **what, **setup.physics.named(setup.hand)}, command, ("options.steps",))
    task = PickupTask(pickup, options.worlds, options.method, options.task, options.seed, threads, options.backend)
    ppo, expert = options.ppo, None
    if options.method == "imitation":
        ppo = replace(ppo, discriminator=options.judge)
        states = task.demonstrated()
        expert = states, np.zeros((len(states), 0), np.float32)
    learner = PPO(task, ppo, options.seed, expert)
    shown = ("return", "success", "lifted")
    told = train_in_folder(learner, options.iterations, folder, options.save_every, shown, progress)
    told |= {"task": pickup.name, "hand": setup.hand.name, "method": options.method, "seed": options.seed}
    if episodes:
        told |= evaluate_pickup(learner.actor, pickup, options.task, episodes, threads)
    write_text(folder / RESULT, json.dumps(told, default=jsonable, indent=1) + "\n")
    return told


def evaluate_pickup(
    actor: Actor, pickup: Pickup, options: PickupOptions, episodes: int = 100, threads: int = 1
) -> dict[str, float]:
    """The mean policy from `episodes` held-out starts, the same for every method: fractions of success (at the goal in
    the last step), of success at any step, and of lifted objects."""
    task = PickupTask(pickup, episodes, "sparse", options, HELD_OUT, threads, staggered=False)
    observations, rows = task.reset(), list[dict[str, float]]()
    for _ in range(options.length):
        with torch.no_grad():
            action = actor(torch.as_tensor(observations.policy)).double().numpy()
        step = task.step(action)
        observations = step.observations
        rows += step.finished
    names = ("success", "success_once", "lifted")
    first = rows[:episodes]
    return {name: float(np.mean([row[name] for row in first])) for name in names} | {"episodes": len(first)}
