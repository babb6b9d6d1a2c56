"""Clips of the task: references with what learning needs of them, and their rows as arrays that a batch indexes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.cost import targets
from dexhot.control.observation import pose_velocity
from dexhot.control.policy import turn_of, turned
from dexhot.control.sampling import base_actions
from dexhot.data.files import load
from dexhot.data.types import Demonstration, Reference
from dexhot.datasets.retargeted import retargeted_clip
from dexhot.errors import DexhotError
from dexhot.objects.asset import ObjectAsset
from dexhot.retargeting.retarget import PLAIN, reference_kind
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.simulation.scene import Scene, floating_scene
from dexhot.simulation.settle import require_rest
from dexhot.simulation.setup import Setup, load_setup

PREGRASP = 6  # frames before the object moves


@dataclass(frozen=True)
class TaskClip:
    """A reference and the world that it is tracked in."""

    reference: Reference
    setup: Setup
    scene: Scene
    demonstration: Demonstration | None = None  # actions to imitate, and states to start from

    @property
    def asset(self) -> ObjectAsset:
        return self.setup.asset

    @property
    def name(self) -> str:
        return self.reference.name


def task_clip(reference: Reference, setup: Setup, demonstration: Demonstration | None = None) -> TaskClip:
    """A clip of the task. Raises DexhotError where its object would not rest at the start, or where it has fewer than
    two frames after its first."""
    if len(reference.q) < 3:
        raise DexhotError(f"{reference.name} has {len(reference.q)} frames; a tracker needs 3 or more.")
    scene = floating_scene(
        setup.hand, setup.asset, reference.base_quat, setup.physics, reference.table_height, visual=False
    )
    require_rest(scene, reference.object_pose[0])
    return TaskClip(reference, setup, scene, demonstration)


def load_task_clip(name: str, profile: str | None = None, hand: str = "leap_right", plain: bool = False) -> TaskClip:
    """From a file (a reference or a demonstration), a clip "grab/NAME", or "parametric/KIND-SHAPE-SEED".

    `profile`: of the finger servos; default: the hand's own, or that of a file. hand: that tracks a clip; a file has
    its own. plain: a clip is retargeted by DexTrack's eq. 5-7 alone, and a file must have been. Raises DexhotError,
    NotFoundError.
    """
    if name.endswith(".npz"):
        item: Any = load(Path(name))
        if not isinstance(item, Reference | Demonstration):
            raise DexhotError(f"{name} is a {type(item).__name__}; give a reference or a demonstration.")
        demonstration = item if isinstance(item, Demonstration) else None
        reference = item.reference if isinstance(item, Demonstration) else item
        require_plain(reference, name, plain)
        profile = profile or (demonstration.servo if demonstration else None)
        return task_clip(reference, load_setup(reference, profile=profile), demonstration)
    return task_clip(*retargeted_clip(name, hand, profile, plain))


def require_plain(reference: Reference, file: str, plain: bool) -> None:
    """Raise DexhotError where `plain` asks for references by eq. 5-7 alone, and that of `file` is another one."""
    if plain and reference_kind(reference) != PLAIN:
        raise DexhotError(f"{file} was not retargeted by eq. 5-7 alone: make it by `dexhot retarget --plain`.")


def _twist(reference: Reference) -> np.ndarray:
    """(T, 6) of the object, m/s and rad/s; zero in the first frame."""
    twist = np.zeros((len(reference.q), 6))
    twist[1:] = pose_velocity(reference.object_pose[1:], reference.object_pose[:-1])
    return twist


class ClipTable:
    """The clips' rows, padded to the longest: `table.q[clip, frame]` are those of a batch."""

    def __init__(self, clips: Sequence[TaskClip]):
        """Raises DexhotError for no clip, or clips of different hands."""
        if not clips:
            raise DexhotError("a tracking task needs a clip; the list is empty.")
        hands = sorted({clip.reference.hand for clip in clips})
        if len(hands) > 1:
            raise DexhotError(f"clips of different hands do not fit one task: {', '.join(hands)}. Give one hand's.")
        self.clips = list(clips)
        references = [clip.reference for clip in clips]
        self.length = np.array([len(r.q) for r in references])
        goals = [targets(clip.reference, clip.scene) for clip in clips]
        self.q = self._padded([r.q for r in references])
        self.object_pose = self._padded([r.object_pose for r in references])
        self.contact = self._padded([r.contact for r in references])
        self.palm_pose = self._padded([palm_poses(r.base_quat, r.q) for r in references])
        self.grasp = self._padded([goal.tips_on_object for goal in goals])
        self.object_twist = self._padded([_twist(r) for r in references])
        before = [max(0, r.grasp_start - PREGRASP) for r in references]
        self.pregrasp_palm = np.stack([palm_poses(r.base_quat, r.q[t]) for r, t in zip(references, before)])
        self.pregrasp_tips = np.stack([goal.tips[t] for goal, t in zip(goals, before)])
        self.baseline = self._padded([base_actions(c.reference, c.setup.physics) for c in clips])
        expert = [
            c.demonstration.actions if c.demonstration else base_actions(c.reference, c.setup.physics) for c in clips
        ]
        self.expert = self._padded(expert)
        self.has_expert = np.array([clip.demonstration is not None for clip in clips])
        self.base_quat = np.stack([r.base_quat for r in references])
        self.center = np.array([clip.asset.symmetry.center for clip in clips], float)
        self.grasp_start = np.array([r.grasp_start for r in references])
        self.turn = turn_of(np.stack([r.placement for r in references]))
        self.symmetric = [k for k, clip in enumerate(clips) if clip.asset.symmetry.kind != "none"]

    @property
    def joints(self) -> int:
        """6 + n."""
        return int(self.q.shape[-1])

    @property
    def tips(self) -> int:
        """Fingertips."""
        return int(self.contact.shape[-1])

    def placed(self, clip: np.ndarray, residual: np.ndarray, back: bool = False) -> np.ndarray:
        """Residuals (N, 6+n) turned as the clips' placements are, or back: a policy's do not know of them."""
        return turned(residual, self.turn[clip], back)

    def _padded(self, rows: list[np.ndarray]) -> np.ndarray:
        """(K, T, ...) with each clip's last row repeated."""
        longest = int(self.length.max())
        return np.stack([x[np.minimum(np.arange(longest), len(x) - 1)] for x in rows])

    def palm(self, clip: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Hand vectors (N, 6+n) of clips (N,) -> world_T_palm (N, 7)."""
        palm: np.ndarray = palm_poses(self.base_quat[clip], q)
        return palm
