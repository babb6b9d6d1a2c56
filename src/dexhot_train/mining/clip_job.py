"""Mine one reference in its own process: what executors run, and the file that makes it resumable."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.objects.library import load_object
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import floating_scene
from dexhot.versions import source_hash, versions
from dexhot_train.mining.mine import MineOptions, mine


@dataclass(frozen=True)
class ClipJob:
    """One clip to mine."""

    reference: Path  # file of a Reference
    out: Path  # file of the Demonstration
    options: MineOptions = field(default_factory=MineOptions)

    def key(self) -> str:
        """Changes when anything does that the result depends on: the reference, the budget, the object and the hand as
        they are (not only what they are called), the physics, and the code.
        """
        reference, digest = load(self.reference, Reference), hashlib.sha256()
        asset, hand = load_object(reference.object_name), load_hand(reference.hand)
        scene = floating_scene(hand, asset, reference.base_quat, load_physics(), reference.table_height, visual=False)
        world = np.zeros(mujoco.mj_sizeModel(scene.model), np.uint8)  # object, hand and physics as they are simulated
        mujoco.mj_saveModel(scene.model, None, world)
        motion = (reference.q, reference.target, reference.contact, reference.object_pose, reference.base_quat)
        for array in (*motion, reference.placement, world, asset.vertices, asset.faces):
            digest.update(np.ascontiguousarray(array).tobytes())
        used = {name: versions()[name] for name in ("dexhot", "numpy", "mujoco", "mink")}
        names = [reference.object_name, reference.name, list(reference.joint_names)]
        context = [asdict(self.options), asdict(asset.symmetry), names, used, source_hash()]
        digest.update(json.dumps(context).encode())
        return digest.hexdigest()[:16]

    def done(self) -> bool:
        """Whether `out` holds what this job would make."""
        return self.out.is_file() and load(self.out, Demonstration).provenance.get("key") == self.key()


def run_clip(job: ClipJob, progress: Callable[[str, float], None] | None = None) -> Path:
    """Mine and save, unless it is done. A stage that an interrupted run finished is taken from beside `out`."""
    if not job.done():
        reference = load(job.reference, Reference)
        asset, hand = load_object(reference.object_name), load_hand(reference.hand)
        key = job.key()
        partial = job.out.with_name(f".{job.out.stem}.{key}.partial.npz")
        demonstration = mine(reference, asset, hand, load_physics(), job.options, progress, partial)
        demonstration.provenance["key"] = key
        save(demonstration, job.out)
        partial.unlink(missing_ok=True)
    return job.out
