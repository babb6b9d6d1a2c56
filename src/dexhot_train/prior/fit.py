"""`dexhot train prior`: collects tries, fits a prior of one kind, and writes it as ONNX with its card."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dexhot.data.types import PRIORS, PriorCard
from dexhot.errors import DexhotError, NotFoundError
from dexhot.planning.plan_features import plan_layout
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.versions import versions
from dexhot_train.export import onnx_bytes, write_network
from dexhot_train.mining.executor import Run
from dexhot_train.prior.networks import fit_network
from dexhot_train.prior.tries import ClipTries, TryOptions, clips_for, collect
from dexhot_train.terms import FREE, carried_terms


@dataclass(frozen=True)
class PriorOptions:
    """What is fitted to what."""

    kind: str = "gaussian"  # one of PRIORS
    tries: TryOptions = field(default_factory=TryOptions)


@dataclass(frozen=True)
class FittedPrior:
    """A prior, before it is written."""

    network: nn.Module
    card: PriorCard  # without its network's hash


def fit_prior(options: PriorOptions, run: Run, command: str, folder: Path | None = None) -> FittedPrior:
    """Collect what is missing and fit. Raises DexhotError for an unknown kind, or fewer than two clips that have a plan
    that survives."""
    if options.kind not in PRIORS:
        raise NotFoundError("kind of prior", options.kind, PRIORS)
    if (count := len(clips_for(options.tries))) < 2:
        raise DexhotError(f"a prior needs at least 2 clips, not {count}.")
    found, lost = collect(options.tries, run, folder)
    used = [clip for clip in found if clip.kept]
    if len(used) < 2:
        why = f"; {next(iter(lost.values()))}" if lost else ""
        raise DexhotError(f"{len(used)} of {count} clips have a plan that survives, a prior needs 2{why}.")
    made = {"command": command, "data": options.tries.data, "seed": options.tries.seed, "clips_tried": count}
    made |= {"tries": sum(len(clip.cost) for clip in found), "failed": lost, "versions": versions()}
    return fitted(options.kind, used, options.tries, made)


def fitted(kind: str, clips: list[ClipTries], options: TryOptions, made: dict[str, object]) -> FittedPrior:
    """A prior of `kind` on these clips, with its card."""
    hand, physics = load_hand(options.hand), load_physics()
    named = physics.named(hand)
    clip_names = [clip.name for clip in clips if not clip.name.endswith(".npz")]
    card = PriorCard(
        name=f"{kind} prior of {len(clips)} clips",
        kind=kind,
        hand=hand.name,
        joint_names=list(hand.joint_names),
        features=plan_layout(hand),
        onnx_sha256="0" * 64,
        servo=named["servo"],
        physics=named["physics"],
        training_data=[Path(clip.name).name if clip.name.endswith(".npz") else clip.name for clip in clips],
        terms=carried_terms([*clip_names, *(clip.object_name for clip in clips)], "prior") or FREE,
        provenance=dict(made),
    )
    return FittedPrior(fit_network(kind, clips, options.seed), card)


def export_prior(prior: FittedPrior, path: str | Path) -> Path:
    """Write path.onnx and its card, path.json; returns the .onnx file. The same weights give the same bytes."""
    path = Path(path).with_suffix(".onnx")
    size = 6 + 2 * len(prior.card.joint_names)
    known = sum(int(part["size"]) for part in prior.card.features)
    shown = {"features": torch.zeros(1, known), "noise": torch.zeros(2, size), "choice": torch.zeros(2, 1)}
    content = onnx_bytes(prior.network, shown, ["plans", "mean"], rows=("noise", "choice"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_network(content, prior.card, path)


def proposed(
    network: nn.Module, features: np.ndarray, noise: np.ndarray, choice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A network before its export, as planning.prior.PlanNetwork after the first argument."""
    with torch.no_grad():
        plans, mean = network(*(torch.as_tensor(x, dtype=torch.float32) for x in (features, noise, choice)))
    return plans.numpy(), mean.numpy()
