"""Models of hands and for perception: what is shipped, what you can get or bring, and where it goes."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, print_json, results


@dataclass
class Args:
    """List them, or get one: `dexhot models get hand-landmarks`."""

    action: Annotated[Literal["list", "get"], tyro.conf.Positional] = "list"
    """What to do."""
    name: Annotated[Literal["", "hand-landmarks"], tyro.conf.Positional, shown("[hand-landmarks]")] = ""
    """get: hand-landmarks, the two models that detect hands (Apache-2.0, from a public wheel of 36 MB)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """One row per model and side; for what is missing, a sentence on how to get it."""
    from rich.table import Table

    if args.action == "get":
        return get(args)
    from dexhot.humans.model_files import MANO, OPEN_HAND, SIDES, mano_file, missing_mano, smpl_file

    rows = [
        {
            "model": f"open hand, {side}",
            "status": "shipped",
            "licence": "CC0",
            "file": str(OPEN_HAND) if side == "right" else "the right one, mirrored",
        }
        for side in SIDES
    ]
    there = {side: mano_file(side).is_file() for side in MANO}
    for side, found in there.items():
        mirrored = not found and any(there.values())
        status = "found" if found else "mirrored from the other side" if mirrored else "missing"
        rows.append({"model": f"MANO, {side}", "status": status, "licence": "its own", "file": str(mano_file(side))})
    smpl = smpl_file()
    status = "found" if smpl.is_file() else "missing: smpl.is.tue.mpg.de; the open body stands in"
    rows.append({"model": "SMPL", "status": status, "licence": "its own", "file": str(smpl)})
    rows += landmark_rows()
    table = Table("model", "status", "licence", "file", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    results(args.json).print(table)
    missing = None if any(there.values()) else f"MANO is missing: {missing_mano()}"
    if missing:
        console.print(missing, soft_wrap=True)
    if args.json:
        print_json({"models": rows, "missing": missing, "open_hand": open_hand_size()})


def open_hand_size() -> dict[str, Any] | None:
    """Of the shipped hand; None without the extra that reads it."""
    try:
        from dexhot.humans.open_hand import open_hand
    except ImportError:
        return None
    hand = open_hand()
    size = {"vertices": len(hand.vertices), "faces": len(hand.faces), "shape_components": hand.shape_size}
    return size | {"conventions": sorted(hand.tables)}


def landmark_rows() -> list[dict[str, str]]:
    """One row per model of hand-landmarks."""
    from dexhot.perception.weights import HAND_LANDMARKS, hand_landmarks_dir, missing_hand_landmarks

    rows, missing = [], missing_hand_landmarks()
    for name in HAND_LANDMARKS:
        path = hand_landmarks_dir() / name
        status = "missing: dexhot models get hand-landmarks" if name in missing else "found"
        rows.append(
            {"model": name.removesuffix(".tflite"), "status": status, "licence": "Apache-2.0", "file": str(path)}
        )
    return rows


def get(args: Args) -> None:
    """Fetch the models that find hands."""
    from dexhot.errors import DexhotError

    if not args.name:
        raise DexhotError("name what to get: dexhot models get hand-landmarks.")
    folder = get_hand_landmarks()
    if args.json:
        print_json({"folder": str(folder), "models": sorted(path.name for path in folder.glob("*.tflite"))})


def get_hand_landmarks() -> Path:
    """Fetch the wheel, check it and its models, and put these into the cache; returns their folder."""
    from dexhot.data.files import replacing
    from dexhot.datasets.registry import fetch_wheel, scratch, unpack
    from dexhot.perception.weights import HAND_LANDMARKS, INSIDE, WHEEL, WHEEL_SHA256, check_hash, hand_landmarks_dir

    platform = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp"]
    wheel = fetch_wheel("mediapipe==0.10.21", WHEEL, WHEEL_SHA256, platform)
    folder = hand_landmarks_dir()
    with scratch() as temporary:
        unpack(wheel, temporary, [f"{INSIDE}{part}/{name}" for name, (part, _) in HAND_LANDMARKS.items()])
        for name, (part, sha256) in HAND_LANDMARKS.items():
            found = temporary / INSIDE / part / name
            check_hash(found, sha256)
            with replacing(folder / name) as target:
                shutil.copyfile(found, target)
    console.print(f"{len(HAND_LANDMARKS)} models in {folder}")
    return folder
