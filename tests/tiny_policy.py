"""Policies for tests, without torch: next residual = keep * residual + W observation + bias."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexhot.control.policy import make_card
from dexhot.data.files import save
from dexhot.data.types import PolicyCard

LAYOUT = ["object_error", "gravity", "contact@6"]


def network_bytes(
    size: int, joints: int, bias: np.ndarray, keep: float = 1.0, weight: np.ndarray | None = None
) -> bytes:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((size, joints)) if weight is None else weight
    constants = {"W": weight, "bias": np.asarray(bias), "keep": np.array(keep)}
    nodes = [
        helper.make_node("MatMul", ["observation", "W"], ["said"]),
        helper.make_node("Add", ["said", "bias"], ["shifted"]),
        helper.make_node("Mul", ["residual", "keep"], ["kept"]),
        helper.make_node("Add", ["shifted", "kept"], ["next_residual"]),
    ]
    value = lambda name, n: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", n])  # noqa: E731
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("observation", size), value("residual", joints)],
        [value("next_residual", joints)],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_policy(
    path: Path,
    reference,
    simulated_in,
    bias: np.ndarray | float = 0.0,
    keep: float = 1.0,
    weight: np.ndarray | None = None,
    layout=LAYOUT,
    **card,
) -> Path:
    """path.onnx and its card; `card`: changed fields."""
    made: PolicyCard = make_card(
        "tiny", reference, simulated_in, layout, baseline=card.get("baseline", "object_relative")
    )
    size, joints = sum(part["size"] for part in made.observation), len(made.joint_names)
    content = network_bytes(size, joints, np.broadcast_to(bias, joints), keep, weight)
    path = path.with_suffix(".onnx")
    path.write_bytes(content)
    save(replace(made, onnx_sha256=hashlib.sha256(content).hexdigest(), **card), path.with_suffix(".json"))
    return path
