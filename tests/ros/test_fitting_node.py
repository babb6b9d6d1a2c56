"""The fitting node: the evidence of one image is brought together by its stamp, fitted, and published with it."""

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import Header

from dexhot.data.topics import FIT_FIELDS, HAND_FIT, HAND_MODEL, OBJECT_FIT
from dexhot.ros.core import messages
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import camera_info, image, keypoint_cloud, read_cloud
from node_bench import NodeBench
from tiny_clip import tiny_clip

pytest.importorskip("numba")
from dexhot.ros.see.fitting_node import FittingNode

pytestmark = pytest.mark.ros
BEGIN, FRAME = 1000.0, "camera_color_optical_frame"


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(frames=6)


class Fitting:
    """The node, fed by hand."""

    def __init__(self, bench: NodeBench):
        self.bench = bench
        self.hands = bench.listen(PointCloud2, HAND_FIT, "state")
        self.objects = bench.listen(PoseWithCovarianceStamped, OBJECT_FIT, "state")
        self.models = bench.listen(JointState, HAND_MODEL, "state")
        self.node = bench.start(FittingNode(), object="parametric/box-50x70x100")
        assert self.node.state == "active", self.node.resting
        made = (self.node.hand_fit, self.node.object_fit, self.node.hand_model)
        assert bench.spin_until(lambda: all(p.get_subscription_count() for p in made))

    def feed(self, clip, k: int, labelled: int | None = None, relative_depth: np.ndarray | None = None) -> None:
        """The evidence of frame k; its labels with the stamp of frame `labelled`."""
        recording, evidence, _ = clip
        header = Header(stamp=messages.to_stamp(BEGIN + k / 30), frame_id=FRAME)
        late = Header(stamp=messages.to_stamp(BEGIN + (k if labelled is None else labelled) / 30), frame_id=FRAME)
        node = self.node
        node.pairs.on_info(camera_info(header, recording.intrinsics))
        node.pairs.on_depth(image(header, recording.depth[k]))
        points = evidence.keypoints["right"][k]
        node.on_keypoints(keypoint_cloud(header, points, relative_depth=relative_depth))
        covariance = np.diag([1e-5] * 3 + [1e-3] * 3)
        node.on_pose(messages.stamped_pose(header, evidence.object_pose[k], covariance))
        node.on_labels(image(late, evidence.labels[k]))


@pytest.fixture
def fitting(ros_domain, cache):
    bench = NodeBench()
    yield Fitting(bench)
    bench.close()


def test_hand_and_object_are_fitted_and_published_with_the_images_stamp(fitting, clip):
    for k in range(6):
        fitting.feed(clip, k)
        assert fitting.bench.spin_until(lambda k=k: len(fitting.hands) > k), fitting.node.newest.failure
    message = fitting.hands[-1]
    assert messages.seconds(message.header.stamp) == pytest.approx(BEGIN + 5 / 30, abs=1e-5)
    rows = read_cloud(message, FIT_FIELDS)
    assert np.linalg.norm(rows[:, :3] - clip[2][5], axis=1).mean() < 0.02
    assert (rows[:, 3] > 0).all() and rows[:, 3].mean() < 0.02
    assert fitting.bench.spin_until(lambda: len(fitting.objects) == 6 and len(fitting.models) == 6)
    pose, covariance = messages.read_object_pose(fitting.objects[-1])
    assert np.linalg.norm(pose[:3] - clip[1].object_pose[5, :3]) < 0.006
    assert 0 < covariance[0, 0] < 0.01**2
    assert len(fitting.models[-1].position) == 51 + fitting.node.person.shape_size


@pytest.mark.parametrize("relative_depth", [None, np.full(21, np.nan), np.linspace(0.0, 40.0, 21)])
def test_the_detectors_relative_depth_is_fitted_where_it_is_estimated(fitting, clip, monkeypatch, relative_depth):
    given = []
    monkeypatch.setattr(fitting.node.newest, "give", given.append)
    fitting.feed(clip, 0, relative_depth=relative_depth)
    [(_, frame)] = given
    assert frame.pixels == pytest.approx(clip[1].keypoints["right"][0, :, 3:5], abs=1e-3)
    if relative_depth is None or np.isnan(relative_depth).all():
        assert frame.relative_depth is None
    else:
        assert frame.relative_depth == pytest.approx(relative_depth)


def test_labels_of_another_image_are_not_fitted_to_this_ones_depth(fitting, clip):
    fitting.feed(clip, 0, labelled=3)
    assert fitting.node.newest.waiting is None and fitting.node.values["frames"] == 0
    assert fitting.hands == []


def test_labels_of_another_size_are_refused(fitting, clip):
    recording, evidence, _ = clip
    header = Header(stamp=messages.to_stamp(BEGIN), frame_id=FRAME)
    fitting.node.pairs.on_info(camera_info(header, recording.intrinsics))
    fitting.node.pairs.on_depth(image(header, recording.depth[0]))
    with pytest.raises(RefusedError, match="160x120"):
        fitting.node.on_labels(image(header, evidence.labels[0, ::2, ::2]))


def test_an_image_without_a_hand_starts_nothing(fitting, clip):
    recording, evidence, _ = clip
    header = Header(stamp=messages.to_stamp(BEGIN), frame_id=FRAME)
    fitting.node.pairs.on_info(camera_info(header, recording.intrinsics))
    fitting.node.pairs.on_depth(image(header, recording.depth[0]))
    fitting.node.on_labels(image(header, evidence.labels[0] * 0))
    assert fitting.bench.spin_until(lambda: fitting.node.fit.count == 1)
    assert fitting.node.values["frames"] == 0 and fitting.node.newest.failure is None
