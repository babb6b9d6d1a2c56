"""Mine one reference in its own process: the executors' job, and the file that makes it resumable."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.geometry.poses import IDENTITY
from dexhot.retargeting.placement import with_arm_path
from dexhot.retargeting.retarget import with_profile
from dexhot.simulation.scene import floating_scene
from dexhot.simulation.setup import Setup, load_setup
from dexhot.versions import source_hash, versions
from dexhot_train.mining.mine import MineOptions, Report, make_worlds, mine


@dataclass(frozen=True)
class ClipJob:
    """One clip to mine."""

    reference: Path  # file of a Reference
    out: Path  # file of the Demonstration
    options: MineOptions = field(default_factory=MineOptions)
    profile: str | None = None  # of the finger servos; None: the one that the reference is for

    def key(self) -> str:
        """`clip_key` of the current content of its reference's file."""
        reference = load_reference(self.reference)
        reference = with_profile(reference, self.profile) if self.profile else reference
        return clip_key(reference, load_setup(reference), self.options)

    def done(self) -> bool:
        """Whether `out` already has this job's result."""
        return holds(self.out, self.key())


def load_reference(path: Path) -> Reference:
    """A reference from its file, or a demonstration's, such as of teleoperation, to be mined anew; files of dexhot 0.1
    get the missing arm path. Raises UnreachableError."""
    found: Any = load(path)
    reference = found.reference if isinstance(found, Demonstration) else load(path, Reference)
    return reference if np.allclose(reference.placement, IDENTITY) else with_arm_path(reference)


def clip_key(reference: Reference, setup: Setup, options: MineOptions) -> str:
    """Hash of everything the result depends on: the reference, the budget, the content (not just the names) of object
    and hand, the physics, and the code.
    """
    asset, digest = setup.asset, hashlib.sha256()
    scene = floating_scene(setup.hand, asset, reference.base_quat, setup.physics, reference.table_height, visual=False)
    world = np.zeros(mujoco.mj_sizeModel(scene.model), np.uint8)  # object, hand and physics as simulated
    mujoco.mj_saveModel(scene.model, None, world)
    motion = (reference.q, reference.target, reference.contact, reference.object_pose, reference.base_quat)
    for array in (
        *motion,
        reference.placement,
        reference.arm_q,
        reference.arm_frames,
        world,
        asset.vertices,
        asset.faces,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    used = {name: versions()[name] for name in ("dexhot", "numpy", "mujoco", "scipy")}
    names = [reference.object_name, reference.name, list(reference.joint_names)]
    context = [asdict(options), asdict(asset.symmetry), names, used, source_hash()]
    digest.update(json.dumps(context).encode())
    return digest.hexdigest()[:16]


def holds(out: Path, key: str) -> bool:
    """Whether `out` is a Demonstration that was mined under `key`."""
    return out.is_file() and load(out, Demonstration).provenance.get("key") == key


def run_clip(job: ClipJob, progress: Report | None = None) -> Path:
    """Mine and save, unless done."""
    reference = load_reference(job.reference)
    reference = with_profile(reference, job.profile) if job.profile else reference
    mine_into(job.out, reference, load_setup(reference), job.options, progress)
    return job.out


def mine_into(
    out: Path,
    reference: Reference,
    setup: Setup,
    options: MineOptions,
    progress: Report | None = None,
) -> bool:
    """Mine and save into `out`, unless it has the result; returns whether it had. A stage that an interrupted run has
    finished is read from a file beside `out`."""
    key = clip_key(reference, setup, options)
    if holds(out, key):
        return True
    partial = out.with_name(f".{out.stem}.{key}.partial.npz")
    demonstration = mine(reference, make_worlds(reference, setup, options), options, progress, partial)
    demonstration.provenance["key"] = key
    save(demonstration, out)
    partial.unlink(missing_ok=True)
    return False
