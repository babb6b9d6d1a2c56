"""Clips that Seeing fits: a person's clip is rendered as an RGB-D camera sees it, and the tracker fits hand and object
to the pictures. Kept in a folder, since pictures are dear."""

from collections.abc import Callable
from pathlib import Path

from dexhot.data.files import load, save
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import NotFoundError
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.humans.open_hand import open_hand
from dexhot.synthesis.clip import Options, render
from dexhot_train.human_clip import human_clip

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


def clip_names(task: str, split: str) -> list[str]:
    """Of a task of experiment B. Raises NotFoundError for an unknown one."""
    if task not in CLIPS or split not in CLIPS[task]:
        raise NotFoundError("clips of a task", f"{task}, {split}", [f"{t}, {s}" for t in CLIPS for s in CLIPS[t]])
    return [f"grab/{name}" for name in CLIPS[task][split]]


def fitted_clip(
    name: str, folder: Path, seed: int = 0, report: Callable[[float, float, str], None] = lambda done, total, what: None
) -> tuple[HandObjectTrajectory, HandObjectTrajectory]:
    """The fit of a rendered clip (right hand), and its truth, both in the world; made once in `folder`.

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
    fit_kept, truth_kept = (load(path, HandObjectTrajectory) for path in files)
    return fit_kept, truth_kept


def is_fitted(name: str, folder: Path, seed: int = 0) -> bool:
    """Whether `fitted_clip` has made it."""
    return all(path.is_file() for path in _files(name, folder, seed))


def _files(name: str, folder: Path, seed: int) -> list[Path]:
    place = folder / f"{name.replace('/', '-')}-{seed}"
    return [place / "fit.npz", place / "truth.npz"]
