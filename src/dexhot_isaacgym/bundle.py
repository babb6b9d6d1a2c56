"""The folder that `dexhot export --to isaacgym` writes, as tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dexhot_isaacgym.rotations import axis_angle, quat_multiply, quat_rotate

VERSION = 1  # of the folder


class Bundle:
    """Arrays as attributes (`bundle.q`), numbers and names as items (`bundle["layout"]`)."""

    def __init__(self, folder: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32):
        """Raises ValueError for a folder of another version."""
        self.folder, self.device, self.dtype = Path(folder), device, dtype
        self.told: dict[str, Any] = json.loads((self.folder / "task.json").read_text())
        if self.told["version"] != VERSION:
            raise ValueError("{} has version {}, this package reads {}".format(folder, self.told["version"], VERSION))
        with np.load(str(self.folder / "task.npz")) as stored:
            self.arrays = {name: self._tensor(stored[name]) for name in stored.files}
        self.chains = [
            [(self._tensor(link["pose"]), link["joint"], self._tensor(link["axis"])) for link in chain]
            for chain in self.told["tip_chains"]
        ]

    def __getattr__(self, name: str) -> Tensor:
        if name == "arrays" or name not in self.arrays:
            raise AttributeError(name)
        return self.arrays[name]

    def __getitem__(self, name: str) -> Any:
        return self.told[name]

    def palm(self, clip: Tensor, q: Tensor) -> Tensor:
        """Hand vectors (N, 6+n) of clips (N,) -> world_T_palm (N, 7): rotation base_quat Rx Ry Rz."""
        turn = self.base_quat[clip]
        for k in range(3):
            turn = quat_multiply(turn, axis_angle(self._tensor(np.eye(3)[k]), q[:, 3 + k]))
        return torch.cat([q[:, :3], turn], -1)

    def tips(self, clip: Tensor, q: Tensor) -> Tensor:
        """(N, k, 3) fingertips, world."""
        palm, found = self.palm(clip, q), []
        for chain in self.chains:
            position, turn = palm[:, :3], palm[:, 3:]
            for pose, joint, axis in chain:
                position = position + quat_rotate(turn, pose[:3].expand(len(q), 3))
                turn = quat_multiply(turn, pose[3:].expand(len(q), 4))
                if joint >= 0:
                    turn = quat_multiply(turn, axis_angle(axis, q[:, joint]))
            found.append(position)
        return torch.stack(found, 1)

    def _tensor(self, values: Any) -> Tensor:
        array = np.asarray(values)
        kind = torch.long if array.dtype.kind in "iu" else torch.bool if array.dtype.kind == "b" else self.dtype
        return torch.as_tensor(array).to(device=self.device, dtype=kind)
