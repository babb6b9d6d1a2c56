"""The paper's supervised inverse kinematics: a small network from a seen hand to the action that showed it."""

import numpy as np
import torch
from torch import nn

from dexhot.data.keypoints import WRIST
from dexhot.datasets.hand_poses import palm_size
from dexhot.errors import DexhotError

HIDDEN, RATE, BATCH, UPDATES = 64, 1e-3, 256, 4000
NARROW = 1e-3  # palm sizes, smallest spread by which an input is divided


def features(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints (..., 21, 3) m in the camera's frame -> (..., 60): relative to the wrist, in palm sizes. The viewpoint
    stays in them; the place, another person's, does not."""
    relative = (keypoints - keypoints[..., [WRIST], :]) / palm_size(keypoints)[..., None, None]
    flat: np.ndarray = relative[..., 1:, :].reshape(*keypoints.shape[:-2], 60)
    return flat


class IkNetwork(nn.Module):
    """(64, 64), from `features` to an action."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, x: np.ndarray, actions: int):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(x.mean(axis=0), dtype=torch.float32))
        self.register_buffer("spread", torch.as_tensor(np.maximum(x.std(axis=0), NARROW), dtype=torch.float32))
        self.net = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, actions)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 60) -> (N, A)."""
        actions: torch.Tensor = self.net((x - self.mean) / self.spread)
        return actions

    @torch.no_grad()
    def action(self, keypoints: np.ndarray) -> np.ndarray:
        """The user input (A,), in -1 to 1, of a seen hand (21, 3) m in the camera's frame."""
        x = torch.as_tensor(features(keypoints)[None], dtype=torch.float32)
        user: np.ndarray = self(x)[0].clamp(-1.0, 1.0).numpy().astype(float)
        return user


def train_ik(keypoints: np.ndarray, actions: np.ndarray, seed: int = 0) -> tuple[IkNetwork, float]:
    """Fit pairs of seen hands (N, 21, 3) m and actions (N, A); the network and its root mean square error on them.

    The same seed gives the same network. Raises DexhotError without pairs.
    """
    if not len(keypoints):
        raise DexhotError("the IK network has no pairs to learn from: no hand of the training motions was seen.")
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x, y = features(keypoints), torch.as_tensor(actions, dtype=torch.float32).clamp(-1.0, 1.0)
        network, rows = IkNetwork(x, actions.shape[1]), torch.as_tensor(x, dtype=torch.float32)
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        for _ in range(UPDATES):
            chosen = torch.randint(len(rows), (BATCH,))
            loss = ((network(rows[chosen]) - y[chosen]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        return network, float(((network(rows) - y) ** 2).mean().sqrt())
