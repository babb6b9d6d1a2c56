"""Instance masks of COCO (Lin et al. 2014) in their published layout: polygons, and run lengths with and without
compression.

    image = read_coco(Path("instances_val2017.json"), "000000000139.jpg")
    image.masks["person"]                                # [(H, W) bool, ...], the largest first

Polygons are filled where a pixel's centre is inside. pycocotools is not needed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dexhot.data.labels import LABELS
from dexhot.errors import FileFormatError, NotFoundError

LARGE = 4  # times as fine as the image is the picture in which polygons are filled


@dataclass(frozen=True)
class CocoImage:
    """An image's instances."""

    name: str
    width: int
    height: int
    masks: dict[str, list[np.ndarray]]  # (H, W) bool by category, the largest first; crowds are left out

    def labels(self, thing: str, person: str = "person") -> np.ndarray:
        """(H, W) uint8 of the largest person and the largest `thing`, as `Evidence.labels`. Raises NotFoundError."""
        found = np.zeros((self.height, self.width), np.uint8)
        for name, label in ((person, "right"), (thing, "object")):
            if name not in self.masks:
                raise NotFoundError(f"category in {self.name}", name, self.masks)
            found[self.masks[name][0] & (found == 0)] = LABELS[label]
        return found


def read_coco(path: Path, name: str) -> CocoImage:
    """The annotations of the image with this file name. Raises FileFormatError, or NotFoundError for an image that they
    do not have."""
    try:
        raw = json.loads(path.read_text())
        images = {str(image["file_name"]): image for image in raw["images"]}
        categories = {int(row["id"]): str(row["name"]) for row in raw["categories"]}
        rows = raw["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(
            f"{path} is not an annotation file of COCO ({type(e).__name__}: {e}); it has images, annotations and "
            "categories."
        ) from e
    if name not in images:
        raise NotFoundError(f"image in {path.name}", name, sorted(images)[:8])
    image, found = images[name], dict[str, list[np.ndarray]]()
    try:
        width, height = int(image["width"]), int(image["height"])
        for row in rows:
            if row["image_id"] == image["id"] and not row.get("iscrowd"):
                mask = decode(row["segmentation"], height, width)
                found.setdefault(categories[int(row["category_id"])], []).append(mask)
    except (KeyError, TypeError, ValueError, IndexError) as e:
        raise FileFormatError(f"{path}: an annotation of {name} is damaged ({type(e).__name__}: {e}).") from e
    ordered = {what: sorted(masks, key=lambda mask: -int(mask.sum())) for what, masks in found.items()}
    return CocoImage(name, width, height, ordered)


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool of an annotation's `segmentation`. Raises ValueError for one of another size."""
    if isinstance(segmentation, list):
        return filled(segmentation, height, width)
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"a mask of {segmentation['size']} for an image of {[height, width]}")
    counts = segmentation["counts"]
    return from_runs(runs_of(counts) if isinstance(counts, str | bytes) else counts, height, width)


def filled(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """(H, W) bool, inside any polygon [x0, y0, x1, y1, ...] px, whose origin is the corner of the first pixel."""
    picture = Image.new("1", (LARGE * width, LARGE * height))
    draw = ImageDraw.Draw(picture)
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon needs at least three points")
        draw.polygon([(LARGE * x - 0.5, LARGE * y - 0.5) for x, y in zip(polygon[::2], polygon[1::2])], fill=1)
    fine = np.asarray(picture).reshape(height, LARGE, width, LARGE)
    mask: np.ndarray = fine.mean(axis=(1, 3)) >= 0.5
    return mask


def runs_of(text: str | bytes) -> list[int]:
    """Run lengths of COCO's compressed string: five bits a character from the lowest, the sixth says that more follow;
    from the fourth number on, differences to the one two before."""
    found: list[int] = []
    value, shift = 0, 0
    for byte in text.encode() if isinstance(text, str) else text:
        bits = byte - 48
        if not 0 <= bits < 64:
            raise ValueError("a character that no compressed mask has")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value, shift = 0, 0
    return found


def from_runs(runs: list[int], height: int, width: int) -> np.ndarray:
    """(H, W) bool of the lengths of runs of 0 and 1 by turns, down the columns. Raises ValueError where they do not
    fill the image."""
    lengths = np.array(runs, int)
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"runs of {lengths.sum()} pixels for an image of {height * width}")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    mask: np.ndarray = flat.reshape(width, height).T.copy()
    return mask
