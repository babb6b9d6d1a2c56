"""Poses in any frame of the rig: into the world, or refused by the frame's name."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped

from dexhot.errors import DexhotError
from dexhot.geometry import poses, rotations
from dexhot.ros.core import messages
from dexhot.ros.core.frames import AGE, FrameTree
from dexhot.ros.core.refusals import RefusedError

pytestmark = pytest.mark.ros
CAMERA = np.array([0.5, -0.2, 0.8, *rotations.rotvec_to_quat(np.array([0.3, -1.0, 2.0]))])
MARKER = np.array([0.0, 0.1, 0.4, *rotations.rotvec_to_quat(np.array([-1.0, 0.5, 0.2]))])
GIVEN = [f"world camera {' '.join(map(str, CAMERA))}", f"/camera /marker {' '.join(map(str, MARKER))}"]
POSE = np.array([0.1, 0.2, 0.3, *rotations.rotvec_to_quat(np.array([1.0, 1.0, -1.0]))])


def transform(parent: str, child: str, pose: np.ndarray, stamp: float = 0.0) -> TransformStamped:
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id, made.header.stamp = parent, messages.to_stamp(stamp)
    t, r = made.transform.translation, made.transform.rotation
    t.x, t.y, t.z, r.w, r.x, r.y, r.z = map(float, pose)
    return made


@pytest.mark.parametrize("source", ["parameter", "tf_static"])
def test_a_pose_comes_into_the_world_through_a_chain_of_frames(source):
    frames = FrameTree(GIVEN if source == "parameter" else ())
    if source == "tf_static":
        frames.hear([transform("world", "camera", CAMERA), transform("camera", "/marker", MARKER)], moving=False)
    found, _ = frames.to_world("marker", POSE, np.zeros((6, 6)), 0.0)
    np.testing.assert_allclose(found, poses.compose(poses.compose(CAMERA, MARKER), POSE), atol=1e-12)


def test_its_covariance_turns_with_it():
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    _, found = FrameTree(GIVEN).to_world("camera", POSE, covariance, 0.0)
    R = rotations.quat_to_matrix(CAMERA[3:])
    np.testing.assert_allclose(found[:3, :3], R @ covariance[:3, :3] @ R.T, atol=1e-12)
    np.testing.assert_allclose(found[3:, 3:], R @ covariance[3:, 3:] @ R.T, atol=1e-12)


def test_the_world_itself_is_left_alone():
    pose, covariance = FrameTree(GIVEN).to_world("world", POSE, np.eye(6), 0.0)
    assert pose is POSE and (covariance == np.eye(6)).all()


@pytest.mark.parametrize("frame", ["", "map", "world "])
def test_a_frame_that_is_not_known_is_refused_by_its_name(frame):
    with pytest.raises(RefusedError, match=f"{frame!r} is not connected.*known frames: camera, marker, world"):
        FrameTree(GIVEN).to_world(frame, POSE, np.eye(6), 0.0)


@pytest.mark.parametrize("given", ["", "world camera", "world camera 0 0 0 2 0 0 0", "world camera a 0 0 1 0 0 0"])
def test_an_invalid_transform_is_refused_at_configure(given):
    with pytest.raises(DexhotError, match="PARENT CHILD"):
        FrameTree([given])


@pytest.mark.parametrize("given", [["a b 0 0 0 1 0 0 0"], ["a b 0 0 0 1 0 0 0", "b a 0 0 0 1 0 0 0"]])
def test_a_tree_that_does_not_hang_on_the_world_is_refused_at_configure(given):
    with pytest.raises(DexhotError, match=r"not connected to the world|form a loop"):
        FrameTree(given)


def test_what_the_parameter_gives_stays_whatever_tf_publishes():
    frames = FrameTree(GIVEN)
    frames.hear([transform("world", "camera", MARKER), transform("camera", "world", MARKER)], moving=False)
    frames.hear([transform("world", "camera", MARKER)], moving=True)
    np.testing.assert_array_equal(frames.world_T("camera"), CAMERA)


def test_a_moving_frame_is_that_of_the_measurements_time_or_refused():
    frames = FrameTree()
    for k in range(5):
        frames.hear([transform("world", "wrist", np.r_[0.1 * k, CAMERA[1:]], 10.0 + 0.1 * k)], moving=True)
    assert frames.world_T("wrist", 10.2 + 0.9 * AGE)[0] == pytest.approx(0.2)
    with pytest.raises(RefusedError, match="within 20 ms"):
        frames.world_T("wrist", 10.25)


@pytest.mark.parametrize("pose", [np.zeros(7), np.full(7, np.nan)])
def test_an_invalid_transform_from_tf_is_refused(pose):
    with pytest.raises(RefusedError):
        FrameTree().hear([transform("world", "camera", pose)], moving=False)


class Listener:
    """A node's subscriptions."""

    def __init__(self) -> None:
        self.heard: dict = {}

    def subscribe(self, kind, topic, callback, qos) -> None:
        self.heard[topic] = callback


@pytest.mark.parametrize(("moving", "topics"), [(False, ["/tf_static"]), (True, ["/tf_static", "/tf"])])
def test_tf_is_heard_where_it_is_installed(monkeypatch, moving, topics):
    node, frames = Listener(), FrameTree()
    monkeypatch.setitem(sys.modules, "tf2_msgs", None)
    assert not frames.listen(node, moving) and not node.heard
    for name in ("tf2_msgs", "tf2_msgs.msg"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(TFMessage=object))
    assert frames.listen(node, moving) and list(node.heard) == topics
    node.heard["/tf_static"](SimpleNamespace(transforms=[transform("world", "camera", CAMERA)]))
    np.testing.assert_allclose(frames.world_T("camera"), CAMERA)


def test_foreign_frames_fill_no_memory():
    frames = FrameTree()
    with pytest.raises(RefusedError, match="frames"):
        frames.hear([transform("world", f"f{k}", CAMERA) for k in range(2000)], moving=True)


def test_a_prefixed_robot_has_a_world_of_its_own():
    frames = FrameTree(["robot1/world mocap 1 2 3 1 0 0 0"], "robot1/")
    assert frames.world_T("robot1/world") is not None and np.allclose(frames.world_T("mocap")[:3], [1, 2, 3])
    with pytest.raises(RefusedError, match="known frames: mocap, robot1/world"):
        frames.world_T("world")
