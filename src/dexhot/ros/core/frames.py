"""Poses in any frame of the rig -> the world: static transforms from a parameter and /tf_static, moving ones from /tf.

A frame that is not known is refused by its name: nothing is taken as the world's that does not say so. tf2_msgs comes
with a ROS distribution, not with PyPI's wheels; without it the parameter `static_transforms` is all there is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dexhot.data.topics import TF, TF_STATIC
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.ros.core.message_class import optional_class
from dexhot.ros.core.messages import UNIT, WORLD_FRAME, read_transform, seconds
from dexhot.ros.core.refusals import RefusedError

if TYPE_CHECKING:
    from dexhot.ros.core.base import DexhotNode

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])  # as geometry.poses has it, which loads SciPy
AGE = 0.02  # s between a measurement and the moving transform nearest in time; they are not interpolated
KEPT = 100  # moving transforms of a frame
MANY = 1000  # frames


class FrameTree:
    """A tree of frames below the world. `given`: "PARENT CHILD x y z qw qx qy qz" each (m, quaternion wxyz), with their
    full names. `prefix`: that of the robot's frames, so of its world."""

    def __init__(self, given: Sequence[str] = (), prefix: str = ""):
        self.world = _name(prefix + WORLD_FRAME)
        self._static: dict[str, tuple[str, np.ndarray]] = {}  # child -> parent, parent_T_child
        self._moving: dict[str, list[tuple[float, str, np.ndarray]]] = {}  # child -> stamp, parent, parent_T_child
        for text in given:
            parent, child, pose = parse(text)
            if child in self._static:
                raise DexhotError(f"static_transforms: {child!r} has two parents.")
            self._static[child] = parent, pose
        self._given = frozenset(self._static)
        for child in self._given:
            self.world_T(child)

    def listen(self, node: "DexhotNode", moving: bool) -> bool:
        """Hear /tf_static, and /tf where `moving`; False where tf2_msgs is not installed."""
        if (TFMessage := optional_class("tf2_msgs/msg/TFMessage")) is None:
            return False
        node.subscribe(TFMessage, TF_STATIC, lambda m: self.hear(m.transforms, moving=False), "static")
        if moving:
            node.subscribe(TFMessage, TF, lambda m: self.hear(m.transforms, moving=True), "state")
        return True

    def hear(self, transforms: Sequence[Any], moving: bool) -> None:
        """Take geometry_msgs/TransformStamped. What the parameter gives stays. Raises RefusedError."""
        for t in transforms:
            parent, child = _name(t.header.frame_id), _name(t.child_frame_id)
            if child in self._given or child == self.world:
                continue  # of the rig's own measure
            pose = read_transform(t.transform)
            if child not in self._static and child not in self._moving and len(self._static) + len(self._moving) > MANY:
                raise RefusedError(f"there are more than {MANY} frames.")
            if moving:
                known = self._moving.setdefault(child, [])
                known.append((seconds(t.header.stamp), parent, pose))
                del known[:-KEPT]
            else:
                self._static[child] = parent, pose

    def world_T(self, frame: str, stamp: float = 0.0) -> np.ndarray:
        """The pose (7,) of a frame in the world at `stamp` (s). Raises RefusedError for one that is not known then."""
        if frame == self.world:
            return IDENTITY
        seen: set[str] = set()
        pose, at = IDENTITY, _name(frame)
        while at != self.world:
            if at in seen:
                raise RefusedError(f"the frames {', '.join(sorted(seen))} are a circle.")
            seen.add(at)
            at, step = self._parent(at, stamp, frame)
            pose = single.compose(step, pose)
        return pose

    def to_world(
        self, frame: str, pose: np.ndarray, covariance: np.ndarray, stamp: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A pose (7,) in `frame` and its covariance (6, 6: position, rotation; about the frame's axes), in the world's.

        Raises RefusedError.
        """
        if frame == self.world:
            return pose, covariance
        world_T_frame = self.world_T(frame, stamp)
        turn = np.zeros((6, 6))
        turn[:3, :3] = turn[3:, 3:] = single.matrix(world_T_frame[3:])
        return single.compose(world_T_frame, pose), turn @ covariance @ turn.T

    def _parent(self, child: str, stamp: float, asked: str) -> tuple[str, np.ndarray]:
        if child in self._static:
            return self._static[child]
        if child not in self._moving:
            known = ", ".join(sorted({self.world, *self._static, *self._moving}))
            via = "" if child == _name(asked) else f" (above {asked[:40]!r})"
            raise RefusedError(
                f"the frame {child[:40]!r}{via} has no place in the world; known are {known[:200]}. Give the node's "
                "parameter static_transforms, or publish in the world's."
            )
        at, parent, pose = min(self._moving[child], key=lambda t: abs(t[0] - stamp))
        if abs(at - stamp) > AGE:
            raise RefusedError(f"/tf has no {child[:40]!r} within {1e3 * AGE:.0f} ms of the measurement.")
        return parent, pose


def parse(text: str) -> tuple[str, str, np.ndarray]:
    """(parent, child, parent_T_child) of "PARENT CHILD x y z qw qx qy qz". Raises DexhotError."""
    words = text.split()
    try:
        pose = np.array([float(word) for word in words[2:]])
    except ValueError:
        pose = np.zeros(0)
    if len(pose) != 7 or not np.isfinite(pose).all() or abs(float(np.linalg.norm(pose[3:])) - 1.0) > UNIT:
        raise DexhotError(
            f"static_transforms: {text!r} is not 'PARENT CHILD x y z qw qx qy qz' in m, with a unit quaternion."
        )
    return _name(words[0]), _name(words[1]), pose


def _name(frame: str) -> str:
    """Without the slash that names of tf once began with."""
    return frame.removeprefix("/")
