"""A simulator in a process of its own, also under another interpreter, behind the task's interface."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import jsonable, save
from dexhot.errors import DexhotError
from dexhot.simulation.perturbation import Draw
from dexhot_train.task import wire
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.randomisation import ratios
from dexhot_train.task.simulators import Start, WorldStates


class WorkerSimulator:
    """Speaks task/wire.py with `command`, such as [sys.executable, "-m", "dexhot_train.task.mujoco_worker"]."""

    def __init__(
        self,
        command: Sequence[str],
        clips: Sequence[TaskClip],
        size: int,
        worlds: Sequence[Sequence[Draw | None]],
        environment: dict[str, str] | None = None,
    ):
        """Raises DexhotError where the worker does not start, or refuses the clips."""
        self.size = size
        try:
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | (environment or {})
            )
        except OSError as e:
            raise DexhotError(f"the simulator's worker {command[0]} does not start: {e}.") from e
        drawn = [[None if d is None else _plain(asdict(d)) for d in draws] for draws in worlds]
        with tempfile.TemporaryDirectory(prefix="dexhot-worker-") as folder:
            files = [str(save(c.reference, Path(folder) / f"{k}.npz")) for k, c in enumerate(clips)]
            profiles = [c.setup.physics.profile(c.setup.hand) for c in clips]
            values = {"version": wire.VERSION, "clips": [c.name for c in clips], "references": files}
            values |= {"profiles": profiles, "size": size, "worlds": drawn}
            physics = [[ratios(d, c.setup.physics) for d in draws] for c, draws in zip(clips, worlds)]
            told, found = self._ask("open", values, {"physics": np.array(physics)})
        self.substeps = int(told["substeps"])
        self.assigned = found.get("assigned")  # (N, 2) where each world keeps its clip and physics

    def reset(self, rows: np.ndarray, clip: np.ndarray, world: np.ndarray, start: Start) -> None:
        states = {f.name: getattr(start, f.name) for f in fields(Start)}
        self._ask("reset", arrays={"rows": np.asarray(rows), "clip": clip, "world": world} | states)

    def step(self, controls: np.ndarray) -> WorldStates:
        return WorldStates(**self._ask("step", arrays={"controls": controls})[1])

    def reading(self) -> WorldStates:
        return WorldStates(**self._ask("reading")[1])

    def snapshot(self) -> dict[str, np.ndarray]:
        return self._ask("snapshot")[1]

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        self._ask("restore", arrays=snapshot)

    def close(self) -> None:
        """End the worker."""
        with suppress(DexhotError):
            self._ask("close")
        self.process.wait(10.0)

    def _ask(
        self, operation: str, values: dict[str, Any] | None = None, arrays: dict[str, np.ndarray] | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Send a message and return the answer's values and arrays. Raises DexhotError with the worker's error."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            wire.send(self.process.stdin, operation, values, arrays)
            answer, told, found = wire.receive(self.process.stdout)
        except (OSError, EOFError) as e:
            code = self.process.wait(10.0)
            raise DexhotError(
                f"the simulator's worker ended with code {code} during {operation}; its output is above. Resume the "
                "training from its checkpoint."
            ) from e
        if answer == "error":
            raise DexhotError(f"the simulator's worker failed during {operation}: {told['text']}")
        return told, found


def _plain(drawn: dict[str, Any]) -> dict[str, Any]:
    return {name: jsonable(value) if isinstance(value, np.ndarray) else value for name, value in drawn.items()}
