"""Clips that Seeing fits: a person's clip is rendered as an RGB-D camera sees it, and the tracker fits hand and object
to the pictures; what the keypoint network makes of each picture is the visual feature. Kept in a folder, since pictures
are dear."""

from pathlib import Path

import numpy as np

from dexhot.data.files import load, replacing, save
from dexhot.data.recording import Recording
from dexhot.data.types import RATE, HandObjectTrajectory
from dexhot.datasets.human_clip import human_clip
from dexhot.datasets.library import clip_names as cached
from dexhot.datasets.library import load_clip
from dexhot.errors import NotFoundError
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.humans.open_hand import open_hand
from dexhot.perception.hand_landmarks import HandFeatures, next_crop
from dexhot.progress import Report, unreported
from dexhot.synthesis.clip import Options, render

CLIPS: dict[
    str, dict[str, tuple[str, ...]]
] = {  # of GRAB, by task and split: a vessel is tilted; a small flat object is handed over
    "pour": {
        "train": ("cup_drink1", "mug_drink3", "wineglass_drink1", "wineglass_drink2"),
        "test": ("bowl_drink2", "cup_pour1", "teapot_pour2", "wineglass_toast1"),
    },
    "give": {
        "train": ("eyeglasses_pass1", "torussmall_pass1", "watch_pass1"),
        "test": ("cubesmall_pass1", "mouse_pass1", "spheresmall_pass1"),
    },
}
SPLITS = ("train", "test")
FPHAB = "pour_fphab"  # the paper's own: F-PHAB's pouring of juice, with its 1:1 split (`dexhot datasets get fphab`)
POURED = "-pour_juice_bottle-"  # in the names of its clips


def clip_names(task: str, split: str) -> list[str]:
    """Of a task of experiment B; of FPHAB those that are in the cache. Raises NotFoundError for an unknown one."""
    if task == FPHAB and split in SPLITS:
        names = [name for name in cached("fphab") if POURED in name]
        return [name for name in names if load_clip(name).provenance.get("split") == split]
    if task not in CLIPS or split not in SPLITS:
        raise NotFoundError(
            "clips of a task", f"{task}, {split}", [f"{t}, {s}" for t in (*CLIPS, FPHAB) for s in SPLITS]
        )
    return [f"grab/{name}" for name in CLIPS[task][split]]


def fitted_clip(
    name: str, folder: Path, seed: int = 0, report: Report = unreported
) -> tuple[HandObjectTrajectory, HandObjectTrajectory, np.ndarray]:
    """The fit of a rendered clip (right hand) and its truth, in the world, and visual features (T, F) at RATE; made
    once in `folder`.

    Raises ClipError for a clip that cannot be rendered or fitted, NotFoundError for one that is not in the cache.
    """
    files = _files(name, folder, seed)
    if not is_fitted(name, folder, seed):
        trajectory, asset = human_clip(name)
        recording, evidence, truth = render(trajectory, asset, Options(seed), report=report)
        fit = fit_recording(recording, evidence, asset, load_recipe("default"), open_hand("right"), with_pose=False)
        files[0].parent.mkdir(parents=True, exist_ok=True)
        for found, path in zip((fit.trajectory, truth.trajectory), files):
            save(found, path)
        seen = visual_features(recording, evidence.keypoints["right"])
        with replacing(files[2]) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, time=recording.time, features=seen)
    fit_kept, truth_kept = (load(path, HandObjectTrajectory) for path in files[:2])
    with np.load(files[2], allow_pickle=False) as arrays:
        return fit_kept, truth_kept, as_seen(arrays["time"], arrays["features"])


def visual_features(recording: Recording, keypoints: np.ndarray) -> np.ndarray:
    """(T, F) float32 of each picture, cropped around its keypoints (T, 21, 6); where the hand is not seen the last ones
    stay, and zeros before it is."""
    network, last = HandFeatures(), None
    rows = []
    for color, points in zip(recording.color, keypoints):
        pixels = points[:, 3:5]
        if np.isfinite(pixels).all():
            last = network(color, next_crop(pixels))
        rows.append(np.zeros(network.size) if last is None else last)
    return np.array(rows, np.float32)


def as_seen(time: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Features (F, N) of pictures at `time` (s) -> at RATE from the first one on: in each frame the newest one."""
    frames = time[0] + np.arange(int((time[-1] - time[0]) * RATE + 1e-3) + 1) / RATE
    newest = np.searchsorted(time, frames + 1e-6, side="right") - 1
    found: np.ndarray = features[newest]
    return found


def is_fitted(name: str, folder: Path, seed: int = 0) -> bool:
    """Whether `fitted_clip` has made it."""
    return all(path.is_file() for path in _files(name, folder, seed))


def _files(name: str, folder: Path, seed: int) -> list[Path]:
    place = folder / f"{name.replace('/', '-')}-{seed}"
    return [place / "fit.npz", place / "truth.npz", place / "seen.npz"]
