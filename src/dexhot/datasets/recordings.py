"""One recording of a published dataset by its name, with its truth."""

from pathlib import Path

from dexhot.datasets import dexycb, ho3d
from dexhot.datasets.labelled import LabelledClip
from dexhot.datasets.licences import require_acceptance
from dexhot.datasets.ycb import ycb_mesh
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.meshes import read_mesh


def labelled(
    dataset: str, folder: Path, name: str, accept_licence: bool | None = None, objects: Path | None = None
) -> LabelledClip:
    """dexycb: SUBJECT/SEQUENCE/SERIAL; ho3d: SPLIT/SEQUENCE. Raises LicenceError, DexhotError, FileFormatError."""
    parts = name.split("/")
    if dataset == "dexycb" and len(parts) == 3:
        require_acceptance("dexycb", dexycb.TERMS, accept_licence)
        sequence = dexycb.read_sequence(folder, "/".join(parts[:2]))
        library, what = objects or folder / "models", sequence.objects[sequence.grasped]
        mesh = ycb_mesh(library, what)
        if mesh is None:
            raise FileFormatError(f"{library} lacks {what}/textured_simple.obj; name its folder with --objects DIR.")
        return dexycb.labelled_clip(sequence, parts[2], read_mesh(mesh)[0])
    if dataset == "ho3d" and len(parts) == 2:
        require_acceptance("ho3d", ho3d.TERMS, accept_licence)
        return ho3d.labelled_clip(folder, parts[0], parts[1])
    raise DexhotError(
        f"{name!r} is not a recording of {dataset}: dexycb has SUBJECT/SEQUENCE/SERIAL, ho3d SPLIT/SEQUENCE (train or "
        "evaluation); the other datasets have no pictures here."
    )
