"""MuJoCo Warp behind the task's interface: thousands of worlds on a GPU, the same model in single precision.

Its kernels also run on the CPU, one thread and far slower than C MuJoCo: there they are for tests. The whole benchmark
physics is there (elliptic cone, noslip, implicitfast, the motors' torque-speed line); what is not is refused by name.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import mujoco
import numpy as np

from dexhot.errors import DexhotError, MissingExtraError
from dexhot.simulation.perturbation import Draw
from dexhot.simulation.scene import floating_scene
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.simulators import MujocoWorlds, Start, WorldStates, all_pieces

with suppress(ImportError):  # told where it is needed
    import mujoco_warp
    import warp as wp

    from dexhot_train.task.warp_kernels import copy_rows

CONTACTS, CONSTRAINTS = 64, 320  # per world; a closed LEAP hand has up to 40 contacts of four rows each
OUT_OF_REACH = 1000.0  # m
UNUSED = ("dof_length",)  # of the model's fields: for sleeping bodies, which these worlds do not have


class WarpMujoco(MujocoWorlds):
    """Every world's friction, masses, gains and poses of links are its own. States are exchanged with the host once per
    control step."""

    def __init__(
        self,
        clips: Sequence[TaskClip],
        size: int,
        worlds: Sequence[Sequence[Draw | None]],
        device: str | None = None,
    ):
        """device: "cpu", "cuda" or "cuda:1"; default: the first GPU, else the CPU.

        Raises MissingExtraError without MuJoCo Warp; DexhotError for a device or a feature that it lacks, and for clips
        whose models differ in what all worlds share.
        """
        if "mujoco_warp" not in globals():
            raise MissingExtraError("MuJoCo Warp", "gpu")
        super().__init__(with_all_objects(clips), size, worlds)
        self.device = _device(device)
        models = [model for of_clip in self.models for model in of_clip]
        self._first_of = np.cumsum([0, *(len(of_clip) for of_clip in self.models)])[:-1]  # of each clip's models
        own = own_fields(models)
        with wp.ScopedDevice(self.device):
            self.model = _put(models[0], dict.fromkeys(own, size))
            self.data = mujoco_warp.make_data(models[0], nworld=size, nconmax=CONTACTS, njmax=CONSTRAINTS)
            self.controls = wp.zeros((self.substeps, size, models[0].nu), dtype=float)
            self._tables = [self._table(name, _words(rows)) for name, rows in own.items()]
            self._choose(np.arange(size))
            self._graph = self._captured() if self.device.is_cuda else None

    def reset(self, rows: np.ndarray, clip: np.ndarray, world: np.ndarray, start: Start) -> None:
        super().reset(rows, clip, world, start)
        self._choose(np.asarray(rows))

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        super().restore(snapshot)
        self._choose(np.arange(self.size))

    def step(self, controls: np.ndarray) -> WorldStates:
        before, nq = self.states, self.scene.model.nq
        last = 1 + nq + self.scene.model.nv
        data, control = self.data, np.clip(controls, self.scene.lower, self.scene.upper)
        with wp.ScopedDevice(self.device):
            data.time.assign(before[:, 0])
            data.qpos.assign(before[:, 1 : 1 + nq])
            data.qvel.assign(before[:, 1 + nq : last])
            data.qacc_warmstart.zero_()  # as mujoco.rollout begins, so that a state continues the same from a snapshot
            data.overflow.zero_()
            self.controls.assign(np.swapaxes(control, 0, 1))
            if self._graph:
                wp.capture_launch(self._graph)
            else:
                self._substeps()
            after = np.concatenate([data.time.numpy()[:, None], data.qpos.numpy(), data.qvel.numpy()], axis=1)
            sensors, overflow = data.sensordata.numpy(), data.overflow.numpy() > 0
        valid = np.isfinite(after).all(axis=1) & np.isfinite(sensors).all(axis=1) & ~overflow
        states = before.copy()
        states[valid, :last] = after[valid]
        sensors = np.where(valid[:, None], sensors, 0.0)
        return self.advance(states, sensors.astype(float), ~valid)

    def _table(self, name: str, words: np.ndarray) -> tuple[Any, Any]:
        """A field of all models (M, words) on the device, and a view (N, words) of the worlds' own."""
        own = getattr(self.model, name)
        view: Any = wp.array(ptr=own.ptr, dtype=int, shape=(self.size, words.shape[1]), device=own.device, copy=False)
        return wp.array(words, dtype=int), view

    def _substeps(self) -> None:
        for k in range(self.substeps):
            wp.copy(self.data.ctrl, self.controls[k])
            mujoco_warp.step(self.model, self.data)

    def _captured(self) -> Any:
        """A control step as a CUDA graph: its hundreds of launches cost more than their work."""
        self._substeps()  # compiles
        with wp.ScopedCapture() as capture:
            self._substeps()
        return capture.graph

    def _choose(self, rows: np.ndarray) -> None:
        """Copy the fields of each world's model into worlds `rows`."""
        chosen = self._first_of[self.clip[rows]] + self.world[rows]
        with wp.ScopedDevice(self.device):
            index: list[Any] = [wp.array(rows, dtype=int), wp.array(chosen, dtype=int)]
            for library, target in self._tables:
                wp.launch(copy_rows, (len(rows), library.shape[1]), inputs=[*index, library, target])


def with_all_objects(clips: Sequence[TaskClip]) -> list[TaskClip]:
    """Clips whose models have the same meshes: each object has the pieces of all of them, the others'
    out of reach. Its mass and inertia stay its own."""
    pieces, own = all_pieces(clips)
    if len(own) == 1:
        return list(clips)
    out = []
    for clip in clips:
        r, asset = clip.reference, replace(clip.asset, pieces=pieces)
        scene = floating_scene(clip.setup.hand, asset, r.base_quat, clip.setup.physics, r.table_height, visual=False)
        others = np.delete(scene.object_geoms, np.arange(len(pieces))[own[clip.asset.name]])
        scene.model.geom_pos[others, 2] += OUT_OF_REACH
        out.append(replace(clip, scene=scene))
    return out


def own_fields(models: Sequence[mujoco.MjModel]) -> dict[str, np.ndarray]:
    """The fields in which models differ, each (M, ...). Raises DexhotError where Warp has only one for all worlds."""
    own, shared = {}, []
    for field in fields(mujoco_warp.Model):
        values: list[Any] = [getattr(model, field.name, None) for model in models]
        if field.name in UNUSED or not isinstance(values[0], np.ndarray | int | float):
            continue
        if all(np.array_equal(values[0], value) for value in values[1:]):
            continue
        batched = getattr(field.type, "shape", ("",))[0] == "*"
        if batched and len({np.shape(value) for value in values}) == 1:
            own[field.name] = np.stack(values)
        else:
            shared.append(field.name)
    if shared:
        raise DexhotError(
            f"MuJoCo Warp has one {', one '.join(shared[:3])} for all worlds, in which these clips' models differ: "
            "give clips of one hand and physics, or use the backend mujoco."
        )
    return own


def _put(model: mujoco.MjModel, sizes: dict[str, int]) -> Any:
    try:
        put = mujoco_warp.put_model(model, batch_sizes=sizes)
    except (NotImplementedError, ValueError) as e:
        raise DexhotError(f"MuJoCo Warp cannot simulate this physics: {e} Use the backend mujoco.") from e
    put.opt.warn_overflow = False  # counted as divergence
    put.opt.deterministic = wp.get_device().is_cuda  # the CPU's one thread is
    return put


def _device(name: str | None) -> Any:
    try:
        return wp.get_device(name) if name else wp.get_preferred_device()
    except (RuntimeError, ValueError) as e:
        there = ", ".join(str(d) for d in wp.get_devices())
        raise DexhotError(f"no device {name!r} for MuJoCo Warp; available: {there}.") from e


def _words(rows: np.ndarray) -> np.ndarray:
    """(M, ...) rows of a field, as Warp has them, as (M, words) of 32 bits."""
    single = rows.astype(np.int32 if rows.dtype.kind == "i" else np.float32)
    return single.reshape(len(rows), -1).view(np.int32)
