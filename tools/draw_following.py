"""Draw docs/img/following.png from benchmarks/results: pick-ups learnt from one demonstration (TF-HOT, section 4.4)
over the control steps of their training; `python -m tools.draw_following`."""

from pathlib import Path

import matplotlib

from tools.results import ROOT, latest

PICTURE = ROOT / "docs/img/following.png"
FIGURES = {  # of the training's episodes, with noise: line, words
    "success_once": ("-", "at the goal, once"),
    "lifted": (":", "lifted"),
    "progress_hand": ("--", "frames followed"),
}


def draw() -> Path:
    """Write the picture; returns its file."""
    from dexhot.data.files import save_figure
    from dexhot_train.learners.following_page import COLOURS

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    runs = latest("following")["runs"]
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.6 * len(tasks), 2.9), sharey=True, squeeze=False)
    for axis, task in zip(axes[0], tasks):
        for run in (run for run in runs if run["task"] == task):
            steps = [1e-6 * step for step in run["curve"]["steps"]]
            for name, (style, words) in FIGURES.items():
                look = {"color": COLOURS[run["method"]], "lw": 0.8 if run["seed"] else 1.4}
                axis.plot(steps, run["curve"][name], style, label=f"{run['method']}: {words}", **look)
        axis.set_title(task, fontsize=10)
        axis.set_xlabel("control steps, millions")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("fraction of episodes, or of frames", fontsize=9)
    axes[0, 0].set_ylim(-0.02, 1.02)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    keys = dict(zip(reversed(labels), reversed(handles)))  # of each method's first seed
    axes[0, -1].legend(
        list(keys.values())[::-1], list(keys)[::-1], fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    figure.tight_layout()
    return save_figure(figure, PICTURE, dpi=110)


if __name__ == "__main__":
    print(f"written to {draw()}")
