"""Adam: its first steps are the published ones, it descends, and it stops when the loss does."""

import numpy as np
import pytest

from dexhot.fitting.adam import adam

GOAL = {"a.place": np.array([[1.0, -2.0, 0.5]]), "a.turn": np.array([[0.3, 0.1, 0.0, 0.2, 1.0, 0.4]])}
RATES = {"place": 0.01, "turn": 0.1}


def loss(x):
    off = {name: x[name] - GOAL[name] for name in x}
    return np.array([sum((d**2).sum() for d in off.values())]), {name: 2 * d for name, d in off.items()}


def test_it_is_torchs_adam():
    torch = pytest.importorskip("torch")
    start = {name: np.zeros_like(x) for name, x in GOAL.items()}
    found = adam(start, loss, RATES, 30)
    tensors = {name: torch.zeros(x.shape, dtype=torch.float64, requires_grad=True) for name, x in GOAL.items()}
    groups = [{"params": [tensors[name]], "lr": RATES[name[2:]]} for name in GOAL]
    optimiser = torch.optim.Adam(groups)
    for _ in range(30):
        optimiser.zero_grad()
        sum(((tensors[name] - torch.tensor(GOAL[name])) ** 2).sum() for name in GOAL).backward()
        optimiser.step()
    for name in GOAL:
        assert np.allclose(found.unknowns[name], tensors[name].detach().numpy(), atol=1e-12)
    assert len(found.losses) == 30 and found.losses[-1, 0] < found.losses[0, 0]


def test_it_stops_when_the_loss_hardly_changes():
    start = {name: np.zeros_like(x) for name, x in GOAL.items()}
    found = adam(start, loss, RATES, 2000, stop=0.01)
    assert 2 < len(found.losses) < 2000
    assert abs(found.losses[-1] - found.losses[-2]).sum() < 0.01 <= abs(found.losses[-2] - found.losses[-3]).sum()
