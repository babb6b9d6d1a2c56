"""A clip of RGB-D pictures in memory."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.geometry.cameras import Intrinsics


@dataclass
class Recording:
    """Colour and aligned depth of one camera at rest."""

    name: str
    time: np.ndarray  # (T,) s
    color: np.ndarray  # (T, H, W, 3) uint8
    depth: np.ndarray  # (T, H, W) uint16 mm, 0: nothing
    intrinsics: Intrinsics
    world_T_camera: np.ndarray | None = None  # (7,)
    provenance: dict[str, Any] = field(default_factory=dict)
