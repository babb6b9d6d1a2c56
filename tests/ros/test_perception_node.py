"""What the perception node publishes of images drawn of the rig: the object, not the robot's own hand; and why not."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tests.lab_estimators import HAND, POSE, THING, sighting

from dexhot.data.files import save
from dexhot.data.keypoints import MIDDLE_MCP, WRIST
from dexhot.data.topics import HAND_KEYPOINTS, LABELS, OBJECT_POSE
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, inverse, make_pose
from dexhot.perception.protocols import HandSighting
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import camera_info, image, read_keypoints
from dexhot.ros.see.image_pairs import START_UP
from dexhot.simulation.renderer import NoRendererError
from dexhot.simulation.scene import arm_scene
from dexhot.simulation.setup import load_setup
from node_bench import NodeBench
from tiny_clip import tiny_clip

pytest.importorskip("warp")
from dexhot.ros.see.perception_node import PerceptionNode
from dexhot.synthesis.rig_pictures import RigPictures, rig_camera, rig_view

pytestmark = pytest.mark.ros
FRAME, BEGIN = "camera_color_optical_frame", 1000.0
CAMERA = rig_camera(320, 240)


@pytest.fixture(scope="module")
def drawn(shipped):
    """The camera's place, and colour and depth of some moments: (frame of the clip, with the object)."""
    reference = shipped.reference
    setup = load_setup(reference)
    view = rig_view(reference, setup.hand, setup.asset)
    scene = arm_scene(setup.hand, setup.asset, setup.physics, reference.table_height)
    try:
        pictures = RigPictures(scene, CAMERA, view, "low", 0)
    except NoRendererError as e:
        pytest.skip(str(e))
    away = make_pose((0.0, 0.0, -5.0), (1.0, 0, 0, 0))

    def draw(frame: int, there: bool) -> tuple[np.ndarray, np.ndarray]:
        q = np.concatenate([reference.arm_q[frame], reference.q[frame, 6:]])
        return pictures.draw(q, reference.object_pose[frame] if there else away)

    found = {(frame, there): draw(frame, there) for frame, there in ((0, True), (0, False), (130, True), (130, False))}
    pictures.close()
    return view, found


class Seeing:
    """The node, fed by hand with images; what it published is heard by a plain node."""

    def __init__(self, bench: NodeBench, drawn, reference, path: str, **parameters):
        self.bench, self.reference, (self.view, self.images) = bench, reference, drawn
        self.labels = bench.listen(Image, LABELS, "state")
        self.poses = bench.listen(PoseWithCovarianceStamped, OBJECT_POSE, "state")
        place = " ".join(f"{x:.6f}" for x in self.view)
        given = {"reference": path, "robot": True, "static_transforms": [f"world {FRAME} {place}"]}
        given |= {"silence": 30.0}  # the first image waits until kernels are compiled
        self.node = bench.start(PerceptionNode(), **(given | parameters))
        assert self.node.state == "active", self.node.resting
        topics = (self.node.labels, self.node.pose)
        assert bench.spin_until(lambda: all(t.get_subscription_count() for t in topics))

    def joints(self, k: int, frame: int) -> None:
        stamp = messages.to_stamp(BEGIN + k / 15)
        self.node.on_arm(messages.joint_state(FR3_JOINTS, stamp, self.reference.arm_q[frame]))
        names = self.reference.joint_names[6:]
        self.node.on_hand(messages.joint_state(names, stamp, self.reference.q[frame, 6:]))

    def image(self, k: int, frame: int = 0, there: bool = True, late: float = 0.0, info: CameraInfo | None = None):
        """Image k of the clip's `frame`; colour `late` s behind the depth."""
        color, depth = self.images[frame, there]
        header = Header(stamp=messages.to_stamp(BEGIN + k / 15), frame_id=FRAME)
        pairs = self.node.pairs
        self.node.hear("info", pairs.on_info, info or camera_info(header, CAMERA))
        self.node.hear("depth", pairs.on_depth, image(header, depth))
        behind = Header(stamp=messages.to_stamp(BEGIN + k / 15 + late), frame_id=FRAME)
        self.node.hear("colour", pairs.on_color, image(behind, color))

    def look(self, k: int, frame: int = 0, there: bool = True) -> None:
        """An image with its joint states, until it has been looked at."""
        self.joints(k, frame)
        self.image(k, frame, there)
        count = len(self.labels)
        assert self.bench.spin_until(lambda: len(self.labels) > count), self.node.unseen

    def label(self) -> np.ndarray:
        return np.frombuffer(self.labels[-1].data, np.uint8).reshape(240, 320)


@pytest.fixture
def seeing(bench, drawn, shipped, tmp_path, cache):
    return Seeing(bench, drawn, shipped.reference, str(save(shipped.reference, tmp_path / "reference.npz")))


def test_the_objects_pose_is_published_in_the_cameras_frame_with_the_images_stamp(seeing):
    for k in range(3):
        seeing.look(k)
    assert seeing.bench.spin_until(lambda: len(seeing.poses) == 3)
    message = seeing.poses[-1]
    assert message.header.frame_id == FRAME
    assert messages.seconds(message.header.stamp) == pytest.approx(BEGIN + 2 / 15, abs=1e-5)
    pose, covariance = messages.read_object_pose(message)
    true = compose(inverse(seeing.view), seeing.reference.object_pose[0])
    assert np.linalg.norm(pose[:3] - true[:3]) < 0.004
    assert 0.0005 < np.sqrt(covariance[0, 0]) < 0.02
    assert seeing.node.values["unseen"] in ("", "no image has been looked at yet")


def test_the_robot_has_the_hands_label_and_the_object_its_own(seeing):
    seeing.look(0)
    labels, (_, depth) = seeing.label(), seeing.images[0, True]
    _, empty = seeing.images[0, False]
    thing = (depth > 0) & (empty > 0) & (np.abs(depth.astype(int) - empty) > 12)  # where the object makes a difference
    assert (labels[thing] == 2).mean() > 0.7
    assert (labels == 1).sum() > 1000 and (labels[thing] == 1).mean() < 0.1


def test_the_robots_own_hand_is_not_taken_for_the_object(seeing):
    """Closed in the air as about the box, which is not there: it is of its size, and where it should be."""
    for k in range(3):
        seeing.look(k, frame=130, there=False)
    seeing.node.watch()
    assert seeing.poses == [] and not (seeing.label() == 2).any()
    assert seeing.node.values["unseen"].startswith(f"the camera does not see {seeing.reference.object_name} (c")
    assert (seeing.label() == 1).sum() > 1000


def test_an_object_that_is_gone_is_lost_and_one_that_is_back_is_seen_again(seeing):
    seeing.look(0)
    seeing.look(1, there=False)
    seeing.node.watch()
    assert f"does not see {seeing.reference.object_name} (" in seeing.node.warnings["unseen"]
    seeing.look(2)
    seeing.node.watch()
    assert "unseen" not in seeing.node.warnings and seeing.node.values["unseen"] == ""
    assert seeing.bench.spin_until(lambda: len(seeing.poses) == 2)
    assert seeing.node.total() == f"{seeing.reference.object_name} in 2 of 3 images; 0 were skipped"


def test_an_image_without_joint_states_of_its_moment_is_not_looked_at(seeing):
    seeing.joints(0, 0)
    seeing.image(9)
    assert seeing.bench.spin_until(lambda: "joint states" in seeing.node.unseen)
    assert seeing.labels == []


def test_colour_and_depth_of_different_moments_are_no_pair_and_the_gap_is_named(seeing):
    for k in range(8):
        seeing.joints(k, 0)
        seeing.image(k, late=0.03)
    problem = seeing.node.pairs.problem(1.0)
    assert "colour and depth are not synchronised" in problem and "ms apart" in problem
    assert seeing.node.values["images"] == 0
    seeing.look(20)
    assert seeing.node.pairs.problem(60.0) == ""


def test_without_a_camera_info_nothing_is_seen_and_the_topic_is_named(seeing):
    color, depth = seeing.images[0, True]
    header = Header(stamp=messages.to_stamp(BEGIN), frame_id=FRAME)
    seeing.node.pairs.on_depth(image(header, depth))
    seeing.node.pairs.on_color(image(header, color))
    seeing.node.pairs.began -= START_UP
    silent = "no camera info has arrived on /camera/aligned_depth_to_color/camera_info: no node publishes it"
    assert seeing.node.pairs.problem(1.0).startswith(silent)
    assert seeing.node.newest.waiting is None


def test_a_camera_that_is_coming_up_is_no_problem_yet(seeing):
    pairs = seeing.node.pairs
    pairs.began -= START_UP - 5.0
    assert pairs.problem(1.0) == ""
    seeing.bench.publisher(Image, seeing.node.full(pairs.topics["depth"]))
    assert seeing.bench.spin_until(lambda: pairs.problem(1.0) or pairs.offered) and pairs.problem(1.0) == ""
    pairs.offered["depth"] -= 2.0
    assert pairs.problem(1.0) == f"no depth has arrived on {pairs.topics['depth']}"


def test_the_first_image_waits_for_its_camera_info(seeing):
    """A prompt is of that image."""
    seen, (color, depth) = [], seeing.images[0, True]
    seeing.node.pairs.found = lambda pair: seen.append(pair.stamp)
    for k in range(3):
        header = Header(stamp=messages.to_stamp(BEGIN + k), frame_id=FRAME)
        for topic, hear, message in (
            ("depth", seeing.node.pairs.on_depth, image(header, depth)),
            ("colour", seeing.node.pairs.on_color, image(header, color)),
            ("info", seeing.node.pairs.on_info, camera_info(header, CAMERA)),
        ):
            seeing.node.hear(topic, hear, message)
    assert seen == [BEGIN, BEGIN + 1, BEGIN + 2]


def test_a_camera_that_stays_silent_is_logged_again(seeing, monkeypatch):
    logged = []
    monkeypatch.setattr(seeing.node, "get_logger", lambda: SimpleNamespace(warning=logged.append))
    seeing.node.pairs.began -= max(2.0 * seeing.node.p.silence, START_UP)
    seeing.node.watch()
    seeing.node.watch()
    assert len(logged) == 1
    seeing.node.unseen_again.last -= 11.0
    seeing.node.watch()
    assert len(logged) == 2 and "no node publishes it, the camera's driver is not running" in logged[1]


def test_an_object_that_comes_and_goes_is_logged_once_in_some_seconds(seeing, monkeypatch):
    logged, node = [], seeing.node
    monkeypatch.setattr(node, "get_logger", lambda: SimpleNamespace(warning=logged.append))
    monkeypatch.setattr(node.pairs, "problem", lambda silence: "")
    node.values["images"] = 1
    for k in range(6):
        node.unseen = "" if k % 2 else "the camera does not see x"
        node.watch()
    assert len(logged) == 1 and node.unseen_again.untold == 2
    node.unseen_again.last -= 6.0
    node.watch()
    assert logged[1].startswith("the camera does not see x (2 times in ")


@pytest.mark.parametrize(
    "what, why", [("zero", "impossible intrinsics"), ("units", "do not fit images"), ("size", "320x240 pixels, but")]
)
def test_wrong_intrinsics_are_refused_by_their_fault(seeing, what, why):
    header = Header(stamp=messages.to_stamp(BEGIN), frame_id=FRAME)
    info = camera_info(header, rig_camera(640, 480) if what == "size" else CAMERA)
    if what == "zero":
        info.k = [0.0] * 9
    elif what == "units":
        info.k = [x / 1000 for x in info.k]
    seeing.joints(0, 0)
    seeing.image(0, info=info)
    refused = " ".join(seeing.node.refusals.why(topic) for topic in ("info", "depth", "colour"))
    assert why in refused and seeing.node.state == "active"
    assert seeing.node.values["images"] == 0


def test_a_camera_without_a_place_in_the_world_is_reported(bench, drawn, shipped, tmp_path, cache):
    path = str(save(shipped.reference, tmp_path / "reference.npz"))
    seeing = Seeing(bench, drawn, shipped.reference, path, static_transforms=["world other 0 0 0 1 0 0 0"])
    seeing.joints(0, 0)
    seeing.image(0)
    assert bench.spin_until(lambda: "not connected to the world" in seeing.node.unseen)


def test_an_image_that_is_no_image_is_refused(seeing):
    header = Header(stamp=messages.to_stamp(BEGIN), frame_id=FRAME)
    broken = image(header, seeing.images[0, True][1])
    broken.data = broken.data[:100]
    with pytest.raises(RefusedError, match="320x240"):
        seeing.node.pairs.on_depth(broken)
    with pytest.raises(RefusedError, match="16UC1"):
        seeing.node.pairs.on_depth(image(header, seeing.images[0, True][0]))


def test_nothing_to_look_for_is_refused(bench, capfd):
    node = bench.start(PerceptionNode())
    assert node.state == "unconfigured" and "nothing to look for" in capfd.readouterr().err


class OneHand(PerceptionNode):
    """The node with the keypoints of a clip in place of a detector's."""

    def hand_finder(self):
        def finder():
            rows = iter(self.rows)
            along = iter(self.relative_depth)
            return lambda color: [HandSighting("right", next(rows)[:, 3:5], 0.9, 1.0, next(along))]

        return finder if self.sides else None


@pytest.mark.parametrize("fit", ["none", "right"])
def test_the_keypoints_are_those_of_a_hand_of_the_operators_size_where_one_is_fitted(bench, cache, fit):
    recording, evidence, truth = tiny_clip(6)
    palm = float(np.linalg.norm(truth[0, MIDDLE_MCP] - truth[0, WRIST]))
    OneHand.rows = evidence.keypoints["right"]
    OneHand.relative_depth = recording.intrinsics.fx * (truth[..., 2] / truth[:, :1, 2] - 1.0)
    heard = bench.listen(PointCloud2, HAND_KEYPOINTS["right"])
    node = bench.start(OneHand(), hands="right", fit=fit, fill=True, palm_length=palm, silence=60.0, tf="none")
    assert node.state == "active", node.resting
    assert bench.spin_until(lambda: node.keypoints["right"].get_subscription_count())
    for k in range(6):
        header = Header(stamp=messages.to_stamp(BEGIN + k / 30), frame_id=FRAME)
        node.hear("info", node.pairs.on_info, camera_info(header, recording.intrinsics))
        node.hear("depth", node.pairs.on_depth, image(header, recording.depth[k]))
        node.hear("colour", node.pairs.on_color, image(header, recording.color[k]))
        assert bench.spin_until(lambda k=k: len(heard) > k), node.unseen
    clouds = [read_keypoints(m) for m in heard]
    rows = np.array([points for points, _ in clouds])
    np.testing.assert_allclose([along for _, along in clouds], OneHand.relative_depth, atol=1e-3)
    found = np.linalg.norm(rows[:, MIDDLE_MCP, :3] - rows[:, WRIST, :3], axis=1)
    off = np.linalg.norm(rows[..., :3] - truth, axis=2).mean(axis=1)
    assert np.isfinite(rows[..., :3]).all()
    assert (np.abs(found - palm).max() < 0.003) == (fit == "right")
    if fit == "right":
        assert np.median(off) < 0.012 and (node._latencies.keys() >= {"fit"})


@pytest.mark.parametrize("prompt, why", [("object:1,2", "give the object, too"), ("here", "is not NAME:U,V")])
def test_a_prompt_belongs_to_an_object(bench, capfd, prompt, why):
    OneHand.rows = []
    node = bench.start(OneHand(), hands="right", object="", prompt=prompt)
    assert node.state == "unconfigured" and why in capfd.readouterr().err


@pytest.mark.parametrize(
    "given", [{"fit": "right", "depth": False}, {"fit": "left", "hands": "right"}, {"fit": "right", "hands": "none"}]
)
def test_a_hand_is_fitted_only_where_it_is_looked_for_with_depth(bench, capfd, given):
    OneHand.rows = []
    node = bench.start(OneHand(), **({"hands": "right", "object": ""} | given))
    said = capfd.readouterr().err
    assert node.state == "unconfigured" and ("fit:=" in said or "nothing to look for" in said)


LAB = {word: f"tests.lab_estimators:{make}" for word, make in (("keypoints", "hands"), ("masks", "masks"))}
LAB["poses"] = "tests.lab_estimators:poses"
BOX = "parametric/box-50x70x100"


def test_a_labs_keypoints_masks_and_poses_are_what_is_published(bench, cache):
    """Of the stand-ins of tests/lab_estimators.py, in two plain images; the embedded models are not needed."""
    camera = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
    heard = bench.listen(PointCloud2, HAND_KEYPOINTS["right"])
    labels, poses = bench.listen(Image, LABELS), bench.listen(PoseWithCovarianceStamped, OBJECT_POSE, "state")
    given = {"hands": "right", "object": BOX, "prompt": "object:440,330", "silence": 60.0, "tf": "none"}
    node = bench.start(PerceptionNode(), **given, **LAB)
    assert node.state == "active", node.resting
    topics = (node.labels, node.pose, node.keypoints["right"])
    assert bench.spin_until(lambda: all(t.get_subscription_count() for t in topics))
    for k in range(2):
        header = Header(stamp=messages.to_stamp(BEGIN + k / 30), frame_id=FRAME)
        node.hear("info", node.pairs.on_info, camera_info(header, camera))
        node.hear("depth", node.pairs.on_depth, image(header, np.full((480, 640), 700, np.uint16)))
        node.hear("colour", node.pairs.on_color, image(header, np.full((480, 640, 3), 90, np.uint8)))
        assert bench.spin_until(lambda k=k: len(labels) > k and len(poses) > k), (node.unseen, node.newest.failure)
    np.testing.assert_allclose(read_keypoints(heard[-1])[0][:, 3:5], sighting().pixels, atol=1e-3)
    picture = np.frombuffer(labels[-1].data, np.uint8).reshape(480, 640)
    assert (picture[THING] == 2).all() and (picture[HAND] == 1).all() and (picture > 0).sum() == 4800 + 8000
    np.testing.assert_allclose(messages.read_object_pose(poses[-1])[0][:3], POSE[:3, 3])


@pytest.mark.parametrize(
    "given, why",
    [
        (
            {"keypoints": "openpose"},
            "for keypoints named 'openpose'; available: MODULE:FUNCTION, embedded, mmpose, rtmpose",
        ),
        ({"masks": "sam3"}, "for masks named 'sam3'; available: MODULE:FUNCTION, edgetam, embedded, sam2"),
        (
            {"poses": "megapose", "object": BOX},
            "for poses named 'megapose'; .*embedded, foundationpose, foundation",
        ),
        ({"masks": "no.such:make"}, "masks:=no.such:make cannot be imported"),
        ({"poses": LAB["poses"]}, "pose of a known object: give the object"),
        ({"keypoints": LAB["keypoints"], "hands": "none", "object": BOX}, "set hands to right, left or both"),
        ({"masks": LAB["masks"], "hands": "none", "object": BOX}, "give a prompt on the object"),
        ({"poses": LAB["poses"], "hands": "none", "object": BOX, "color": False}, "needs colour images"),
        ({"keypoints": "mmpose", "hands": "both"}, "does not tell right from left"),
        ({"keypoints": "rtmpose"}, "`dexhot models get hand-landmarks`"),
        ({"masks": "edgetam", "keypoints": LAB["keypoints"]}, "edgetam is missing: get it from hf.co"),
    ],
)
def test_an_estimator_that_is_none_or_lacks_something_is_refused_with_the_reason(bench, capfd, cache, given, why):
    node = bench.start(PerceptionNode(), **({"hands": "right"} | given))
    assert node.state == "unconfigured" and re.search(why, capfd.readouterr().err)
