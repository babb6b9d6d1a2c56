"""The run over a recording: what is seen, what is left out, and what is refused."""

import numpy as np
import pytest
import trimesh

from dexhot.data.bags import BagWriter, messages, typestore
from dexhot.data.recording import Recording
from dexhot.errors import DexhotError, FileFormatError

pytest.importorskip("numba")
from dexhot.data.labels import OBJECT
from dexhot.fitting.frames import frames_of
from dexhot.geometry.planes import table_plane
from dexhot.hardware.camera.recording import open_recording
from dexhot.perception import mask_kernels as kernels
from dexhot.perception.bag import read_evidence, write_evidence
from dexhot.perception.live import LiveEyes
from dexhot.perception.object_pose import rigid_model
from dexhot.perception.object_track import ObjectTrack, note_on
from dexhot.perception.perceive import Seen, judge, keypoints_of, of_track, perceive
from dexhot.perception.protocols import HandSighting, ObjectSighting
from dexhot.perception.segmentation import ModelMask, check_inside, hand_mask, is_arm, prompted
from dexhot.perception.sightings import LABEL, SeenHand, in_space
from dexhot.perception.skin_colour import SkinColour, skin_of
from dexhot.perception.unscanned import resting_mask
from dexhot.perception.watcher import Watcher
from dexhot_bench.objectpose import CAMERA, DrawnScene, random_pose

BOX = trimesh.creation.box((0.12, 0.07, 0.05))


def sighting(side="right", score=0.9):
    x = np.linspace(0, 1, 21)
    pixels = np.stack([300 + 40 * np.cos(6 * x), 200 + 60 * x], 1)
    return HandSighting(side, pixels, 0.95, score, np.zeros(21))


def clip(frames=2, depth=None):
    image = np.zeros((CAMERA.height, CAMERA.width), np.uint16) if depth is None else depth
    color = np.full((frames, *image.shape, 3), 90, np.uint8)
    return Recording("clip", np.arange(frames) / 30, color, np.stack([image] * frames), CAMERA)


def object_track(prompt=None):
    vertices, faces = np.asarray(BOX.vertices), np.asarray(BOX.faces)
    return ObjectTrack(rigid_model(vertices, faces), ModelMask(CAMERA, vertices, faces), prompt)


def test_object_and_hand_are_seen_and_kept_with_the_topics(tmp_path):
    rng = np.random.default_rng(3)
    vertices = np.asarray(BOX.vertices)
    pose = random_pose(rng, vertices.mean(0))
    depth, mask, *_ = DrawnScene(vertices, np.asarray(BOX.faces)).seen(pose, rng, hand=False)
    v, u = np.nonzero(mask)
    track = object_track(np.array([np.median(u), np.median(v)]))
    recording = clip(2, np.round(1000 * depth).astype(np.uint16))
    evidence, seen = perceive(recording, lambda color: [], track, prompts={"object": [1, 2]})
    found = evidence.labels[0] == 2
    assert seen.object_frames == 2 and (found & mask).sum() / (found | mask).sum() > 0.85
    assert evidence.provenance["prompts"] == {"object": [1, 2]} and "no hand in any frame" in seen.notes
    path = write_evidence(evidence, tmp_path / "bag")
    topics = [topic for topic, _, _ in messages(path)]
    assert topics.count("/segmentation/labels") == 2 and topics.count("/object/pose") == 2
    [pose_message, _] = [m for topic, _, m in messages(path) if topic == "/object/pose"]
    again = read_evidence(path)
    assert again.provenance["prompts"] == {"object": [1, 2]} and again.time == pytest.approx(evidence.time)
    assert (again.labels == evidence.labels).all() and again.object_pose == pytest.approx(evidence.object_pose)
    assert again.boxes["object"] == pytest.approx(evidence.boxes["object"])
    q = pose_message.pose.pose.orientation
    assert [q.w, q.x, q.y, q.z] == pytest.approx(evidence.object_pose[0, 3:])


def test_keypoints_and_boxes_are_read_back_from_the_bag(tmp_path):
    seen = images([moved()], [], [moved(8)])
    evidence, _ = perceive(clip(3), seen, None, "right", prompts={"right": np.array([250.0, 190.0, 350.0, 270.0])})
    again = read_evidence(write_evidence(evidence, tmp_path / "bag"))
    assert set(again.keypoints) == {"right"} and set(again.boxes) == {"right"}
    assert again.keypoints["right"] == pytest.approx(evidence.keypoints["right"], abs=1e-3, nan_ok=True)
    assert again.boxes["right"] == pytest.approx(evidence.boxes["right"])
    assert again.provenance["prompts"] == {"right": [250, 190, 350, 270]}
    again.validate()


def test_a_bag_of_something_else_is_no_evidence(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        kind = "std_msgs/msg/String"
        bag.write_message(bag.topic("/chatter", kind), 1, typestore().types[kind](data="hello"))
    with pytest.raises(FileFormatError, match=r"has no /segmentation/labels"):
        read_evidence(tmp_path / "bag")
    with BagWriter(tmp_path / "other") as bag:
        bag.write_message(bag.topic("/perception/prompts", kind), 1, typestore().types[kind](data="hello"))
    with pytest.raises(FileFormatError, match="/perception/prompts is not JSON"):
        read_evidence(tmp_path / "other")


def test_no_hand_in_view():
    with pytest.raises(DexhotError, match="no hand is in view"):
        perceive(clip(), lambda color: [], None)


def test_a_left_hand_called_right():
    with pytest.raises(DexhotError, match=r"looks like a left one in 2 of 2.*--side left"):
        perceive(clip(), lambda color: [sighting("left", 0.1)], None, "right")


def test_a_second_hand_where_one_is_expected_is_left_out_and_noted():
    evidence, seen = perceive(clip(), lambda color: [sighting(), sighting("left", 0.1)], None, "right")
    assert set(evidence.keypoints) == {"right"} and seen.other_hands == 2
    assert any("left out" in note for note in evidence.provenance["notes"])


def moved(by=0.0, confidence=0.95, side="right"):
    seen = sighting()
    return HandSighting(side, seen.pixels + [by, 0.0], confidence, 0.9, np.zeros(21))


def images(*seen):
    """An estimator that gives these sightings, an image after the other."""
    order = iter(seen)
    return lambda color: next(order)


def test_a_hand_alone_that_looks_like_the_other_one_now_and_then_is_the_one_asked_for():
    seen = images([moved()], [moved(4)], [moved(8, side="left")], [moved(12)])
    evidence, found = perceive(clip(4), seen, None, "right")
    assert np.isfinite(evidence.keypoints["right"][:, 0, 3]).all() and not found.other_hands
    assert "1 sighting looked like a left hand" in evidence.provenance["notes"][0]
    beside = [[moved(), moved(150, side="left")], [moved(4)], [moved(8, side="left")], [moved(12)]]
    evidence, found = perceive(clip(4), images(*beside), None, "right")
    assert np.isnan(evidence.keypoints["right"][2, 0, 3]) and found.other_hands == 2  # there are two hands


def test_a_hand_that_is_seen_elsewhere_is_left_out_and_the_gap_bridged():
    recording = clip(5)
    seen = images([moved()], [moved(4)], [moved(250, 0.6)], [moved(12)], [moved(16), moved(260, 0.7)])
    evidence, found = perceive(recording, seen, None, "right")
    known = np.isfinite(evidence.keypoints["right"][:, 0, 3])
    assert known.tolist() == [True, True, False, True, True] and found.hand_frames["right"] == 4
    assert evidence.keypoints["right"][4, 0, 3] == pytest.approx(moved(16).pixels[0, 0])
    middle = (evidence.boxes["right"][1] + evidence.boxes["right"][3]) / 2
    assert evidence.boxes["right"][2] == pytest.approx(middle)
    assert "left out: 2 sightings of a hand beside its track" in evidence.provenance["notes"]


def test_a_detectors_boxes_take_the_place_of_those_of_keypoints():
    at = moved().pixels
    box = np.concatenate([at.min(axis=0) - 5, at.max(axis=0) + 5])
    evidence, found = perceive(
        clip(2), images([moved()], [moved()]), None, "right", detector=lambda color: {"right": np.array([[*box, 0.8]])}
    )
    assert evidence.boxes["right"] == pytest.approx(np.tile(box, (2, 1))) and found.hand_frames["right"] == 2
    far = np.array([[10.0, 10.0, 60.0, 60.0, 0.9]])
    for none in ({"right": far}, {}):
        with pytest.raises(DexhotError, match="no hand is in view"):  # none where the detector says so
            perceive(clip(2), images([moved()], [moved()]), None, "right", detector=lambda color, found=none: found)


def test_of_two_sightings_on_a_track_the_better_one_is_the_hand_and_what_is_the_objects_stays_so():
    track, labels, seen = np.array([[0.0, 0.0, 10.0, 10.0], [np.nan] * 4]), np.zeros((2, 4, 4), np.uint8), Seen({})
    labels[0, 0, 0] = OBJECT
    good, fair = np.tile([0.0, 0.0, 10.0, 9.0], (2, 1)), np.tile([0.0, 0.0, 10.0, 6.0], (2, 1))
    sightings = [
        SeenHand(0, good, np.full((21, 6), 1.0), np.array([0, 1])),
        SeenHand(0, fair, np.full((21, 6), 2.0), np.array([2])),
        SeenHand(1, good, np.full((21, 6), 3.0), np.array([3])),  # where the track is not known
    ]
    keypoints = keypoints_of(of_track(sightings, track, labels, LABEL["right"], seen), 2)
    assert (keypoints[0] == 1.0).all() and np.isnan(keypoints[1]).all() and seen.beside == 2
    assert labels.reshape(2, -1)[:, :4].tolist() == [[OBJECT, LABEL["right"], 0, 0], [0, 0, 0, 0]]


def test_a_guess_of_relative_depth_is_kept_where_an_estimator_gives_one(tmp_path):
    plain, guess = moved(), np.linspace(0.0, 40.0, 21)
    guessed = HandSighting("right", plain.pixels, 0.95, 0.9, guess)
    evidence, _ = perceive(clip(3), images([guessed], [plain], [guessed]), None, "right")
    found = evidence.relative_depth["right"]
    assert np.isnan(found[1]).all() and np.array_equal(found[0], guess) and np.array_equal(found[2], guess)
    again = read_evidence(write_evidence(evidence, tmp_path / "bag"))
    assert np.array_equal(again.relative_depth["right"], found, equal_nan=True)
    assert again.keypoints["right"].shape == (3, 21, 6)
    frames = frames_of(clip(3), again, "right", False)
    assert frames[1].relative_depth is None and np.array_equal(frames[2].relative_depth, guess)
    without, _ = perceive(clip(1), images([plain]), None, "right")
    assert plain.relative_depth is None and not plain.along.any() and np.array_equal(guessed.along, guess)
    assert without.relative_depth == read_evidence(write_evidence(without, tmp_path / "other")).relative_depth == {}


class HiddenAtFirst:
    """An object whose pose is known in each image, and of which the first one shows nothing."""

    ambiguous = prompt_note = ""

    def __init__(self):
        self.shown = iter((0, 40, 40))

    def on(self, table):
        pass

    def __call__(self, camera, depth, time, hidden, color):
        return ObjectSighting(np.eye(4), 0.9, 1.0), 0.9

    def outline(self, sighting):
        return None

    def seen(self, pose, depth, hidden, color):
        mask = np.zeros(depth.shape, bool)
        mask[: next(self.shown), :50] = True
        return mask


def test_a_hidden_object_has_no_box():
    evidence, found = perceive(clip(3, np.full((480, 640), 700, np.uint16)), None, HiddenAtFirst())
    assert np.isnan(evidence.boxes["object"][0]).all() and not len(found.detections["object"][0])
    assert evidence.boxes["object"][1:] == pytest.approx(np.tile([0.0, 0.0, 50.0, 40.0], (2, 1)), abs=1.0)


def test_depth_that_is_zero_everywhere():
    with pytest.raises(DexhotError, match="has no depth in any frame"):
        perceive(clip(), None, object_track())


def test_depth_that_is_not_aligned_is_named_with_the_reason_and_the_remedy(tmp_path):
    types, info = typestore().types, "sensor_msgs/msg/CameraInfo"
    header = types["std_msgs/msg/Header"](stamp=types["builtin_interfaces/msg/Time"](1, 0), frame_id="camera")
    size, focal = {"height": 4, "width": 4, "header": header}, [4.0, 0, 2, 0, 4, 2, 0, 0, 1]
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    matrices = {"k": np.array(focal), "d": np.zeros(5), "r": np.eye(3).ravel(), "p": np.zeros(12)}
    with BagWriter(tmp_path / "bag") as bag:
        about = types[info](**size, distortion_model="plumb_bob", **matrices, binning_x=0, binning_y=0, roi=roi)
        bag.write_message(bag.topic("/camera/color/camera_info", info), 1, about)
        for topic, encoding, depth in (("color/image_raw", "rgb8", 3), ("depth/image_rect_raw", "16UC1", 2)):
            image = types["sensor_msgs/msg/Image"](
                **size, encoding=encoding, is_bigendian=0, step=4 * depth, data=np.ones(16 * depth, np.uint8)
            )
            bag.write_message(bag.topic(f"/camera/{topic}", "sensor_msgs/msg/Image"), 1, image)
    recording = open_recording(tmp_path / "bag")
    told = r"the depth of /camera/depth/image_rect_raw is omitted: it is not aligned.*align_depth.enable:=true"
    with pytest.raises(DexhotError, match=told):
        perceive(recording, None, object_track())
    with pytest.raises(DexhotError, match=told):
        resting_mask(recording)


def test_an_object_that_is_never_visible():
    depth = np.full((CAMERA.height, CAMERA.width), 900, np.uint16)
    with pytest.raises(DexhotError, match="never found"):
        perceive(clip(2, depth), None, object_track())


def test_one_hand_of_two_that_were_asked_for_is_said():
    seen = Seen({"right": 3, "left": 0})
    judge("clip", "both", seen, 3, True, False)
    assert seen.notes == ["both hands were asked for, and no left one was seen"]


def test_keypoints_take_the_hands_depth_alone():
    depth = np.full((CAMERA.height, CAMERA.width), 0.6, np.float32)
    hand = sighting()
    u, v = np.round(hand.pixels[5]).astype(int)
    depth[v - 1 : v + 2, u - 1 : u + 2] = 1.4  # the background, seen beside a finger
    found = in_space(CAMERA, depth, hand)
    assert np.isnan(found[5, :3]).all() and found[0, 2] == pytest.approx(0.6) and found[5, 5] == 0.95


def two_boxes():
    """Depth (m) of two boxes alike that lie before a wall, their long sides across, and the middles of both."""
    depth = np.full((CAMERA.height, CAMERA.width), 0.9, np.float32)
    half = (CAMERA.fx * np.array([0.12, 0.07]) / 0.85 / 2).astype(int)
    middles = [(180, 200), (430, 260)]
    for u, v in middles:
        depth[v - half[1] : v + half[1], u - half[0] : u + half[0]] = 0.85
    return depth, middles


def test_of_two_things_alike_none_is_taken_without_a_click():
    depth, middles = two_boxes()
    recording = clip(1, np.round(1000 * depth).astype(np.uint16))
    with pytest.raises(DexhotError, match=r"more than one thing in frame 0.*--prompt object:U,V"):
        perceive(recording, None, object_track())
    evidence, _ = perceive(recording, None, object_track(np.array(middles[1])))
    assert CAMERA.project(evidence.object_pose[0, :3]) == pytest.approx(middles[1], abs=8)


def test_the_object_is_known_again_by_its_colour():
    depth, ((u, v), other) = two_boxes()
    color = np.full((*depth.shape, 3), 60, np.uint8)
    color[depth < 0.9] = [200, 40, 30]
    alone = np.where(np.arange(CAMERA.width) < 300, 0.9, depth).astype(np.float32)  # the one that is clicked on
    none, track = np.zeros(depth.shape, bool), object_track(np.array(other))
    assert track(CAMERA, alone, 0.0, none, color)[0] is not None
    empty = np.full_like(depth, 0.9)
    assert all(track(CAMERA, empty, k / 30, none, 0 * color)[0] is None for k in range(1, 5))
    color[:, 300:] = [30, 60, 200]  # where the object was there is now a blue box; the red one is elsewhere
    found, _ = track(CAMERA, depth, 5 / 30, none, color)
    assert found is not None and CAMERA.project(found.pose[:3, 3]) == pytest.approx((u, v), abs=8)


def test_colour_says_where_the_object_ends():
    depth, (_, other) = two_boxes()
    color = np.full((*depth.shape, 3), 60, np.uint8)
    color[depth < 0.9] = [200, 40, 30]
    none, track = np.zeros(depth.shape, bool), object_track(np.array(other))
    found, _ = track(CAMERA, depth, 0.0, none, color)
    shifted = found.pose.copy()
    shifted[0, 3] += 0.01
    seen, drawn = track.seen(shifted, depth, none, color), track.mask(shifted, depth, none)
    box = (depth < 0.9) & (np.arange(CAMERA.width) > 300)
    assert (seen & box).sum() > 0.97 * (seen | box).sum() and (drawn & box).sum() < 0.93 * box.sum()


@pytest.mark.parametrize("finger, kept", [([200, 150, 120], 1.0), ([200, 40, 30], 0.0)])
def test_a_hands_mask_that_closes_over_the_object_does_not_hide_it(finger, kept):
    """Its colour shows through between two fingers, unless the hand's colours are the object's."""
    depth, (_, (u, v)) = two_boxes()
    color = np.full((*depth.shape, 3), 60, np.uint8)
    color[depth < 0.9] = [200, 40, 30]
    track = object_track(np.array([u, v]))
    found, _ = track(CAMERA, depth, 0.0, np.zeros(depth.shape, bool), color)
    columns, rows = np.arange(CAMERA.width) - round(u), np.arange(CAMERA.height)[:, None] - round(v)
    hidden = (abs(columns) < 12) & (rows < 0) & (rows > -80)
    between = hidden & (abs(columns) < 2) & (depth < 0.9)
    color[hidden & ~between] = finger
    seen = track.seen(found.pose, depth, hidden, color)
    assert between.sum() > 20 and seen[between].mean() == pytest.approx(kept, abs=0.1)
    assert not seen[hidden & ~between].any()


def test_a_table_of_the_colour_of_skin_is_no_hand():
    color = np.full((CAMERA.height, CAMERA.width, 3), [200, 150, 120], np.uint8)
    depth = np.full((CAMERA.height, CAMERA.width), 0.66, np.float32)
    hand = sighting()
    flesh = hand_mask(CAMERA, color, np.full_like(depth, 0.6), hand) & (np.arange(CAMERA.width) < 360)
    depth[flesh] = 0.6
    table = table_plane(CAMERA, depth)
    found = hand_mask(CAMERA, color, depth, hand, table)
    assert (found & ~flesh).sum() < 0.1 * flesh.sum() < (hand_mask(CAMERA, color, depth, hand) & ~flesh).sum()


class ThingBelow(HiddenAtFirst):
    """An object that lies below the hand, and is lost as soon as it is before the palm."""

    def __call__(self, camera, depth, time, hidden, color):
        return None, 0.0

    def outline(self, sighting):
        return np.repeat(np.arange(CAMERA.height)[:, None] > 440, CAMERA.width, axis=1)


@pytest.mark.parametrize("live", [False, True])
def test_the_skin_of_one_image_tells_the_hand_from_what_covers_it_in_a_later_one(live):
    recording, blue = clip(3, np.full((CAMERA.height, CAMERA.width), 600, np.uint16)), slice(205, 440)
    recording.color[:, :, 240:360] = [200, 150, 120]
    recording.color[2, blue] = [40, 120, 200]
    if live:
        eyes = LiveEyes(CAMERA, None, lambda color: [sighting()])
        eyes.track = ThingBelow()
        labels = [eyes.look(recording.color[k], recording.depth[k], k / 30).labels for k in range(3)]
    else:
        watcher = Watcher(recording, ("right",), {}, lambda color: [sighting()], ThingBelow())
        for k in range(3):
            watcher.look(k)
        of_track(
            watcher.hands_seen["right"],
            np.array([one.boxes[1] for one in watcher.hands_seen["right"]]),
            labels := watcher.labels,
            LABEL["right"],
            Seen(),
        )
    shown = [int((labels[k][blue] == LABEL["right"]).sum()) for k in (1, 2)]
    assert shown[1] < 0.1 * shown[0]


@pytest.mark.parametrize("apart, kept", [(True, 0.0), (False, 1.0)])
def test_what_covers_the_palm_is_no_hand_once_its_skin_is_known(apart, kept):
    """A thing of another colour before most of the hand; its skin was seen apart from the thing, or never."""
    hand, skin = sighting(), SkinColour()
    color = np.full((CAMERA.height, CAMERA.width, 3), [60, 60, 60], np.uint8)
    depth = np.full((CAMERA.height, CAMERA.width), 0.6, np.float32)
    color[:, 240:360] = [200, 150, 120]
    thing = np.zeros(depth.shape, bool)
    thing[205:, :] = True
    skin.beside(np.roll(thing, 200, axis=0) & (np.arange(480) > 400)[:, None] if apart else thing)
    hand_mask(CAMERA, color, depth, hand, known=skin)
    color[thing] = [40, 120, 200]
    skin.beside(thing)
    found = hand_mask(CAMERA, color, depth, hand, known=skin)
    inside = thing & (hand_mask(CAMERA, color, depth, hand) | found)
    assert found[inside].mean() == pytest.approx(kept, abs=0.1)


def test_what_is_seen_beside_a_hand_is_not_its_skin():
    """Most of what lies about the keypoints is other than skin: the spread of colours is not taken for that of skin."""
    found = {(200, 150, 120): 45, (170, 140, 120): 30, (230, 150, 100): 25}
    colors = np.concatenate([np.tile(color, (count, 1)) for color, count in found.items()]).astype(np.uint8)
    grey = np.array([[[90, 90, 90]]], np.uint8)
    assert not kernels.alike(grey, *skin_of(colors), 3.0, np.ones((1, 1), bool)).any()


def test_a_keypoint_beside_the_hands_mask_is_doubted():
    depth, hand = np.full((CAMERA.height, CAMERA.width), 0.6, np.float32), sighting()
    mask = np.zeros(depth.shape, bool)
    mask[: int(hand.pixels[10, 1])] = True
    found = in_space(CAMERA, depth, hand, mask)[:, 5]
    assert found[0] == 0.95 and found[20] < 0.3 and in_space(CAMERA, depth, hand)[20, 5] == 0.95


def test_an_object_is_drawn_anew_where_its_pose_has_changed():
    drawn, pose = ModelMask(CAMERA, BOX.vertices, BOX.faces), np.eye(4)
    nothing, pose[2, 3] = np.zeros((CAMERA.height, CAMERA.width)), 0.6
    before = drawn(pose, nothing, nothing.astype(bool))
    pose[0, 3] = 0.1
    after = drawn(pose, nothing, nothing.astype(bool))
    right = 0.1 * CAMERA.fx / 0.6  # and a little: its side comes into view
    assert np.nonzero(after)[1].mean() - np.nonzero(before)[1].mean() == pytest.approx(right, rel=0.05)
    assert (drawn(pose, np.full_like(nothing, 0.3), nothing.astype(bool)) == 0).all()  # something is before it now


def test_a_prompt_outside_of_the_image():
    with pytest.raises(DexhotError, match="not inside the image of 640x480"):
        prompted(np.ones((480, 640), np.float32), np.array([700.0, 10.0]))


@pytest.mark.parametrize(
    "box, told",
    [
        ([0.0, 0, 639, 479], "covers the whole image of 640x480"),
        ([200.0, 300, 170, 270], "in another order: write 170,270,200,300"),
        ([200.0, 300, 200, 320], "has no area"),
    ],
)
def test_a_box_that_marks_nothing_is_told_why(box, told):
    with pytest.raises(DexhotError, match=told):
        check_inside(np.array(box), 640, 480)


def test_clicks_that_are_not_on_one_thing_are_told_with_what_was_done():
    clicks, hits = np.array([[10, 20], [30, 40]]), np.array([[True, False], [False, True]])
    assert note_on(clicks, np.ones((2, 2), bool)) == "" == note_on(clicks[:1], hits[:, :1])
    assert note_on(clicks, hits).endswith("10,20 and 30,40 were on different things: the likelier one was taken")
    assert note_on(clicks, hits[:1]).startswith("the prompt at 30,40 was on nothing of the object's size")
    assert note_on(clicks, hits[:1]).endswith("it was left out")
    assert note_on(clicks[:1], np.zeros((0, 1), bool)).endswith("the region of the same depth was tried")


def test_perceive_notes_what_became_of_clicks_on_two_things_or_on_none():
    depth, middles = two_boxes()
    recording = clip(1, np.round(1000 * depth).astype(np.uint16))
    evidence, _ = perceive(recording, None, object_track(np.array(middles, float)))
    (note,) = evidence.provenance["notes"]
    assert "were on different things" in note and "the object was found in frame 0, at " in note
    evidence, _ = perceive(recording, None, object_track(np.array([middles[1], (30, 400)], float)))
    assert "the prompt at 30,400 was on nothing" in evidence.provenance["notes"][0]
    with pytest.raises(DexhotError, match="In the first frame the prompt at 30,400 was on nothing"):
        perceive(recording, None, object_track(np.array([(30.0, 400.0)])))


def fist(u, v, palm=60.0):
    """A sighting whose fingers point to the left and whose wrist is at u, v."""
    pixels = np.full((21, 2), [u - palm, v], float)
    pixels[0] = u, v
    pixels[[5, 9, 13, 17], 1] += [-20, -7, 7, 20]
    return HandSighting("right", pixels, 0.95, 0.9, np.zeros(21))


@pytest.mark.parametrize(
    ("where", "arm"),
    [
        ((slice(190, 215), slice(305, 480)), True),  # a sleeve that begins where the skin ends
        ((slice(190, 215), slice(340, 480)), False),  # something behind the wrist that the hand does not touch
        ((slice(190, 215), slice(80, 232)), False),  # a knife before the fingers
        ((slice(30, 310), slice(305, 340)), False),  # a box beside the wrist, across the arm
    ],
)
def test_a_sleeve_is_the_arm_of_its_hand_and_nothing_else_is(where, arm):
    hidden, region = np.zeros((480, 640), bool), np.zeros((480, 640), bool)
    hidden[170:235, 235:305] = region[where] = True
    assert is_arm(region, fist(300, 200), hidden) is arm


def test_a_sleeve_of_the_objects_size_is_not_taken_for_it():
    depth, _ = two_boxes()
    box = (depth < 0.9) & (np.arange(CAMERA.width) > 300)
    v, u = np.nonzero(box)
    hidden, track = np.zeros(depth.shape, bool), object_track()
    hidden[v.min() : v.max(), u.min() - 60 : u.min()] = True  # a hand that ends where the box begins
    assert any((mask & box).any() for mask in track._masks(CAMERA, depth, hidden)[0])
    track.hands = [fist(float(u.min()), float(v.mean()))]
    left = track._masks(CAMERA, depth, hidden)[0]
    assert left and not any((mask & box).any() for mask in left)


def test_titles_of_the_picture_lie_over_no_image(tmp_path, monkeypatch):
    from dexhot.perception import picture

    depth, middles = two_boxes()
    recording, drawn = clip(6, np.round(1000 * depth).astype(np.uint16)), []
    evidence, _ = perceive(recording, None, object_track(np.array(middles[0])))
    monkeypatch.setattr(picture, "save_figure", lambda figure, path, dpi: drawn.append(figure) or path)
    picture.draw_evidence(recording, evidence, tmp_path / "seen.png")
    (figure,) = drawn
    figure.canvas.draw()
    upper, lower = figure.axes[0].get_window_extent(), figure.axes[3].title.get_window_extent()
    assert lower.y1 < upper.y0
