"""Resolves the argument of `dexhot view`: a file, a recorded run, a capture, or the name of a clip or an object."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.files import load
from dexhot.datasets.library import clip_names, list_datasets, load_clip
from dexhot.datasets.source_clip import GENERATED, clip_of_name
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.bag import find_frames
from dexhot.hardware.camera.file import directory_frames
from dexhot.hardware.camera.frames import Frames
from dexhot.objects.library import list_objects, load_object
from dexhot.rollouts.live import live_rollout

MOST_FRAMES = 240  # frames kept of a capture: a longer one is subsampled evenly
WIDEST = 320  # pixels of a kept image


@dataclass(frozen=True)
class Capture:
    """Colour and depth of a recording, subsampled and scaled down to fit in memory."""

    name: str
    time: np.ndarray  # (T,) s from the first frame
    color: list[np.ndarray]  # T of (H, W, 3) uint8
    depth: list[np.ndarray | None]  # T of (H, W) uint16 mm, 0: unknown; None: no depth with that image
    intrinsics: Intrinsics  # of the scaled images
    notes: tuple[str, ...] = ()  # omissions and losses


def find_item(text: str) -> Any:
    """Resolve `text`: first as a path, then as a clip "<dataset>/<clip>" or "<dataset>:<clip>", then as an object.

    Raises NotFoundError naming similar names, and errors of reading the file.
    """
    path = Path(text)
    if path.is_dir() and (path / "camera.yaml").is_file():
        return read_capture(path)
    if path.is_dir() or bags.is_bag_file(path):
        ran = bags.run_folder(path, holds="reference.npz") is not None
        return live_rollout(path, part=True) if ran else read_capture(path)
    if path.exists():
        return load(path)
    clips = [name for dataset in list_datasets() for name in clip_names(dataset)]
    name = text.replace(":", "/", 1)
    if name in clips:
        return load_clip(name)
    if GENERATED.fullmatch(name):
        return clip_of_name(name, "")
    if name in list_objects() or name.startswith("parametric/"):
        return load_object(name)
    if path.suffix:
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=3)
        hint = f"; in its folder: {', '.join(near)}" if near else ""
        raise DexhotError(f"{text} does not exist{hint}.")
    hint = "`dexhot datasets list NAME` and `dexhot object list` list all; or give a file, a run's folder or a capture."
    raise NotFoundError("clip or object", name, [*clips, *list_objects()], hint)


def read_capture(path: Path) -> Capture:
    """Read a bag with camera topics, or a folder of images with camera.yaml. Raises FileFormatError if it has no
    frames."""
    folder = (path / "camera.yaml").is_file()
    source = directory_frames(path) if folder else find_frames(bags.locate(path))
    kept: list[Frames] = []
    step = 1
    for number, frames in enumerate(source):
        if number % step:
            continue
        kept.append(small(frames))
        if len(kept) == 2 * MOST_FRAMES:
            kept, step = kept[::2], 2 * step
    if not kept:
        raise DexhotError(f"{path} has no complete image; `dexhot bag info {path}` describes it.")
    notes = () if folder else (source.left_out, *source.lost)  # type: ignore[union-attr]
    thinned = (f"every {step}th image is shown",) if step > 1 else ()
    time = np.array([frames.stamp for frames in kept]) - kept[0].stamp
    shown = (*thinned, *filter(None, notes))
    colors, depths = [frames.color for frames in kept], [frames.depth for frames in kept]
    return Capture(path.name, time, colors, depths, kept[0].intrinsics, shown)


def small(frames: Frames) -> Frames:
    """Every n-th pixel, for a width of at most WIDEST."""
    n = -(-frames.color.shape[1] // WIDEST)
    if n == 1:
        return frames
    depth = None if frames.depth is None else frames.depth[::n, ::n].copy()
    return Frames(frames.stamp, frames.number, frames.color[::n, ::n].copy(), depth, frames.intrinsics.every(n))


def points_of(color: np.ndarray, depth: np.ndarray, camera: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) m in the camera's optical frame (x right, y down, z forward) and (N, 3) uint8: the pixels with depth."""
    v, u = np.nonzero(depth)
    points = camera.backproject(np.stack([u, v], axis=1), depth[v, u] * 1e-3)
    return points.astype(np.float32), color[v, u]
