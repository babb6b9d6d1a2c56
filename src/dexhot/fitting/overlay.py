"""A picture of a recording's fit: the outlines of hand and object over four of its colour images."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection

from dexhot.data.files import save_figure
from dexhot.data.recording import Recording
from dexhot.fitting.result import RecordingFit
from dexhot.geometry.cameras import project_pinhole
from dexhot.geometry.triangles import face_areas

HAND, OBJECT = "#ffb000", "#2f9bff"
MOMENTS = 4


def draw_overlay(fit: RecordingFit, recording: Recording, title: str, path: Path) -> Path:
    """Silhouettes and creases of the fitted meshes, as the camera would see them."""
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    known = [t for t, scenes in enumerate(fit.scenes) if scenes]
    chosen = [known[k] for k in np.linspace(0, len(known) - 1, MOMENTS).astype(int)]
    figure, panels = plt.subplots(1, MOMENTS, figsize=(16, 4.0))
    for axes, t in zip(panels, chosen):
        axes.imshow(recording.color[t])
        for scene in fit.scenes[t].values():
            _outline(axes, scene.hand.vertices, scene.person.hand.faces, fit.camera, HAND)
        if scene.model is not None:
            placed = scene.model.vertices @ scene.state.rotation.T + scene.state.position
            _outline(axes, placed, scene.model.faces, fit.camera, OBJECT)
        axes.set_title(f"frame {t}", fontsize=10)
        axes.axis("off")
    figure.suptitle(f"{title}; orange: hand, blue: object", fontsize=12)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.86, wspace=0.02)
    return save_figure(figure, path, dpi=100)


def _outline(axes: Any, vertices: np.ndarray, faces: np.ndarray, camera: np.ndarray, colour: str) -> None:
    """Edges between a face that looks at the camera and one that does not."""
    front = (face_areas(vertices, faces) * vertices[faces[:, 0]]).sum(axis=1) < 0.0
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, owner = np.unique(edges, axis=0, return_inverse=True)
    looking = np.bincount(owner.ravel(), weights=np.tile(front, 3), minlength=len(unique))
    count = np.bincount(owner.ravel(), minlength=len(unique))
    rim = unique[(looking > 0) & (looking < count)]
    pixels = project_pinhole(vertices, camera)
    axes.add_collection(LineCollection(list(pixels[rim]), colors=colour, linewidths=1.1))
