"""Draw docs/img/learning.png from benchmarks/results: strict perturbed success on GRAB's test split over the control
steps that were simulated to train, mining counted in; `python -m tools.draw_learning`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

from tools.results import ROOT, latest

PICTURE = ROOT / "docs/img/learning.png"
CLONED = {"mixed": "o", "clips": "s", "variations": "^"}  # order of the demonstrations (docs/policy.md) -> marker


@dataclass(frozen=True)
class Line:
    """A method over millions of control steps; one without training has no steps and is drawn across."""

    name: str
    steps: list[float]
    values: list[float]
    interval: tuple[float, float] | None = None
    marker: str = "o"


def lines() -> list[Line]:
    """What was measured, as the files have it."""
    ppo, mined, cloned = map(latest, ("policy-ppo", "mine-test", "scaling"))
    rows = ppo["controllers"]
    found = [Line("the miner, on the test clips themselves", [], [mined["metrics"]["robust_fraction_all"]])]
    for name, words in (("planned", "planned, 160 rollouts a clip"), ("replay", "object-relative replay")):
        found.append(Line(words, [], [rows[name]["perturbed"]]))
    for how, marker in CLONED.items():
        own = sorted((row for row in cloned["rows"] if row["how"] == how), key=lambda row: row["count"])
        steps = [row["control_steps"] / 1e6 for row in own]
        values = [row["test"]["perturbed"] for row in own]
        found.append(Line(f"cloned from 16 to 1,024 demonstrations, {how}", steps, values, marker=marker))
    for name, words in (("tracking", "PPO without supervision"), ("omnigrasp", "PPO, OmniGrasp's reward")):
        row = rows[name]
        low, high = row["perturbed_interval"]
        found.append(Line(words, [row["training_steps"] / 1e6], [row["perturbed"]], (low, high), "D"))
    return found


def draw() -> Path:
    """Write the picture; returns its file."""
    from dexhot.data.files import save_figure

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9.5, 3.8))
    for k, line in enumerate(lines()):
        if not line.steps:
            axes.axhline(line.values[0], color=f"C{k}", ls="--", lw=1.2, label=f"{line.name}: {line.values[0]:.2f}")
            continue
        error = [[line.values[0] - line.interval[0]], [line.interval[1] - line.values[0]]] if line.interval else None
        how: dict[str, Any] = {"marker": line.marker, "color": f"C{k}", "label": line.name, "ms": 5, "lw": 1.2}
        axes.errorbar(line.steps, line.values, yerr=error, capsize=3, **how)
    axes.set_xscale("log")
    axes.set_ylim(0.0, 0.85)
    axes.set_xlabel("simulated control steps of training and mining, millions")
    axes.set_ylabel("strict, perturbed worlds, 29 test clips", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    return save_figure(figure, PICTURE, dpi=110)


if __name__ == "__main__":
    print(f"written to {draw()}")
