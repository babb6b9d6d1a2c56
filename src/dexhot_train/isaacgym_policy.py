"""A network that rl_games trained in Isaac Gym (dexhot_isaacgym.train) -> a policy of the graph: an ONNX file, a card.

The exported task's folder has the card; the checkpoint has the actor's layers and the running mean and variance of what
it observed. Its deviation of actions and its critics are for training alone and are left out.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError, FileFormatError
from dexhot_train.network import PolicyNetwork

LAYER = re.compile(r"a2c_network\.actor_mlp\.(\d+)\.weight")
LAST, SEEN = "a2c_network.mu", "running_mean_std"
EPSILON = 1e-5  # that rl_games' RunningMeanStd adds to a variance


def isaacgym_policy(checkpoint: Path, task: Path) -> tuple[PolicyNetwork, PolicyCard]:
    """The mean policy of rl_games' checkpoint (.pth), trained on the folder `task` of `dexhot export --to isaacgym`.

    Raises FileFormatError for a file or a folder of another kind, DexhotError where they do not belong together.
    """
    card, told = _card(task), _read(checkpoint)
    state = told["model"]
    layers = sorted((int(found[1]), name.removesuffix(".weight")) for name in state if (found := LAYER.match(name)))
    names = [*(name for _, name in layers), LAST]
    needed = [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    if missing := [name for name in (*needed, f"{SEEN}.running_mean", f"{SEEN}.running_var") if name not in state]:
        raise FileFormatError(
            f"{checkpoint} lacks {missing[0]}: give a checkpoint of dexhot_isaacgym.train, whose tracker.yaml has an "
            "actor of plain layers and normalises what it observes."
        )
    seen, joints = len(state[f"{SEEN}.running_mean"]), len(state[f"{LAST}.bias"])
    observed = sum(int(part["size"]) for part in card.observation)
    if (seen, joints) != (observed, len(card.joint_names)):
        raise DexhotError(
            f"{checkpoint} observes {seen} numbers and moves {joints} joints, the task in {task} has "
            f"{observed} and {len(card.joint_names)}: give the folder that it was trained on."
        )
    network = PolicyNetwork(card, [len(state[f"{name}.bias"]) for name in names[:-1]])
    parts = (f"{2 * k}.{part}" for k in range(len(names)) for part in ("weight", "bias"))
    network.body.load_state_dict({here: state[there].float() for here, there in zip(parts, needed)})
    network.mean.copy_(state[f"{SEEN}.running_mean"])
    network.scale.copy_(torch.sqrt(state[f"{SEEN}.running_var"].float() + EPSILON))
    card.provenance |= {"checkpoint": checkpoint.name, "epoch": int(told.get("epoch", 0))}
    card.provenance |= {"control_steps": int(told.get("frame", 0)), "simulator": "Isaac Gym"}
    return network, card


def _card(task: Path) -> PolicyCard:
    path = task / "task.json"
    try:
        return PolicyCard(**json.loads(path.read_text())["card"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(
            f"{task} is not a task of `dexhot export --to isaacgym` of this version, which keeps its networks' card "
            f"in task.json ({type(e).__name__}: {e})."
        ) from e


def _read(checkpoint: Path) -> dict[str, Any]:
    """Of a .pth file, without running code in it; NumPy's numbers in it may be of an older version."""
    scalar: Any = np.float32(0).__reduce__()[0]
    known: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype]
    known += [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)]
    try:
        with torch.serialization.safe_globals(known):
            told: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as e:  # torch's own differ by what is wrong
        raise FileFormatError(f"{checkpoint} is not a checkpoint that torch reads ({str(e).splitlines()[0]}).") from e
    model = told.get("model") if isinstance(told, dict) else None
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise FileFormatError(f"{checkpoint} is not a checkpoint of rl_games: it has no `model`.")
    return told
