"""A person's bones keep their lengths. Images leave open how large a hand is and how far away: without this, one that
is seen in images alone grows and recedes by a metre in half a second."""

import numpy as np

from dexhot.data.keypoints import ACROSS, BONES, INDEX_MCP, LITTLE_MCP
from dexhot.tracking.rows import ObservedRows

THUMB_CMC = 1
STARTS, ENDS = np.array([*BONES, *ACROSS, (INDEX_MCP, LITTLE_MCP), (THUMB_CMC, INDEX_MCP)]).T  # the palm is stiff, too


def bone_lengths(keypoints: np.ndarray) -> np.ndarray:
    """(B,) m between the ends of the bones and across the palm, of keypoints (21, 3)."""
    along = keypoints[ENDS] - keypoints[STARTS]
    lengths: np.ndarray = np.sqrt((along**2).sum(axis=1))
    return lengths


def bone_rows(keypoints: np.ndarray, lengths: np.ndarray, sigma: float) -> ObservedRows:
    """That keypoints (21, 3) are `lengths` (B,) m apart, to `sigma` m."""
    now, each = bone_lengths(keypoints), np.arange(len(lengths))
    unit = (keypoints[ENDS] - keypoints[STARTS]) / now[:, None]
    J = np.zeros((len(lengths), *keypoints.shape))
    J[each, ENDS], J[each, STARTS] = unit, -unit
    noise = sigma**2 * np.eye(len(lengths))
    return ObservedRows(lengths - now, slice(0, keypoints.size), J.reshape(len(lengths), -1), noise, 1)
