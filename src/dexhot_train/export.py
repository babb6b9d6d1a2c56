"""A trained network -> an ONNX file with its card beside it, as dexhot.control.policy reads them."""

import hashlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from dexhot.data.files import replacing, save
from dexhot.data.types import PolicyCard, PriorCard
from dexhot.errors import DexhotError, MissingExtraError

OPSET = 18


def export_policy(module: nn.Module, card: PolicyCard, path: str | Path) -> Path:
    """Write `module`, (observation (N, F), residual (N, 6+n)) -> next residual, to path.onnx, and `card` with its hash
    to path.json; returns the .onnx file. The same weights give the same bytes.

    Raises DexhotError unless the module maps the card's sizes; MissingExtraError without onnx.
    """
    path = Path(path).with_suffix(".onnx")
    size, joints = sum(int(part["size"]) for part in card.observation), len(card.joint_names)
    seen, residual = torch.zeros(2, size), torch.zeros(2, joints)
    module = module.eval()
    with torch.no_grad():
        try:
            out = module(seen, residual)
        except RuntimeError as e:
            raise DexhotError(f"the network does not take {size} numbers of the card's observation ({e}).") from e
    if tuple(out.shape) != (2, joints):
        raise DexhotError(f"the network's output has the shape {tuple(out.shape)}, not (N, {joints}) of the card.")
    content = onnx_bytes(module, {"observation": seen, "residual": residual}, ["next_residual"])
    return write_network(content, card, path)


def write_network(content: bytes, card: PolicyCard | PriorCard, path: Path) -> Path:
    """Write an ONNX file and, beside it, its card with its hash; returns `path`. Raises FileFormatError for an invalid
    card, before anything is written."""
    card = replace(card, onnx_sha256=hashlib.sha256(content).hexdigest())
    card.validate()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    save(card, path.with_suffix(".json"))
    return path


def onnx_bytes(
    module: nn.Module, inputs: dict[str, torch.Tensor], outputs: Sequence[str], rows: Sequence[str] | None = None
) -> bytes:
    """The module as ONNX, for any number of rows of the inputs `rows`, all by default; without notes on where it was
    made."""
    try:
        import onnx
    except ImportError as e:
        raise MissingExtraError("the export of a policy", "train") from e
    dimension, buffer = torch.export.Dim("rows"), io.BytesIO()
    free = tuple({0: dimension} if rows is None or name in rows else {} for name in inputs)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # on packages that this does not need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's on its own deprecated parts
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=free,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(buffer)  # type: ignore[arg-type]  # it takes streams too
    model = onnx.load_from_string(buffer.getvalue())
    for item in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input):
        item.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("doc_string")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
