"""The simulators of the tracking task by name: a backend is a `TaskSimulator` made of clips and their physics."""

from collections.abc import Sequence

from dexhot.errors import NotFoundError
from dexhot.simulation.perturbation import Draw
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.simulators import TaskSimulator, ThreadedMujoco

BACKENDS = ("mujoco", "warp")


def task_simulator(
    backend: str, clips: Sequence[TaskClip], size: int, worlds: Sequence[Sequence[Draw | None]], threads: int = 1
) -> TaskSimulator:
    """`size` worlds in the backend "mujoco" (C MuJoCo, `threads`) or "warp" (MuJoCo Warp, on the first GPU).

    Raises NotFoundError; MissingExtraError without MuJoCo Warp, DexhotError for clips that it cannot simulate.
    """
    if backend not in BACKENDS:
        raise NotFoundError("backend of the tracking task", backend, BACKENDS)
    if backend == "mujoco":
        return ThreadedMujoco(clips, size, worlds, threads)
    from dexhot_train.task.warp_simulator import WarpMujoco

    return WarpMujoco(clips, size, worlds)
