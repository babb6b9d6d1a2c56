"""Train the encoder of the objects' features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class ObjectEncoderTraining:
    """Train a point-cloud auto-encoder on objects; its encoder gives a tracker the object's 256 features (--layout
    encoded). Minutes on one core."""

    objects: Annotated[
        tuple[Literal["grab", "parametric"], ...], tyro.conf.Positional, shown("{grab,parametric} ...")
    ] = ("grab", "parametric")
    """Objects: of GRAB's train split, whose research terms the encoder then carries, and generated ones."""
    out: Annotated[Path, shown("FILE")] = Path("object_encoder.npz")
    """Encoder file. Missing folders are created."""
    steps: int = 2000
    """Steps of the optimiser."""
    seed: int = 0
    """Random seed."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: ObjectEncoderTraining) -> None:
    """Train it and write the file."""
    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import with_suffix
    from dexhot.errors import DexhotError
    from dexhot.objects.encoder import load_encoder
    from dexhot.progress import progress
    from dexhot_train.learners.object_encoder import EncoderOptions, encoder_objects, train_encoder

    at_least(1, steps=args.steps)
    at_least(0, seed=args.seed)
    out = with_suffix(args.out, ".npz")
    if out.exists():
        try:
            load_encoder(out)
        except DexhotError as e:
            raise DexhotError(f"{out} exists and is not an object encoder: name another file with --out.") from e
    command = " ".join(["dexhot train object-encoder", *args.objects, *options_of(args, ("objects", "out", "json"))])
    with progress("training", counted=True) as job:
        encoder = train_encoder(
            encoder_objects(args.objects, args.seed),
            EncoderOptions(args.steps, seed=args.seed),
            command,
            job.says("training, "),
        )
    encoder.save(out)
    told = {"file": str(out), "objects": len(encoder.trained_on), **encoder.provenance["chamfer_mm"]}
    summary("object encoder, chamfer distances in mm", told | {"terms": encoder.terms or "none"})
    if args.json:
        print_json(told)
