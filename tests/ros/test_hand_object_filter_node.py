"""The filter's node where a camera sees the object: a state per tick, the object in the hand, lost and seen again."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from scipy.spatial import ConvexHull
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from dexhot.data.files import save
from dexhot.data.labels import LABELS
from dexhot.data.topics import FIT_FIELDS, HAND_POINTS, OBJECT_STATE
from dexhot.geometry import single
from dexhot.geometry.cameras import pinhole
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.core.process import bring_down
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import camera_info, image, keypoint_cloud
from dexhot.ros.see.hand_object_filter_node import HandObjectFilterNode
from dexhot.ros.supervise.supervisor_node import SupervisorNode
from dexhot.safety.inputs import InputMonitor
from dexhot.safety.machine import Event, State

pytestmark = pytest.mark.ros
BEGIN, TICK, LATE = 1000.0, 1 / 60, 5  # s, s, ticks until a pose arrives
PLACE = np.array([0.35, -0.8, 0.5, 0.42083, -0.90573, -0.04499, 0.02099])
PLACE[3:] /= np.linalg.norm(PLACE[3:])
FRAME = "camera_color_optical_frame"


class Told:
    """The node, fed by hand; `states`: (stamp, position, sigma), `order`: what it published."""

    def __init__(self, node: HandObjectFilterNode, shipped):
        self.node, self.demonstration = node, shipped
        self.states: list[tuple[float, np.ndarray, float]] = []
        self.order: list[str] = []
        node.publisher.publish = self.hear
        node.publish_diagnostics = lambda: self.order.append(node.values["missing"])

    def hear(self, message: Odometry) -> None:
        p, covariance = message.pose.pose.position, np.asarray(message.pose.covariance)
        self.order.append("state")
        stamp = messages.seconds(message.header.stamp) - BEGIN
        self.states.append((stamp, np.array([p.x, p.y, p.z]), float(np.sqrt(covariance[[0, 7, 14]].max()))))

    def pose(self, k: int, shift: float = 0.0, frame: str = FRAME) -> None:
        """The object of tick k, in the camera's frame."""
        pose = self.demonstration.object_pose[min(k, len(self.demonstration.object_pose) - 1)].copy()
        pose[0] += shift
        header = Header(stamp=messages.to_stamp(BEGIN + k * TICK), frame_id=frame)
        covariance = np.diag([0.003**2] * 3 + [0.03**2] * 3)
        self.node.hear("/object/pose", self.node.on_pose, messages.stamped_pose(
            header, compose(inverse(PLACE), pose), covariance
        ))  # fmt: skip

    def joints(self, k: int) -> None:
        reference, stamp = self.demonstration.reference, messages.to_stamp(BEGIN + k * TICK)
        i = min(k, len(reference.q) - 1)
        names = reference.joint_names[6:]
        self.node.on_hand(messages.joint_state(names, stamp, self.demonstration.q[i, 6:]))
        self.node.on_arm(messages.joint_state(FR3_JOINTS, stamp, reference.arm_q[i]))

    def run(self, ticks: range, seen=lambda k: True) -> None:
        """Joint states of each tick; the pose of an image taken every fourth tick comes LATE ticks after it."""
        for k in ticks:
            self.joints(k)
            if k >= LATE and (k - LATE) % 4 == 0 and seen(k - LATE):
                self.pose(k - LATE)

    def error(self) -> float:
        """m, of the last state."""
        stamp, position, _ = self.states[-1]
        k = min(round(stamp / TICK), len(self.demonstration.object_pose) - 1)
        return float(np.linalg.norm(position - self.demonstration.object_pose[k, :3]))


@pytest.fixture
def told(bench, shipped, tmp_path, cache):
    place = " ".join(str(x) for x in PLACE)
    path = str(save(shipped.reference, tmp_path / "reference.npz"))
    node = bench.start(HandObjectFilterNode(), reference=path, static_transforms=[f"world {FRAME} {place}"])
    assert node.state == "active", node.resting
    return Told(node, shipped)


def test_poses_of_a_slow_late_camera_give_a_state_with_the_stamp_of_every_tick(told):
    told.run(range(60))
    stamps = np.array([stamp for stamp, *_ in told.states])
    assert stamps == pytest.approx(np.arange(LATE + 1, 60) * TICK, abs=1e-5)
    assert told.error() < 0.002 and told.states[-1][2] < 0.01
    assert told.node.values["rejected"] == told.node.values["late"] == 0
    assert set(told.order[1:]) == {"state", ""}  # the first diagnostics: it has not been seen yet


def test_before_the_object_was_seen_there_is_no_state_and_perceptions_reason_is_passed_on(told):
    values = [KeyValue(key="unseen", value="no depth has arrived on /camera/x")]
    told.node.on_diagnostics(DiagnosticArray(status=[DiagnosticStatus(name="perception: state", values=values)]))
    told.run(range(10), seen=lambda k: False)
    assert told.states == []
    assert told.node.values["missing"] == "it has not been seen yet: no depth has arrived on /camera/x"


def test_a_hidden_object_moves_with_the_hand_that_holds_it(told):
    """Lifted by 10 cm, it is not seen for a second of the lift."""
    pose = told.demonstration.object_pose
    lifted = int(np.argmax(pose[:, 2] > pose[0, 2] + 0.03))
    told.run(range(lifted + 50), seen=lambda k: k < lifted)
    risen = pose[lifted + 49, 2] - pose[lifted, 2]
    assert risen > 0.05 and told.node.values["motion"] == "carried"
    assert told.error() < 0.012 and told.states[-1][2] < 0.03


def test_an_object_not_seen_for_too_long_is_reported_lost_once_with_the_reason_first(told):
    told.run(range(220), seen=lambda k: k < 40)
    stamps = [stamp for stamp, *_ in told.states]
    assert stamps[-1] == pytest.approx(40 * TICK + told.node.p.lost_after, abs=5 * TICK)
    assert told.states[-1][2] > 0.03 > told.states[-2][2]
    assert told.order[-1] == "state" and told.order[-2].startswith("it has not been seen for 1.5 s")
    assert told.node.warnings["pose"].startswith("the object is lost: it has not been seen for ")


def test_what_is_seen_again_has_states_again(told):
    told.run(range(240), seen=lambda k: k < 40 or k >= 180)
    assert told.states[-1][0] == pytest.approx(239 * TICK, abs=1e-5)
    assert told.error() < 0.01 and told.states[-1][2] < 0.02
    assert "pose" not in told.node.warnings and told.node.values["missing"] == ""


def test_a_pose_in_an_unknown_frame_is_refused_and_is_the_reason(told):
    told.run(range(20))
    told.pose(16, frame="elsewhere")
    assert "'elsewhere'" in told.node.refusals.why("/object/pose")
    told.run(range(20, 140), seen=lambda k: False)
    assert "its measured poses are rejected" in told.node.values["missing"]


def test_a_pose_older_than_what_is_remembered_is_counted_as_late(told):
    told.run(range(60))
    told.pose(4)
    assert told.node.values["late"] == 1 and told.node.values["rejected"] == 0


def test_after_a_reset_of_the_rig_poses_of_the_old_clip_are_ignored(told):
    told.run(range(60))
    told.node.on_episode(messages.episode("start", 2, messages.to_stamp(BEGIN + 60 * TICK)))
    count = len(told.states)
    told.joints(60)
    told.pose(56)
    told.joints(61)
    assert len(told.states) == count
    told.pose(61)
    told.joints(62)
    assert len(told.states) == count + 1


def test_joint_states_of_one_robot_part_alone_give_no_state(told):
    told.run(range(20))
    count = len(told.states)
    reference = told.demonstration.reference
    for k in range(20, 26):
        told.node.on_hand(messages.joint_state(
            reference.joint_names[6:], messages.to_stamp(BEGIN + k * TICK), told.demonstration.q[0, 6:]
        ))  # fmt: skip
    assert len(told.states) <= count + 1


@pytest.fixture
def supervisor(bench):
    """One whose only input is the object, and whose only node the filter."""
    node = SupervisorNode()
    node.set_parameters([Parameter("required_nodes", value=["object_filter"])])
    node.trigger_configure()
    node.trigger_activate()
    assert node.state == "active"
    node.inputs = InputMonitor((OBJECT_STATE,), max_age=np.inf, max_step=np.inf)
    node.beats["object_filter"] = np.inf
    node.ended, node.watch_ourselves, node.speakers.first = (lambda: []), (lambda: None), (lambda: "")
    yield node
    bring_down(node)
    node.destroy_node()


def test_a_lost_object_holds_with_the_reason_and_one_seen_again_is_ready_but_does_not_move(told, supervisor):
    def hear(message: Odometry) -> None:
        told.hear(message)
        supervisor.on_diagnostics(diagnostics(told.node.values["missing"]))
        supervisor.on_object(message)

    told.node.publisher.publish = hear
    told.run(range(40))
    supervisor.check()
    assert supervisor.machine.state is State.READY
    assert supervisor.begin_tracking() == "" and supervisor.machine.moving
    told.run(range(40, 160), seen=lambda k: k < 40)
    assert supervisor.machine.state is State.HOLDING
    assert supervisor.machine.reason.startswith("the object is lost: it has not been seen for 1.5 s")
    supervisor.check()
    assert supervisor.machine.state is State.HOLDING  # as long as it is lost
    told.run(range(160, 180))
    supervisor.check()
    assert supervisor.machine.state is State.READY
    assert supervisor.machine.reason.startswith("the object is seen again")
    told.run(range(180, 200))
    supervisor.check()
    assert not supervisor.machine.moving  # only /safety/start moves it again
    assert supervisor.begin_tracking() == "" and supervisor.machine.moving
    assert supervisor.machine.counts[Event.OBJECT_LOST] == 1


def diagnostics(missing: str) -> DiagnosticArray:
    values = [KeyValue(key="missing", value=missing)]
    return DiagnosticArray(status=[DiagnosticStatus(name="object_filter: state", values=values)])


@pytest.fixture
def person(bench):
    """The node for a person's hand, and what it publishes of it."""
    node = bench.start(HandObjectFilterNode(), static_transforms=[f"world {FRAME} 1 2 3 1 0 0 0"])
    assert node.state == "active", node.resting
    clouds: list[PointCloud2] = []
    node.cloud.publish = clouds.append
    return node, clouds


def hand(k: int, sigma: float = 0.004) -> PointCloud2:
    points = np.random.default_rng(0).normal(0, 0.04, (21, 3)) + [0.01 * k, 0.0, 0.6]
    header = Header(stamp=messages.to_stamp(BEGIN + k / 30), frame_id=FRAME)
    return keypoint_cloud(header, np.hstack([points, np.full((21, 1), sigma)]), FIT_FIELDS)


def test_a_persons_fitted_hand_is_filtered_and_published_in_the_world_with_its_sigma(person):
    node, clouds = person
    for k in range(15):
        node.on_fit(hand(k))
    assert node.cloud.topic_name.endswith(HAND_POINTS) and len(clouds) == 15
    rows = np.frombuffer(clouds[-1].data, "<f4").reshape(21, 4)
    assert rows[:, :3].mean(axis=0) == pytest.approx([1.14, 2.0, 3.6], abs=0.02)
    assert clouds[-1].header.frame_id == "world" and 0.001 < rows[:, 3].mean() < 0.01


THERE = np.array([0.05, 0.0, 0.6, 1.0, 0.0, 0.0, 0.0])


def test_an_object_that_comes_back_without_a_hand_is_taken_again(person):
    """Nobody was in view for longer than a pose may be ahead of a robot's states."""
    node, _ = person
    states: list[Odometry] = []
    node.publisher.publish = states.append
    node.on_fit(hand(0))
    for at in (BEGIN, BEGIN + 3.0, node.now()):
        header = Header(stamp=messages.to_stamp(at), frame_id=FRAME)
        node.on_fitted_object(messages.stamped_pose(header, THERE, np.diag([1e-5] * 3 + [1e-3] * 3)))
        assert messages.seconds(states[-1].header.stamp) == pytest.approx(at, abs=1e-6)
    header = Header(stamp=messages.to_stamp(node.now() + 2.0), frame_id=FRAME)
    with pytest.raises(RefusedError, match="ahead of this clock"):
        node.on_fitted_object(messages.stamped_pose(header, THERE, np.diag([1e-5] * 3 + [1e-3] * 3)))


def test_a_fitted_hand_that_is_not_finite_is_refused(person):
    node, clouds = person
    with pytest.raises(RefusedError, match="not finite"):
        node.on_fit(hand(0, sigma=np.nan))
    assert clouds == []


def test_with_masks_the_labels_of_images_without_a_pose_correct_the_place(bench, shipped, tmp_path, cache):
    """A lab's segmentation goes on where the pose is lost. Labels of an image with a pose add nothing."""
    place = " ".join(str(x) for x in PLACE)
    path = str(save(shipped.reference, tmp_path / "reference.npz"))
    node = bench.start(
        HandObjectFilterNode(), reference=path, static_transforms=[f"world {FRAME} {place}"], object_mask=True
    )
    assert node.state == "active", node.resting
    told = Told(node, shipped)
    told.run(range(30))
    camera = pinhole(320, 240, 42.0)
    header = Header(stamp=messages.to_stamp(BEGIN + 25 * TICK), frame_id=FRAME)
    node.on_camera(camera_info(header, camera))
    pose = node.filter.estimate().object_pose
    points = camera.project(transform(inverse(PLACE), transform(pose + [0.004, 0, 0, 0, 0, 0, 0], node.shape.hull)))
    lines = ConvexHull(points).equations
    v, u = np.mgrid[:240, :320]
    labels = 2 * (np.stack([u, v], -1) @ lines[:, :2].T + lines[:, 2] <= 0).all(-1).astype(np.uint8)
    assert labels.sum() > 100
    with_pose = Header(stamp=messages.to_stamp(BEGIN + 24 * TICK), frame_id=FRAME)
    node.on_labels(image(with_pose, labels))
    assert node.values["masks"] == 0
    for k in range(30, 60):
        told.joints(k)
        header.stamp = messages.to_stamp(BEGIN + k * TICK)
        node.on_labels(image(header, labels))
    assert node.values["masks"] == 30
    assert node.filter.estimate().object_pose[0] - pose[0] > 0.002
    with pytest.raises(RefusedError, match="camera's size"):
        node.on_labels(image(header, labels[:100]))


def test_with_masks_the_labels_of_images_without_a_fit_correct_the_hand(bench):
    """A lab's segmentation goes on where no keypoints are found. Labels of an image with a fit add nothing."""
    node = bench.start(
        HandObjectFilterNode(), static_transforms=[f"world {FRAME} 0 0 0 1 0 0 0"], hand_mask=True, side="left"
    )
    assert node.state == "active", node.resting
    clouds: list[PointCloud2] = []
    node.cloud.publish = clouds.append
    person, camera = open_hand("left"), pinhole(320, 240, 42.0)
    posed = person.shaped().posed(HandPose(single.matrix(single.exp([1.5, 0.0, 0.0]))))
    shift = np.array([0.0, 0.0, 0.6]) - posed.vertices.mean(axis=0)
    points = np.hstack([posed.keypoints(person.table("mediapipe")) + shift, np.full((21, 1), 0.004)])

    def header(k: int) -> Header:
        return Header(stamp=messages.to_stamp(BEGIN + k / 30), frame_id=FRAME)

    def labels(k: int, off: float, label: int = LABELS["left"]) -> Image:
        depth = np.full((240, 320), np.inf)
        draw_depth(posed.vertices + shift + [off, 0.0, 0.0], person.faces, camera.pinhole, depth)
        return image(header(k), label * np.isfinite(depth).astype(np.uint8))

    node.on_labels_of_a_person(labels(0, 0.0))
    node.on_camera(camera_info(header(0), camera))
    for k in range(10):
        node.on_fit(keypoint_cloud(header(k), points, FIT_FIELDS))
        node.on_labels_of_a_person(labels(k + 1, 0.01))
    assert node.values["masks"] == 0 and len(clouds) == 10
    for k in range(10, 14):
        node.on_labels_of_a_person(labels(k + 1, 0.01))
    assert node.values["masks"] == 4 and len(clouds) == 14
    seen = np.frombuffer(clouds[-1].data, "<f4").reshape(21, 4)
    assert 0.005 < (seen[:, 0] - points[:, 0]).mean() < 0.015
    node.on_labels_of_a_person(labels(15, 0.01, LABELS["right"]))
    node.on_labels_of_a_person(labels(16, 0.01))
    assert node.values["masks"] == 5, "somebody else's hand is not it"
