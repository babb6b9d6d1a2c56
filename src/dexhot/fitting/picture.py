"""A picture of a fit: the hand's mesh over the seen keypoints, in four frames of the clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from dexhot.data.files import save_figure
from dexhot.data.keypoints import BONES
from dexhot.fitting.hand_fit import HandFit, Sighting
from dexhot.geometry.cameras import project_pinhole

SKIN, SEEN, FITTED = np.array([0.87, 0.72, 0.62]), "#1f5fa8", "#d9661f"
LIGHT = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
MOMENTS = 4


def draw_fit(fit: HandFit, sightings: Sequence[Sighting], title: str, path: Path) -> Path:
    """Draw in 3D or, for 2D keypoints, in the camera's image."""
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(16, 4.6))
    for column, t in enumerate(np.linspace(0, len(sightings) - 1, MOMENTS).astype(int)):
        seen = sightings[t]
        if seen.pixels is None:
            axes = figure.add_subplot(1, MOMENTS, column + 1, projection="3d")
            _draw_in_space(axes, fit, t, seen)
        else:
            axes = figure.add_subplot(1, MOMENTS, column + 1)
            _draw_in_image(axes, fit, t, seen)
        axes.set_title(f"frame {t}", fontsize=10)
    figure.suptitle(title, fontsize=12)
    figure.text(0.5, 0.02, "blue: keypoints seen, orange: fitted", ha="center", fontsize=9)
    figure.subplots_adjust(left=0.03, right=0.98, bottom=0.1, top=0.86, wspace=0.12)
    return save_figure(figure, path, dpi=100)


def _shades(corners: np.ndarray) -> np.ndarray:
    """(F, 3) colours of triangles (F, 3, 3)."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    colours: np.ndarray = np.clip(SKIN * (0.7 + 0.3 * np.abs(normal @ LIGHT))[:, None], 0, 1)
    return colours


def _draw_in_space(axes: Any, fit: HandFit, t: int, seen: Sighting) -> None:
    corners = fit.posed(t).vertices[fit.hand.faces]
    axes.add_collection3d(Poly3DCollection(corners, facecolors=_shades(corners), linewidth=0, alpha=0.35))
    assert seen.points is not None
    for points, colour in ((seen.points, SEEN), (fit.keypoints[t], FITTED)):
        bones = points[np.array(BONES)]
        if colour == SEEN:
            bones = bones[(seen.confidence[np.array(BONES)] > 0).all(axis=1)]
            points = points[seen.confidence > 0]
        axes.add_collection3d(Line3DCollection(bones, colors=colour, linewidths=1.6))
        axes.scatter(*points.T, s=10, color=colour)
    middle = fit.keypoints[t].mean(axis=0)
    half = 1.05 * np.abs(fit.keypoints[t] - middle).max()
    axes.set(**{f"{name}lim": (m - half, m + half) for name, m in zip("xyz", middle)})
    axes.set_box_aspect((1, 1, 1))
    axes.tick_params(labelsize=6, pad=-2)
    axes.locator_params(nbins=4)


def _draw_in_image(axes: Any, fit: HandFit, t: int, seen: Sighting) -> None:
    assert seen.camera is not None and seen.pixels is not None
    corners = fit.posed(t).vertices[fit.hand.faces]
    order = np.argsort(-corners[:, :, 2].mean(axis=1))  # far ones first
    outlines = project_pinhole(corners, seen.camera)
    axes.add_collection(PolyCollection(list(outlines[order]), facecolors=_shades(corners)[order], linewidths=0))
    fitted = project_pinhole(fit.keypoints[t], seen.camera)
    both = (seen.confidence[np.array(BONES)] > 0).all(axis=1)
    axes.add_collection(LineCollection(fitted[np.array(BONES)], colors=FITTED, linewidths=1.4))
    axes.add_collection(LineCollection(seen.pixels[np.array(BONES)][both], colors=SEEN, linewidths=1.4))
    axes.scatter(*seen.pixels[seen.confidence > 0].T, s=12, color=SEEN, zorder=3)
    middle = fitted.mean(axis=0)
    half = 1.4 * np.abs(fitted - middle).max()
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half), aspect="equal")
    axes.tick_params(labelsize=7)
