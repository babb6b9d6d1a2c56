"""An ONNX file beside its JSON card, which has its hash: opened by onnxruntime on one CPU thread."""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from dexhot.data.files import load
from dexhot.errors import FileFormatError, MissingExtraError

Card = TypeVar("Card")
RESTORE = "put the two files of one export beside each other, or export the network again"


def onnx_files(path: str | Path, kind: str) -> tuple[Path, Path]:
    """(.onnx, .json) of a `kind` ("policy") named by either. Raises FileFormatError where one of them is missing."""
    path = Path(path)
    both = path.with_suffix(".onnx"), path.with_suffix(".json")
    if path.suffix not in (".onnx", ".json"):
        raise FileFormatError(f"{path} is not a {kind}: give its .onnx file, beside which its .json card lies.")
    for needed in both:
        if not needed.is_file():
            raise FileFormatError(f"{needed} does not exist: a {kind} is an .onnx file and a .json card of one name.")
    return both


def load_card(network: Path, path: Path, kind: type[Card]) -> Card:
    """The card at `path` of a network. Raises FileFormatError, naming both, for a file that is none."""
    try:
        return load(path, kind)
    except FileFormatError as e:
        raise FileFormatError(f"{path} is not a card of {network}: {str(e).rstrip('.')}. To use it, {RESTORE}.") from e


def open_onnx(path: Path, name: str, sha256: str) -> Any:
    """The session of `path`, whose card is that of `name` and has `sha256`. Raises FileFormatError for a damaged file,
    or one that is not its card's; MissingExtraError without onnxruntime."""
    try:
        import onnxruntime
    except ImportError as e:
        raise MissingExtraError(f"the network {path.name}", "policy") from e
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise FileFormatError(
            f"{path} and {path.with_suffix('.json').name} do not belong together: the network's sha256 is "
            f"{found[:12]}..., the card, of {name}, has {sha256[:12]}...; {RESTORE}."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # exact, and the loop's other work is near
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # its exceptions have no common base
        raise FileFormatError(f"{path} is not an ONNX network that onnxruntime reads ({e}).") from e


def check_sizes(path: Path, session: Any, inputs: dict[str, int], outputs: dict[str, int]) -> None:
    """Raise FileFormatError unless the network maps arrays of these names and last dimensions."""
    found = {i.name: i.shape[-1] for i in session.get_inputs()}, {o.name: o.shape[-1] for o in session.get_outputs()}
    if found != (inputs, outputs):
        raise FileFormatError(
            f"{path} maps {found[0]} to {found[1]}, its card says {inputs} to {outputs}; export it again."
        )
