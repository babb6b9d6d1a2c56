"""The simulators of the tracking task by name: a backend is a `TaskSimulator` made of clips and their physics."""

from collections.abc import Sequence
from importlib.util import find_spec

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


def without_gpu(backend: str) -> str:
    """What to say before a training with a backend that is made for a GPU where there is none; "" otherwise."""
    if backend != "warp" or not find_spec("warp"):
        return ""
    import warp

    if warp.get_preferred_device().is_cuda:
        return ""
    return "No CUDA GPU: MuJoCo Warp steps the worlds on one CPU thread; --backend mujoco takes all cores."
