"""`python -m dexhot_train.task.mujoco_worker`: MuJoCo as a worker (task/wire.py), to show and test the protocol."""

import os
import sys
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.simulation.perturbation import Draw
from dexhot_train.task import wire
from dexhot_train.task.clips import load_task_clip
from dexhot_train.task.simulators import Start, ThreadedMujoco

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]


def opened(values: dict[str, Any]) -> ThreadedMujoco:
    """The simulator that the task asks for. Raises DexhotError."""
    if values["version"] != wire.VERSION:
        raise DexhotError(f"this worker speaks version {wire.VERSION} of the protocol, not {values['version']}.")
    clips = [load_task_clip(path, profile) for path, profile in zip(values["references"], values["profiles"])]
    worlds = [
        [None if d is None else Draw(**{k: _array(v) for k, v in d.items()}) for d in w] for w in values["worlds"]
    ]
    return ThreadedMujoco(clips, values["size"], worlds)


def answer(simulator: ThreadedMujoco, operation: str, arrays: dict[str, np.ndarray]) -> Answer:
    """Carry an operation out. Raises DexhotError for an unknown one."""
    if operation == "reset":
        rows, clip, world = (arrays.pop(name) for name in ("rows", "clip", "world"))
        simulator.reset(rows, clip, world, Start(**arrays))
        return {}, {}
    if operation == "step":
        return {}, asdict(simulator.step(arrays["controls"]))
    if operation == "reading":
        return {}, asdict(simulator.reading())
    if operation == "snapshot":
        return {}, simulator.snapshot()
    if operation == "restore":
        simulator.restore(arrays)
        return {}, {}
    raise DexhotError(f"no operation {operation!r}.")


def serve(read: IO[bytes], write: IO[bytes]) -> None:
    """Answer messages until "close" or the end of the stream."""
    simulator: ThreadedMujoco | None = None
    while True:
        try:
            operation, values, arrays = wire.receive(read)
        except EOFError:
            return
        told: dict[str, Any] = {}
        found: dict[str, np.ndarray] = {}
        try:
            if operation == "open":
                simulator = opened(values)
                told = {"substeps": simulator.substeps}
            elif operation != "close":
                if simulator is None:
                    raise DexhotError("send open first.")
                told, found = answer(simulator, operation, arrays)
        except Exception as e:  # the task shows it
            operation, told = "error", {"text": f"{type(e).__name__}: {e}"}
        wire.send(write, operation, told, found)
        if operation == "close":
            return


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value


if __name__ == "__main__":
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the messages
    serve(sys.stdin.buffer, output)
