"""Checkpoints: nested dictionaries of arrays, numbers and texts in one .npz, without pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexhot.data.files import replacing
from dexhot.errors import FileFormatError

SCHEMA, VERSION = "dexhot/checkpoint", 1


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write it under a temporary name, then rename it: a killed training keeps the last whole one."""
    arrays: dict[str, np.ndarray] = {}
    plain = _pack(state, "", arrays)
    header = json.dumps({"schema": SCHEMA, "version": VERSION, "plain": plain})
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, header=np.array(header), **arrays)  # type: ignore[arg-type]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read it. Raises FileFormatError for a file that is missing, damaged or no checkpoint."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
    except FileNotFoundError:
        raise FileFormatError(f"checkpoint {path} does not exist.") from None
    except Exception as e:
        raise FileFormatError(f"checkpoint {path} is damaged ({type(e).__name__}); train anew, or restore it.") from e
    if header.get("schema") != SCHEMA or header.get("version") != VERSION:
        raise FileFormatError(f"{path} is not a checkpoint of this version of dexhot.")
    unpacked: dict[str, Any] = _unpack(header["plain"], arrays)
    return unpacked


def _pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, torch.Tensor):
        arrays[name] = value.detach().cpu().numpy()
        return {"__tensor__": name}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"__array__": name}
    if isinstance(value, dict):
        return {"__dict__": [[key, _pack(x, f"{name}/{key}", arrays)] for key, x in value.items()]}
    if isinstance(value, list | tuple):
        return [_pack(x, f"{name}/{k}", arrays) for k, x in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(x, arrays) for x in value]
    if not isinstance(value, dict):
        return value
    if "__dict__" in value:
        return {key: _unpack(x, arrays) for key, x in value["__dict__"]}
    if "__tensor__" in value:
        return torch.from_numpy(np.array(arrays[value["__tensor__"]]))
    return arrays[value["__array__"]]
