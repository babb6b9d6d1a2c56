"""The clips of the cache: trajectories/<dataset>/<clip>.npz, each a HandObjectTrajectory in the world frame; and
clips/<hash>.npz, the files that were retargeted."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dexhot.data.files import UNREADABLE, header, load, save
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.parametric import generate_named
from dexhot.errors import DexhotError, NotFoundError
from dexhot.paths import cache_dir, share_dir

GET = "Get clips with `dexhot datasets get grab` or `dexhot datasets get hot3d --path DIR`."
ON_DISK = ("hot3d", "dexycb", "ho3d", "grab_full", "taco", "fphab")  # imported from your copy
DATASETS = ("grab", *ON_DISK)  # of people, with terms
HALVES = {"unseen_objects": "test_unseen_object", "unseen_clips": "test_unseen_clip"}  # of a test split
RECORDED = {"train": "train", "test": "test", **{group: f"test_{group}" for group in ("S0", "S1", "S2", "S3")}}


@dataclass(frozen=True)
class ClipInfo:
    """One line of `dexhot datasets list`."""

    name: str  # "grab/duck_lift"
    object: str  # "grab/duck"
    duration: float  # s
    lift: float  # m, largest rise of the mesh frame above its start
    hands: str  # "right", "left", "left+right"
    split: str  # the dataset's split that contains the clip, "" for none


def trajectories_dir(dataset: str) -> Path:
    """Folder of the clips of `dataset` in the cache."""
    return cache_dir() / "trajectories" / dataset


def list_datasets() -> list[str]:
    """Datasets with clips in the cache."""
    return sorted({p.parent.name for p in (cache_dir() / "trajectories").glob("*/*.npz")})


def clip_names(dataset: str) -> list[str]:
    """Names "<dataset>/<clip>" of the clips in the cache, in order."""
    return [f"{dataset}/{p.stem}" for p in sorted(trajectories_dir(dataset).glob("*.npz"))]


def load_clip(name: str) -> HandObjectTrajectory:
    """Read "<dataset>/<clip>" from the cache, or generate "parametric/KIND-SHAPE-SEED". Raises NotFoundError, which
    lists the existing clips."""
    dataset, _, clip = name.partition("/")
    path = trajectories_dir(dataset) / f"{clip}.npz"
    if not clip or not path.is_file():
        valid = clip_names(dataset) or [name for d in list_datasets() for name in clip_names(d)]
        if dataset == "parametric":
            if (generated := generate_named(name)) is not None:
                return generated[0]
            raise NotFoundError(
                "clip",
                name,
                ["parametric/KIND-SHAPE-SEED"],
                "Such as parametric/lift-box-0; where a file is needed, `dexhot generate` writes it.",
            )
        raise NotFoundError("clip", name, valid, f"`dexhot datasets list` shows them. {getting(name)}")
    return load(path, HandObjectTrajectory)


def getting(name: str) -> str:
    """The sentence that says how to get the dataset of a clip."""
    dataset = name.partition("/")[0]
    if dataset == "grab":
        return "Get them with `dexhot datasets get grab`."
    if dataset in ON_DISK:
        return f"Get them with `dexhot datasets get {dataset.replace('_', '-')} --path DIR`, from your copy."
    return GET


def keep_clip(clip: HandObjectTrajectory) -> None:
    """Keep a copy of a clip of no dataset, such as a fit, so that a reference made from it can be shown beside it."""
    save(clip, _kept(clip.source()["hash"]))


def kept_clip(source_hash: str) -> HandObjectTrajectory | None:
    """The clip kept under the hash in a reference's source entry; None without one."""
    path = _kept(source_hash)
    return load(path, HandObjectTrajectory) if source_hash and path.is_file() else None


def _kept(source_hash: str) -> Path:
    return cache_dir() / "clips" / f"{source_hash[:16]}.npz"


def is_file(clip: str) -> bool:
    """Whether `clip` is a file's path rather than the name of a clip of the cache."""
    return clip.endswith(".npz") or Path(clip).is_file()


def list_clips(dataset: str) -> list[ClipInfo]:
    """The clips of `dataset` in the cache, sorted by name. Raises NotFoundError if there are none."""
    names = clip_names(dataset)
    if not names:
        raise NotFoundError("dataset in the cache", dataset, list_datasets(), GET)
    split_of = {clip: split for split, clips in splits(dataset).items() if split != "quick" for clip in clips}
    return [_info(load_clip(name), split_of.get(name.partition("/")[2], "")) for name in names]


def splits(dataset: str = "grab") -> dict[str, list[str]]:
    """Split name -> clip names (without the dataset): of config/splits/<dataset>.yaml; without one, what the importer
    wrote into the clips of the cache: train and test, of TACO train and test_S0 to test_S3."""
    if listed := _listed(dataset):
        return listed
    folder = trajectories_dir(dataset)
    return _recorded(folder, folder.stat().st_mtime_ns) if folder.is_dir() else {}


@cache
def _listed(dataset: str) -> dict[str, list[str]]:
    path = share_dir() / "config" / "splits" / f"{dataset}.yaml"
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


@lru_cache(maxsize=8)
def _recorded(folder: Path, changed: int) -> dict[str, list[str]]:
    """changed: of the folder, whose files are only ever replaced as a whole."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.npz")):
        with suppress(*UNREADABLE):
            if split := recorded_split(header(path)["fields"].get("provenance", {})):
                found.setdefault(split, []).append(path.stem)
    return {name: found[name] for name in RECORDED.values() if name in found}


def recorded_split(provenance: Mapping[str, Any]) -> str:
    """The split that an importer wrote into a clip's provenance; "" for none."""
    return RECORDED.get(provenance.get("group", provenance.get("split")), "")


def split_clips(split: str, named: dict[str, list[str]]) -> list[str]:
    """The clips of a split of `named` (`splits`); "test" is all test splits (of GRAB, unseen objects and unseen clips),
    "S0" is test_S0. Raises DexhotError for one that is empty, or that there is not."""
    clips = [
        clip
        for name, names in named.items()
        if split in (name, name.partition("_")[0], name.removeprefix("test_"))
        for clip in names
    ]
    if not clips:
        parts = ((name.partition("_")[0], name) for name, names in named.items() if names)
        others = dict.fromkeys(name for pair in parts for name in pair)  # as "test" and "test_unseen_object"
        known = f"those that have: {', '.join(others)}" if others else "no split of this dataset has any"
        raise DexhotError(f"the split {split!r} has no clips; {known}.")
    return clips


def unseen_halves(named: dict[str, list[str]]) -> dict[str, list[str]]:
    """The halves of a test split that are reported apart -> their clips; none for a dataset that is not parted so."""
    return {half: named[split] for half, split in HALVES.items() if named.get(split)}


def _info(clip: HandObjectTrajectory, split: str) -> ClipInfo:
    z = clip.object_pose[:, 2]
    duration, lift = float(clip.time[-1] - clip.time[0]), float(np.max(z) - z[0])
    return ClipInfo(clip.name, clip.object_name, duration, lift, "+".join(sorted(clip.hands)), split)
