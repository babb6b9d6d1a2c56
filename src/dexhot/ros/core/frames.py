"""Poses in any frame of the rig -> the world: static transforms from a parameter and /tf_static, moving ones from /tf.

An unknown frame is rejected by name: only poses in the world frame are taken as such. tf2_msgs comes with a ROS
distribution, not with PyPI's wheels; without it only the parameter `static_transforms` is available.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dexhot.data.topics import TF, TF_STATIC
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.ros.core.message_class import optional_class
from dexhot.ros.core.messages import UNIT, read_transform, seconds
from dexhot.ros.core.names import WORLD_FRAME
from dexhot.ros.core.refusals import RefusedError

if TYPE_CHECKING:
    from dexhot.ros.core.base import DexhotNode

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])  # as in geometry.poses, which imports SciPy
AGE = 0.02  # s, largest time difference of a measurement and the nearest moving transform (no interpolation)
KEPT = 100  # moving transforms kept per frame
MANY = 1000  # frames, maximum


class FrameTree:
    """A tree of frames below the world. `given`: "PARENT CHILD x y z qw qx qy qz" each (m, quaternion wxyz), with their
    full names. `prefix`: of the robot's frames, including its world."""

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
        """Subscribe to /tf_static, and if `moving` to /tf; False if tf2_msgs is not installed."""
        if (TFMessage := optional_class("tf2_msgs/msg/TFMessage")) is None:
            return False
        node.subscribe(TFMessage, TF_STATIC, lambda m: self.hear(m.transforms, moving=False), "static")
        if moving:
            node.subscribe(TFMessage, TF, lambda m: self.hear(m.transforms, moving=True), "state")
        return True

    def hear(self, transforms: Sequence[Any], moving: bool) -> None:
        """Add geometry_msgs/TransformStamped messages; the parameter's frames take precedence. Raises RefusedError."""
        for t in transforms:
            parent, child = _name(t.header.frame_id), _name(t.child_frame_id)
            if child in self._given or child == self.world:
                continue  # set by the parameter
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
        """The pose (7,) of a frame in the world at `stamp` (s). Raises RefusedError if it is unknown at that time."""
        if frame == self.world:
            return IDENTITY
        seen: set[str] = set()
        pose, at = IDENTITY, _name(frame)
        while at != self.world:
            if at in seen:
                raise RefusedError(f"the frames {', '.join(sorted(seen))} form a loop.")
            seen.add(at)
            at, step = self._parent(at, stamp, frame)
            pose = single.compose(step, pose)
        return pose

    def to_world(
        self, frame: str, pose: np.ndarray, covariance: np.ndarray, stamp: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transform a pose (7,) in `frame` and its covariance (6, 6: position, rotation; about the frame's axes) to the
        world.

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
                f"the frame {child[:40]!r}{via} is not connected to the world; known frames: {known[:200]}. Set the "
                "node's parameter static_transforms, or publish in the world frame."
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
    """Frame name without the leading slash of older tf."""
    return frame.removeprefix("/")
