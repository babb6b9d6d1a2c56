"""Adam (Kingma and Ba 2015) over named unknowns, as the papers solve their losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dexhot.fitting.batch import Unknowns
from dexhot.progress import Report, unreported

FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8  # the decays of both moments and epsilon, at their published defaults


@dataclass
class Descended:
    """Unknowns after the last step, and the losses before each."""

    unknowns: Unknowns
    losses: np.ndarray  # (steps, B)


def adam(
    start: Unknowns,
    loss: Callable[[Unknowns], tuple[np.ndarray, Unknowns]],
    rates: Mapping[str, float],
    steps: int,
    stop: float = 0.0,
    progress: Report = unreported,
    stage: str = "",
) -> Descended:
    """`loss`: values (B,) and the gradient of their sum by each unknown.

    `rates`: learning rate by the unknown's last word ("turn", "place", "fingers", "shape", "scale"). `stop`: ends as
    soon as the summed loss changes by less from one step to the next (0: never). `progress`: called after each step,
    with `stage`.
    """
    now = {name: x.copy() for name, x in start.items()}
    mean = {name: np.zeros_like(x) for name, x in now.items()}
    square = {name: np.zeros_like(x) for name, x in now.items()}
    losses: list[np.ndarray] = []
    for k in range(1, steps + 1):
        value, gradient = loss(now)
        losses.append(value)
        if stop and k > 1 and abs(losses[-1].sum() - losses[-2].sum()) < stop:
            break
        for name, g in gradient.items():
            mean[name] = FIRST * mean[name] + (1.0 - FIRST) * g
            square[name] = SECOND * square[name] + (1.0 - SECOND) * g * g
            step = mean[name] / (1.0 - FIRST**k) / (np.sqrt(square[name] / (1.0 - SECOND**k)) + SMALL)
            now[name] = now[name] - rates[name.rpartition(".")[2]] * step
        progress(k, steps, stage)
    return Descended(now, np.array(losses))
