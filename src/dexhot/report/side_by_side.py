"""A picture of an operator's hand and of the robot that repeats it, in several runs, at the same moments."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from dexhot.data.files import save_figure
from dexhot.data.recording import Recording
from dexhot.data.types import RATE, Rollout
from dexhot.simulation.setup import Setup
from dexhot.view.render import Painter

MOMENTS = 5
SIZE = (360, 300)  # px of a panel


def draw_side_by_side(recording: Recording, runs: Sequence[tuple[str, Rollout, int]], setup: Setup, path: Path) -> Path:
    """Rows: the camera's images, then each run (its title, its rollout, the frame at which the recording began)."""
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    times = recording.time[np.linspace(0, len(recording.time) - 1, MOMENTS + 2).astype(int)[1:-1]] - recording.time[0]
    figure, rows = plt.subplots(1 + len(runs), MOMENTS, figsize=(3.2 * MOMENTS, 2.7 * (1 + len(runs))))
    for axes, t in zip(rows[0], times):
        axes.imshow(recording.color[int(np.searchsorted(recording.time - recording.time[0], t))])
        axes.set_title(f"{t:.1f} s", fontsize=10)
    for line, (title, rollout, begin) in zip(rows[1:], runs):
        with Painter(rollout, setup, *SIZE, margin=0.05) as painter:
            for axes, t in zip(line, times):
                axes.imshow(painter.frame(min(begin + round(t * RATE), len(rollout.q) - 1)))
        line[0].set_title(title, fontsize=11, loc="left")
    for axes in rows.ravel():
        axes.axis("off")
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.95, wspace=0.02, hspace=0.12)
    return save_figure(figure, path, dpi=100)
