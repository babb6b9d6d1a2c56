"""A file in MANO's layout that holds the open hand: vertices and joints of a hand, corrections of its own."""

import pickle
from pathlib import Path

import numpy as np

from dexhot.humans.open_hand import open_hand

VERTICES = 778
TIPS = (745, 317, 444, 556, 673)  # MANO's fingertips are vertices of these numbers


def write_mano(folder: Path) -> Path:
    """MANO_RIGHT.pkl in `folder`."""
    hand, rng = open_hand(), np.random.default_rng(0)
    own = np.empty(VERTICES, int)  # the open hand's vertices, in another order
    own[list(TIPS)] = hand.tips
    others = rng.permutation(np.setdiff1d(np.arange(len(hand.vertices)), hand.tips))
    own[np.setdiff1d(np.arange(VERTICES), TIPS)] = np.resize(others, VERTICES - len(TIPS))
    number = np.unique(own, return_index=True)[1]
    parts = {
        "v_template": hand.vertices[own],
        "shapedirs": hand.shape_directions[own],
        "posedirs": 1e-4 * rng.normal(size=(VERTICES, 3, 135)),
        "weights": hand.weights[own],
        "f": number[hand.faces],
        "kintree_table": np.array([[2**32 - 1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14], range(16)], np.uint32),
        "J_regressor": hand.joints @ np.linalg.pinv(hand.vertices[own]),
        "hands_components": np.linalg.qr(hand.prior.components.T @ rng.normal(size=(16, 45)) + np.eye(45))[0],
        "hands_mean": hand.prior.mean,
    }
    path = folder / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps(parts, protocol=2))
    return path
