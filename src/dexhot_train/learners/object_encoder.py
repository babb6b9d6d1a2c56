"""A point-cloud auto-encoder of objects, whose encoder gives a policy the object's feature (DexTrack, appendix A.2).

A PointNet and a decoder of three layers, trained on the chamfer distance of a cloud and its reconstruction. Each step
stretches the clouds' axes anew, as the data engine's variations do, so that a feature of an unseen size is no surprise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from dexhot.datasets import load_clip, split_clips, splits
from dexhot.errors import DexhotError
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.encoder import OBJECT_FEATURE, POINTS, SCALE, ObjectEncoder, object_cloud
from dexhot.objects.library import load_object
from dexhot.objects.shapes import SHAPES, random_shape, shape_asset
from dexhot.progress import Report
from dexhot.versions import versions
from dexhot_train.terms import carried_terms

DENSE = 4096  # points kept per object, from which each step draws
STRETCH = (0.78, 1.24)  # factors of each axis
GENERATED = 15  # parametric objects of each shape
HELD_OUT = 5  # every so many of the objects is not trained on


@dataclass(frozen=True)
class EncoderOptions:
    """Settings of a training."""

    steps: int = 2000
    batch: int = 16
    learning_rate: float = 1e-3
    widths: tuple[int, ...] = (64, 128, 256)
    seed: int = 0


def encoder_objects(data: Sequence[str], seed: int = 0) -> list[ObjectAsset]:
    """The objects of GRAB's train split ("grab") and generated ones ("parametric"). Raises DexhotError for others."""
    found: dict[str, ObjectAsset] = {}
    for name in data:
        if name == "grab":
            names = [load_clip(f"grab/{clip}").object_name for clip in split_clips("train", splits("grab"))]
            found |= {name: load_object(name) for name in dict.fromkeys(names)}
        elif name == "parametric":
            rng = np.random.default_rng(seed)
            shapes = [shape_asset(random_shape(kind, rng)) for kind in SHAPES for _ in range(GENERATED)]
            found |= {asset.name: asset for asset in shapes}
        else:
            raise DexhotError(f"no objects {name!r} to train an encoder on; there are grab and parametric.")
    if len(found) < HELD_OUT:
        raise DexhotError(f"an encoder needs {HELD_OUT} objects or more, not {len(found)}: name grab or parametric.")
    return list(found.values())


class AutoEncoder(nn.Module):
    """Clouds (N, P, 3), scaled, -> features and reconstructed clouds."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        sizes = (3, *widths)
        self.points = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], OBJECT_FEATURE)
        self.decoder = nn.Sequential(
            nn.Linear(OBJECT_FEATURE, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 3 * POINTS)
        )

    def encode(self, cloud: torch.Tensor) -> torch.Tensor:
        for layer in self.points:
            cloud = torch.relu(layer(cloud))
        feature: torch.Tensor = self.last(cloud.max(dim=1).values)
        return feature

    def forward(self, cloud: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.decoder(self.encode(cloud)).reshape(-1, POINTS, 3)
        return found


def chamfer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N,) mean distance to the nearest point of the other cloud, averaged over both directions: (N, P, 3)."""
    apart = torch.cdist(a, b)
    return 0.5 * (apart.min(dim=2).values.mean(dim=1) + apart.min(dim=1).values.mean(dim=1))


def train_encoder(
    assets: Sequence[ObjectAsset],
    options: EncoderOptions,
    command: str = "",
    progress: Report | None = None,
) -> ObjectEncoder:
    """The encoder; its provenance has the chamfer distances (mm) on the objects that were trained on and on those that
    were held out, and of the mean cloud in place of these. The same seed gives the same encoder on one machine."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    clouds = SCALE * np.stack([object_cloud(asset, DENSE) for asset in assets])
    held = np.arange(len(assets)) % HELD_OUT == HELD_OUT - 1
    model = AutoEncoder(options.widths)
    optimiser = torch.optim.Adam(model.parameters(), options.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    for step in range(options.steps):
        chosen = rng.choice(np.flatnonzero(~held), options.batch)
        points = clouds[chosen[:, None], rng.integers(DENSE, size=(options.batch, POINTS))]
        cloud = torch.as_tensor(points * rng.uniform(*STRETCH, (options.batch, 1, 3)), dtype=torch.float32)
        loss = chamfer(model(cloud), cloud).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress and (step % 20 == 0 or step == options.steps - 1):
            progress(step + 1, options.steps, f"chamfer {1e3 / SCALE * loss.item():.2f} mm")
    names = [asset.name for asset in assets]
    scores = _scores(model, clouds, held)
    made: dict[str, Any] = {"command": command, "seed": options.seed, "steps": options.steps, "chamfer_mm": scores}
    made["held_out"] = [name for name, out in zip(names, held) if out]
    return ObjectEncoder(
        [_layer(layer) for layer in model.points],
        _layer(model.last),
        [name for name, out in zip(names, held) if not out],
        carried_terms(names, "encoder"),
        made | {"versions": versions()},
    )


def _scores(model: AutoEncoder, clouds: np.ndarray, held: np.ndarray) -> dict[str, float]:
    """Chamfer distances, mm."""
    every = torch.as_tensor(clouds[:, : DENSE : DENSE // POINTS], dtype=torch.float32)  # spread evenly by area
    out = torch.as_tensor(held)
    with torch.no_grad():
        found = chamfer(model(every), every)
        feature = model.encode(every[~out]).mean(dim=0, keepdim=True)
        mean = model.decoder(feature).reshape(1, POINTS, 3).expand(int(held.sum()), -1, -1)
        without = chamfer(mean, every[out])
    mm = 1e3 / SCALE
    return {
        "trained_on": mm * float(found[~out].mean()),
        "held_out": mm * float(found[out].mean()),
        "held_out_by_the_mean": mm * float(without.mean()),
    }


def _layer(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().numpy().T.astype(float), layer.bias.detach().numpy().astype(float)
