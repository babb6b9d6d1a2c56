"""The learned baselines of the evaluation: where they are trained, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dexhot.data.files import load
from dexhot.data.types import PolicyCard
from dexhot.paths import cache_dir
from dexhot.robots.robot_hand import load_hand
from dexhot_train.learners.folder import POLICY

REWARDS = ("tracking", "omnigrasp")  # of PPO without supervision
STEPS = 10_000_000  # control steps of a whole training


@dataclass(frozen=True)
class TrainedBaseline:
    """One that has been trained."""

    policy: Path
    steps: int


def baseline_folder(
    reward: str,
    data: Sequence[str] = ("grab",),
    hand: str = "leap_right",
    profile: str | None = None,
    plain: bool = False,
) -> Path:
    """The folder of its training, in the cache: on the train splits of `data`, for a hand and a servo, by default its
    own; plain: on references by eq. 5-7 alone."""
    made_for = ["-".join(sorted({name.replace("-", "_") for name in data})), hand, profile or ""]
    if profile == load_hand(hand).servo:
        made_for[2] = ""
    parts = [] if made_for == ["grab", "leap_right", ""] else [part for part in made_for if part]
    return cache_dir() / "baselines" / "-".join(["ppo", reward, *parts, *["plain"] * plain])


def trained_baseline(
    reward: str,
    data: Sequence[str] = ("grab",),
    hand: str = "leap_right",
    profile: str | None = None,
    plain: bool = False,
) -> TrainedBaseline | None:
    """The policy of a training that reached its end; None where it has not run, or has been stopped."""
    policy = baseline_folder(reward, data, hand, profile, plain) / POLICY
    if not policy.is_file():
        return None
    return TrainedBaseline(policy, int(load(policy.with_suffix(".json"), PolicyCard).provenance["control_steps"]))
