"""What is known of an object's motion."""

from dataclasses import dataclass

import numpy as np


@dataclass
class ObjectState:
    """An object at one stamp, in the world."""

    stamp: float  # s
    pose: np.ndarray  # (7,) world_T_mesh
    twist: np.ndarray  # (6,) linear m/s, then angular rad/s
    covariance: np.ndarray  # (12, 12) of the error state
