"""The learned baselines of the evaluation: where they are trained, and for how long."""

from dataclasses import dataclass
from pathlib import Path

from dexhot.data.files import load
from dexhot.data.types import PolicyCard
from dexhot.paths import cache_dir
from dexhot_train.learners.folder import POLICY

REWARDS = ("tracking", "omnigrasp")  # of PPO without supervision
STEPS = 10_000_000  # control steps of a whole training


@dataclass(frozen=True)
class TrainedBaseline:
    """One that has been trained."""

    policy: Path
    steps: int


def baseline_folder(reward: str) -> Path:
    """The folder of its training, in the cache."""
    return cache_dir() / "baselines" / f"ppo-{reward}"


def trained_baseline(reward: str) -> TrainedBaseline | None:
    """The policy of a training that reached its end; None where it has not run, or has been stopped."""
    policy = baseline_folder(reward) / POLICY
    if not policy.is_file():
        return None
    return TrainedBaseline(policy, int(load(policy.with_suffix(".json"), PolicyCard).provenance["control_steps"]))
