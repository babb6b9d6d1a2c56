"""The network of one row, cloned from its frames; its card says what it was shown, and what that took."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.types import Demonstration, PolicyCard
from dexhot.versions import versions
from dexhot_train.curriculum.ledger import AVERAGED, MADE
from dexhot_train.curriculum.variations import CLIP
from dexhot_train.export import export_policy
from dexhot_train.learners.imitation import FitOptions, clone
from dexhot_train.learners.lessons import kept_step
from dexhot_train.scaling.frames import frames_files
from dexhot_train.scaling.options import ScalingOptions
from dexhot_train.terms import carried_terms, sources


@dataclass(frozen=True)
class Cloning:
    """One network to clone."""

    frames: list[Path]
    card: PolicyCard  # its provenance has what is known before
    fit: FitOptions
    updates: int
    seed: int
    out: Path


def cloned(job: Cloning) -> None:
    """Clone and export a network; its card says what it was shown, and what that took."""
    began = time.process_time()
    parts = [kept_step(path) for path in job.frames]
    seen = np.concatenate([part[0] for part in parts])
    wanted = np.concatenate([part[1].astype(np.float32) for part in parts])
    batches = max(1, len(seen) // job.fit.batch)
    fit = replace(job.fit, epochs=max(1, round(job.updates / batches)))
    network = clone(job.card, seen, wanted, fit, job.seed)
    seconds = sum(float(part[2]) for part in parts) + time.process_time() - began
    job.card.provenance["control_steps"] += sum(int(part[3]) for part in parts if len(part) > 3)  # of answers
    job.card.provenance |= {"frames": len(seen), "updates": fit.epochs * batches, "seconds_training": seconds}
    export_policy(network, job.card, job.out)


def cloning(
    row: str, shown: Sequence[Demonstration], card: PolicyCard, o: ScalingOptions, folder: Path, command: str
) -> Cloning:
    """What to clone for a row from the demonstrations that it is shown."""
    own = [d.provenance for d in shown]
    facts: dict[str, Any] = {"demonstrations": len(shown), "clips": len({p["parent"] for p in own})}
    facts |= {"variations": sum(p["kind"] != CLIP for p in own)}
    facts |= {"objects": len({d.reference.object_name for d in shown})}
    facts |= {"averaged": float(np.mean([p.get("by") == AVERAGED for p in own]))}
    facts |= {"succeed": float(np.mean([p.get("verdict", MADE) == MADE for p in own]))}
    facts |= {"control_steps": sum(int(p["control_steps"]) + o.worlds * len(d.actions) for p, d in zip(own, shown))}
    facts |= {"seconds_mining": sum(float(p["seconds_cpu"]) for p in own)}
    facts |= {"command": command, "seed": o.seed, "options": asdict(o), "versions": versions()}
    name, names = f"generalist of {len(shown)} demonstrations ({row})", [d.reference.name for d in shown]
    card = replace(
        card, name=name, training_data=names, terms=carried_terms(sources(shown), "policy"), provenance=facts
    )
    frames = [path for d in shown for path in frames_files(folder, row, d)]
    return Cloning(frames, card, o.fit, o.updates, o.seed, network_file(folder, row))


def network_file(folder: Path, row: str) -> Path:
    """The .onnx of a row, its card beside it."""
    return folder / "networks" / f"{row}.onnx"
