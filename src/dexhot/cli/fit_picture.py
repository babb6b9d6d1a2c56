"""`dexhot fit --recipe body`: a person and an object in one picture."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dexhot.cli.fit_inputs import regressed
from dexhot.cli.output import print_json, summary
from dexhot.data.files import with_suffix
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.datasets.coco import read_coco
from dexhot.errors import DexhotError, FileFormatError
from dexhot.fitting.body import fit_body, read_body_start, write_body_state
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.scene import object_model
from dexhot.fitting.silhouette_search import SEARCH
from dexhot.fitting.start_without_depth import REGRESSOR
from dexhot.geometry.cameras import pinhole
from dexhot.hardware.camera.codec import decode_color
from dexhot.hardware.camera.file import IMAGES
from dexhot.hardware.camera.recording import FOVY
from dexhot.humans.body import open_body, smpl
from dexhot.objects.library import load_object
from dexhot.progress import progress

if TYPE_CHECKING:
    from dexhot.cli.fit_command import Args


def fit_picture(args: "Args", path: Path) -> None:
    """A person and an object in one picture."""
    recipe = load_recipe(args.recipe).without(args.without).changed(args.set)
    if path.suffix.lower() not in IMAGES or recipe.method != "body":
        raise DexhotError("--recipe body and a picture (.jpg, .png) belong together.")
    if args.views:
        raise DexhotError("--recipe body takes one picture.")
    given = {"--coco": args.coco, "--category": args.category, "--object": args.object, "--start": args.start}
    if missing := [name for name, value in given.items() if value is None]:
        raise DexhotError(f"--recipe body also needs {', '.join(missing)} (docs/fitting.md).")
    if args.picture:
        raise DexhotError("--picture shows a person's hand; leave it out with --recipe body.")
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist.")
    color = decode_color(path.read_bytes())
    height, width = color.shape[:2]
    assert args.coco and args.category and args.object and args.start
    image = read_coco(args.coco, path.name)
    if (image.width, image.height) != (width, height):
        raise FileFormatError(
            f"{path} has {width}x{height} pixels, its annotations are of {image.width}x{image.height}: give the image "
            "that was annotated."
        )
    labels = image.labels(args.category)
    start = read_body_start(args.start)
    known = not np.isnan(start.object_pose).any()
    if known and args.regressor:
        raise DexhotError(f"{args.start} has the object's pose: leave out --regressor, or make its object_pose NaN.")
    out = with_suffix(args.out or Path(f"{path.stem}.body.npz"), ".npz")
    if out.exists() and not args.force:
        raise DexhotError(f"{out} exists; give another --out, or --force.")
    camera = pinhole(width, height, FOVY if args.fovy is None else args.fovy)
    recording = Recording(path.stem, np.zeros(1), color[None], np.zeros((1, height, width), np.uint16), camera)
    evidence = Evidence(path.stem, np.zeros(1), labels[None], {}, {}, np.full((1, 7), np.nan))
    body = smpl(args.smpl) if args.smpl else open_body()
    asset = load_object(args.object)
    with progress(f"fitting {path.name}", counted=True) as job:
        stages = job.stages()
        poses, by = regressed(args, recording, evidence, asset, stages)
        if poses is not None:
            start = replace(start, object_pose=poses)
        fit = fit_body(recording, evidence, body, object_model(asset), recipe, start, stages)
    write_body_state(fit.state, out)
    figures = {
        "body": body.name,
        "object_start": "given" if known else REGRESSOR if by else SEARCH,
        **by,
        "human_iou": round(float(fit.human_iou[0]), 3),
        "object_iou": round(float(fit.object_iou[0]), 3),
    }
    summary(f"{path.name} -> {out}", figures)
    if args.json:
        print_json({"file": str(out), "image": path.name, **figures})
