"""Fit hand and object to a recording, or a hand model to a clip's keypoints: a trajectory, and a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Fit one recording or clip."""

    writes_at_end: ClassVar[bool] = True

    clip: Annotated[str, tyro.conf.Positional, shown("RECORDING|CLIP|FILE|IMAGE")]
    """A recording (bag, capture or folder of images, docs/fitting.md), a clip of the cache ("grab/duck_lift"), a
    trajectory file (.npz), a keypoint file (docs/hands.md), or a picture of a person with --recipe body."""
    views: Annotated[tuple[str, ...], tyro.conf.Positional, shown("RECORDING")] = ()
    """More recordings of the same moments, by other cameras calibrated in the same world (docs/fitting.md)."""
    object: Annotated[str | None, shown("NAME")] = None
    """Recording: the object (`dexhot object list`); default: the evidence's; "none" fits the hand alone."""
    evidence: Annotated[tuple[Path, ...], shown("FILE.npz|BAG")] = ()
    """Recording: what `dexhot perceive` wrote, or its --bag, of several one each in their order; default:
    <recording>.evidence.npz in the current folder."""
    recipe: Annotated[str, shown("NAME|FILE.yaml")] = "default"
    """Recording: terms, weights and solver (config/recipes): default, or the papers' tfhot, tfhot_dexycb, homan,
    homan_parity, handypriors, robot_hand (with --joints) or body (a picture with --coco). The last five never read
    depth."""
    without: Annotated[tuple[str, ...], shown("TERM")] = ()
    """Recording: leave these terms of the recipe out."""
    set: Annotated[tuple[str, ...], shown("TERM.SETTING=VALUE")] = ()
    """Recording: change these settings of the recipe, e.g. surface.sigma=0.004 or solver.iterations=8."""
    joints: Annotated[Path | None, shown("FILE.npz")] = None
    """Recording of a robot's hand, --recipe robot_hand: its joints and palm (docs/fitting.md). What is written is the
    evidence with the object's poses."""
    regressor: Annotated[str | None, shown("MODULE:FUNCTION")] = None
    """Recording or picture, a recipe that never reads depth: your regressor of the object's pose from colour, from
    which the object starts (docs/fitting.md). Default: it is searched by its masks."""
    coco: Annotated[Path | None, shown("ANNOTATIONS.json")] = None
    """Picture, --recipe body: COCO's instance masks of it (docs/fitting.md)."""
    category: Annotated[str | None, shown("NAME")] = None
    """Picture: COCO's category of the object."""
    start: Annotated[Path | None, shown("FILE.npz")] = None
    """Picture: the body's pose to start from (docs/fitting.md). What is written has the same layout."""
    smpl: Annotated[Path | None, shown("FILE.pkl")] = None
    """Picture: SMPL from your own file in place of the open body."""
    fovy: Annotated[float | None, shown("DEGREES")] = None
    """Picture or video: the camera's vertical field of view. Default: a video's as `dexhot perceive` took it; 45."""
    model: Literal["open", "mano"] = "open"
    """The hand model: the open hand, or MANO from your own file (`dexhot models`)."""
    mano: Annotated[Path | None, shown("FILE.pkl")] = None
    """Your MANO file; default: the path that `dexhot models` shows."""
    convention: Annotated[str | None, shown("NAME")] = None
    """Keypoint convention of the clip (docs/hands.md); default: its dataset's, else mediapipe; for MANO its own."""
    side: Literal["right", "left", "both"] = "right"
    """Hand side of a recording (both: with --recipe homan) or a keypoint file; of a clip, every hand is fitted."""
    sigma: float = 3.0
    """Standard deviation of 3D keypoints, mm."""
    pixel_sigma: float = 4.0
    """Standard deviation of 2D keypoints, px."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Trajectory file to write; default: <clip>.fit.npz in the current folder. Missing folders are created."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also draw the fit over four frames."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


BAGS = (".mcap", ".db3", ".bag")


def run(args: Args) -> None:
    """Read, fit, write, summarise: by what is given."""
    from dexhot.hardware.camera.file import IMAGES
    from dexhot.hardware.camera.recording import VIDEOS

    path = Path(args.clip)
    if path.suffix.lower() in IMAGES or args.recipe == "body":
        from dexhot.cli.fit_picture import fit_picture

        fit_picture(args, path)
    elif path.is_dir() or path.suffix.lower() in (*BAGS, *VIDEOS) or args.clip.startswith(("bag:", "dir:")):
        from dexhot.cli.fit_recording import fit_any_recording

        fit_any_recording(args)
    elif path.is_file() and path.suffix not in (".npy", ".npz"):
        from dexhot.errors import FileFormatError

        raise FileFormatError(
            f"{path} is neither a recording (a bag, a folder of images, a video) nor a trajectory or keypoint file "
            "(.npz, .npy)."
        )
    else:
        from dexhot.cli.fit_keypoints import fit_clip

        fit_clip(args)
