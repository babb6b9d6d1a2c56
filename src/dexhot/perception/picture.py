"""A sheet of frames with what was seen in them."""

from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection

from dexhot.data.files import save_figure
from dexhot.data.keypoints import BONES
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.perception.tints import tinted

FRAMES = 6


def draw_evidence(recording: Recording, evidence: Evidence, path: Path) -> Path:
    """Six frames: masks tinted, keypoints and their bones, the object's confidence."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, FRAMES // 2, figsize=(15, 8), layout="constrained")  # no title over a picture
    confidence = evidence.provenance.get("confidence") or []
    for ax, k in zip(axes.flat, np.linspace(0, len(recording) - 1, FRAMES).astype(int)):
        ax.imshow(tinted(recording.color[k], evidence.labels[k]).astype(np.uint8))
        for side, keypoints in evidence.keypoints.items():
            pixels = keypoints[k, :, 3:5]
            if np.isfinite(pixels).all():
                ax.add_collection(LineCollection(pixels[np.array(BONES)], colors="white", linewidths=1.5))
                ax.text(*pixels[0], side, color="white", fontsize=8)
        title = f"frame {k}" + (f", object {confidence[k]:.2f}" if confidence else "")
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    figure.suptitle(f"{recording.name}: orange right hand, purple left hand, blue object", fontsize=12)
    return save_figure(figure, path, dpi=90)
