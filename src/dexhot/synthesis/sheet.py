"""A contact sheet of a rendered clip: colour, depth, and what detectors see in it, in four frames."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import binary_erosion

from dexhot.data.files import PICTURE_METADATA, replacing
from dexhot.data.keypoints import BONES
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.perception.tints import TINTS, tinted

COLUMNS, WIDTH, TITLE = 4, 360, 34  # pictures in a row; px
NEAR, FAR = 0.35, 1.3  # m, of the depth's colours


def draw_sheet(recording: Recording, evidence: Evidence, path: Path) -> Path:
    """Write the PNG. Rows: colour; depth (blue near, red far, black none); masks and keypoints of the evidence."""
    height = round(WIDTH * recording.intrinsics.height / recording.intrinsics.width)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, 3 * height + TITLE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    made = recording.provenance
    title = f"{made.get('clip', recording.name)}, seed {made.get('seed')}, noise {made.get('level')}: rendered pictures"
    draw.text((10, 8), title, fill=(20, 23, 28), font=font)
    for column, t in enumerate(np.linspace(0, len(recording.time) - 1, COLUMNS).astype(int)):
        pictures = (recording.color[t], depth_colours(recording.depth[t]), seen(recording.color[t], evidence, t))
        for row, picture in enumerate(pictures):
            small = Image.fromarray(picture).resize((WIDTH, height), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * WIDTH, TITLE + row * height))
        draw.text((column * WIDTH + 8, TITLE + 6), f"{recording.time[t]:.2f} s", fill=(255, 255, 255), font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = PngInfo()
    for key, value in PICTURE_METADATA.items():
        marks.add_text(key, value)
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG", pnginfo=marks)
    return path


def depth_colours(depth: np.ndarray) -> np.ndarray:
    """(H, W) mm -> (H, W, 3) uint8: blue near, red far, black where nothing was measured."""
    s = np.clip((1e-3 * depth - NEAR) / (FAR - NEAR), 0.0, 1.0)[..., None]
    ramp = np.clip(1.5 - np.abs(4.0 * s - np.array([3.0, 2.0, 1.0])), 0.0, 1.0)
    return np.where(depth[..., None] > 0, 255 * ramp, 0).astype(np.uint8)


def seen(color: np.ndarray, evidence: Evidence, t: int) -> np.ndarray:
    """(H, W, 3) uint8: the picture in grey, masks tinted and outlined, keypoints as skeletons."""
    grey = np.repeat(0.55 * color.mean(axis=2, keepdims=True) + 60, 3, axis=2)
    grey = tinted(grey, evidence.labels[t])
    for label, tint in TINTS.items():
        mask = evidence.labels[t] == label
        grey[mask & ~binary_erosion(mask)] = tint
    picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    radius = max(1.0, color.shape[1] / 210)
    for points in evidence.keypoints.values():
        pixels = points[t, :, 3:5]
        known = np.isfinite(pixels).all(axis=1)
        for a, b in BONES:
            if known[a] and known[b]:
                draw.line([tuple(pixels[a]), tuple(pixels[b])], fill=(255, 255, 255), width=round(radius))
        for u, v in pixels[known]:
            draw.ellipse((u - radius, v - radius, u + radius, v + radius), fill=(220, 30, 60))
    return np.asarray(picture)
