"""A picture of a Reference with its demonstration: human keypoints, wrist and palm frames, robot fingers, object."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from dexhot.data.files import save_figure
from dexhot.data.keypoints import ACROSS, BONES
from dexhot.data.types import RATE, HandObjectTrajectory, Reference
from dexhot.geometry.poses import transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.objects.asset import ObjectAsset
from dexhot.retargeting.resampling import resample
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import RobotHand

AXIS = 0.05  # m, drawn length of a frame's axes
AXES = ("#d62728", "#2ca02c", "#1f77b4")  # x, y, z
HUMAN, ROBOT, OBJECT = "#8a8f98", "#d9661f", "#3d7ea6"


def draw(
    reference: Reference, trajectory: HandObjectTrajectory, hand: RobotHand, asset: ObjectAsset | None, path: str | Path
) -> Path:
    """One PNG: the start, the grasp, the middle and the end of the object's motion; the arm's time if it has one."""
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    path = Path(path)
    keypoints, wrist, _ = resample(trajectory, hand.side)
    model = HandModel(hand, [b.name for b in hand.spec().bodies if b.name != "world"], reference.base_quat)
    middle = (reference.grasp_start + reference.grasp_end) // 2
    moments = {"start": 0, "grasp": reference.grasp_start, "moving": middle, "end": reference.grasp_end}
    figure = plt.figure(figsize=(16, 4.6))
    for column, (name, t) in enumerate(moments.items()):
        axes = figure.add_subplot(1, 4, column + 1, projection="3d")
        human = transform(reference.placement, keypoints[t])
        R_wrist = quat_to_matrix(reference.placement[3:]) @ quat_to_matrix(wrist[t])
        model.move(reference.q[t])
        seen = [human, model.points()]
        _draw_moment(axes, human, R_wrist, model, reference.q[t][:3])
        if asset is not None:
            for vertices, faces in asset.pieces:  # convex, and few
                corners = transform(reference.object_pose[t], vertices)
                axes.add_collection3d(Poly3DCollection(corners[faces], facecolor=OBJECT, linewidth=0, alpha=0.12))
                seen.append(corners)
        _frame_view(axes, np.concatenate(seen))
        axes.set_title(f"{name}, {t / reference.rate:.2f} s", fontsize=10, y=0.98)
    if len(reference.arm_frames):
        _draw_time_map(figure.add_axes((0.915, 0.36, 0.075, 0.32)), reference)
    figure.suptitle(f"{reference.name} on {reference.hand}", fontsize=12)
    figure.legend(handles=_legend(), loc="lower center", ncol=7, fontsize=9, frameon=False)
    figure.subplots_adjust(
        left=0.01, right=0.97 if not len(reference.arm_frames) else 0.87, bottom=0.12, top=0.88, wspace=0.08
    )
    return save_figure(figure, path, dpi=110)


def _draw_moment(axes: Any, human: np.ndarray, R_wrist: np.ndarray, model: HandModel, palm: np.ndarray) -> None:
    axes.add_collection3d(
        Line3DCollection([human[list(bone)] for bone in (*BONES, *ACROSS)], colors=HUMAN, linewidths=1.5)
    )
    axes.scatter(*human.T, s=8, color=HUMAN)
    tips = model.points()[: model.tips]
    axes.add_collection3d(Line3DCollection(model.skeleton(), colors=ROBOT, linewidths=2.5))
    axes.scatter(*tips.T, s=30, color=ROBOT, edgecolors="black", linewidths=0.5)
    for origin, R, width in ((human[0], R_wrist, 1.2), (palm, model.palm_rotation(), 2.6)):
        for axis, color in zip(R.T, AXES):
            axes.plot(*np.stack([origin, origin + AXIS * axis]).T, color=color, linewidth=width)


def _draw_time_map(axes: Any, reference: Reference) -> None:
    """The clip's time over the arm's: below the grey line where the arm is slower than the person."""
    end = (len(reference.arm_frames) - 1) / RATE
    axes.plot([0, end], [0, end], color=HUMAN, linewidth=1)
    axes.plot(np.arange(len(reference.arm_frames)) / RATE, reference.arm_frames / RATE, color=ROBOT, linewidth=2)
    axes.set(xlim=(0, end), ylim=(0, (len(reference.q) - 1) / RATE))
    axes.set_title(f"time x {reference.speed_factor:.2f}", fontsize=9)
    axes.set_xlabel("arm, s", fontsize=8, labelpad=1)
    axes.set_ylabel("clip, s", fontsize=8, labelpad=1)
    axes.tick_params(labelsize=7)


def _frame_view(axes: Any, points: np.ndarray) -> None:
    center, half = 0.5 * (points.max(0) + points.min(0)), 0.55 * np.ptp(points, axis=0).max()
    axes.set(xlim=center[0] + [-half, half], ylim=center[1] + [-half, half], zlim=center[2] + [-half, half])
    axes.set_box_aspect((1, 1, 1))
    axes.locator_params(nbins=5)
    axes.tick_params(labelsize=7, pad=-1)
    for name, label in zip("xyz", (axes.set_xlabel, axes.set_ylabel, axes.set_zlabel)):
        label(f"{name}, m", fontsize=8, labelpad=-2)
    axes.view_init(elev=18, azim=-60)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    hands = [
        Line2D([], [], color=HUMAN, marker="o", markersize=3, label="human hand"),
        Line2D([], [], color=ROBOT, linewidth=2.5, marker="o", markeredgecolor="black", label="robot, fingertips"),
        Patch(facecolor=OBJECT, alpha=0.3, label="object"),
    ]
    axes = [Line2D([], [], color=color, label=name) for name, color in zip("xyz", AXES)]
    return [*hands, *axes, Line2D([], [], color="none", label="axes: thin: human wrist, thick: palm")]
