"""A lab's estimators in the place of the embedded ones: through perceive() and `dexhot perceive`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dexhot.data.recording import Recording
from dexhot.errors import DexhotError, FileFormatError, NotFoundError

pytest.importorskip("numba")
from tests.lab_estimators import HAND, POSE, THING, LabHands, LabMasks, LabMeshes, LabPoses, sighting

from dexhot.cli import perceive_command
from dexhot.data.files import load
from dexhot.data.types import Evidence
from dexhot.geometry.boxes import box_around, box_of
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera import recording as recordings
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.objects import library
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.perception import estimators
from dexhot.perception.boxed_hands import BoxedHands
from dexhot.perception.followed_masks import KnownMasks
from dexhot.perception.hand_landmarks import Crop, LandmarkHands, _distinct, next_crop
from dexhot.perception.hand_meshes import KeypointMesh, MeshRows, as_kept
from dexhot.perception.object_track import RETRY, object_track
from dexhot.perception.perceive import perceive
from dexhot.perception.prompts import prompts_of
from dexhot.perception.protocols import HandSighting, MeshSighting
from dexhot.perception.quiet import without_lines
from dexhot.perception.replaced import lacking
from dexhot.perception.weights import weights_dir

CAMERA = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
ASSET = shape_asset(named_shape("parametric/box-50x70x100"))
CLICKS = np.array([[440.0, 330.0], [450.0, 340.0]])


def mask_of(part):
    mask = np.zeros((CAMERA.height, CAMERA.width), bool)
    mask[part] = True
    return mask


def clip(frames=3, depth=700):
    shape = (frames, CAMERA.height, CAMERA.width)
    return Recording(
        "clip", np.arange(frames) / 30, np.full((*shape, 3), 90, np.uint8), np.full(shape, depth, np.uint16), CAMERA
    )


def test_a_segmenters_masks_take_the_place_of_those_of_keypoints_and_model():
    masks, poses = LabMasks(), LabPoses()
    track = object_track(ASSET, CAMERA, CLICKS)
    evidence, seen = perceive(
        clip(), LabHands(), track, "right", prompts={"object": CLICKS}, segmenter=masks, poses=poses
    )
    assert ((evidence.labels == 2) == mask_of(THING)).all() and ((evidence.labels == 1) == mask_of(HAND)).all()
    assert masks.prompts[2].tolist() == CLICKS.tolist()
    at = sighting().pixels
    assert masks.prompts[1].tolist() == [*at.min(0), *at.max(0)]  # the hand marks itself by its keypoints
    assert evidence.boxes["object"][0] == pytest.approx(box_of(mask_of(THING)))
    assert evidence.object_pose[:, :3] == pytest.approx(np.tile(POSE[:3, 3], (3, 1))) and seen.object_frames == 3
    (how, where), *later = poses.calls
    assert how == "register" and (where == mask_of(THING)).all()
    assert [name for name, _ in later] == ["follow"] * 2 and (later[0][1] == mask_of(HAND)).all()


def test_the_keypoints_are_looked_for_in_the_box_of_the_hands_mask():
    hands, masks = LabHands(), LabMasks(without=(1,))
    marked = np.array([200.0, 150.0, 400.0, 300.0])
    perceive(clip(), hands, None, "right", prompts={"right": marked}, segmenter=masks)
    assert masks.prompts[1].tolist() == marked.tolist()
    first, hidden, last = (given["right"] for given in hands.given)
    assert first == pytest.approx(box_of(mask_of(HAND))) and last == pytest.approx(first) and np.isnan(hidden).all()


def test_without_a_segmenter_a_box_starts_the_keypoints():
    hands, marked = LabHands(), np.array([200.0, 150.0, 400.0, 300.0])
    evidence, _ = perceive(clip(), hands, None, "right", prompts={"right": marked})
    assert hands.given[0]["right"].tolist() == marked.tolist() and hands.given[1:] == [{}, {}]
    assert evidence.provenance["prompts"] == {"right": marked.tolist()}


def test_a_hand_is_masked_where_its_keypoints_are_missing():
    hands = LabHands(iter([[sighting()], [], [sighting()]]))
    evidence, seen = perceive(clip(), hands, None, "right", segmenter=LabMasks())
    assert ((evidence.labels[1] == 1) == mask_of(HAND)).all() and seen.hand_frames == {"right": 2}
    assert evidence.boxes["right"][1] == pytest.approx(box_of(mask_of(HAND)))


def test_a_hand_that_the_segmenter_does_not_follow_keeps_the_embedded_mask():
    hands = LabHands(iter([[], [sighting()], [sighting()]]))
    evidence, _ = perceive(clip(), hands, None, "right", prompts={"object": CLICKS}, segmenter=LabMasks())
    assert (evidence.labels[1] == 1).any() and not ((evidence.labels[1] == 1) == mask_of(HAND)).all()


def test_an_object_is_segmented_without_its_mesh_and_without_depth():
    evidence, seen = perceive(
        clip(3, 0), LabHands(iter([[], [], []])), None, "right", prompts={"object": CLICKS}, segmenter=LabMasks()
    )
    assert seen.object_frames == 3 and ((evidence.labels == 2) == mask_of(THING)).all()
    assert evidence.boxes["object"][0] == pytest.approx(box_of(mask_of(THING)))


def test_known_masks_are_the_evidence():
    labels = np.zeros((3, 480, 640), np.uint8)
    labels[1][HAND] = 1
    hands = LabHands()
    evidence, _ = perceive(clip(), hands, None, "right", segmenter=KnownMasks(labels, ["right"]))
    assert (evidence.labels == labels).all() and np.isnan(hands.given[0]["right"]).all()
    assert hands.given[1]["right"] == pytest.approx(box_of(mask_of(HAND)))


def test_masks_of_another_size_and_prompts_outside_are_refused():
    small = type("Small", (LabMasks,), {"follow": lambda self, color: np.zeros((4, 4), np.uint8)})()
    with pytest.raises(DexhotError, match=r"masks of \(4, 4\)"):
        perceive(clip(), LabHands(), None, "right", segmenter=small)
    outside = "not inside the image of 640x480"
    for where, told in (
        ([700.0, 10.0], outside),
        ([[10.0, 10.0], [10.0, 500.0]], outside),
        ([50.0, 50.0, 40.0, 60.0], "in another order"),
    ):
        with pytest.raises(DexhotError, match=told):
            perceive(clip(), LabHands(), None, "right", prompts={"object": np.array(where)}, segmenter=LabMasks())


def test_an_estimators_object_is_lost_and_registered_anew():
    poses = LabPoses([0.9, 0.2, *[0.9] * 20])  # frame 1 loses it
    evidence, seen = perceive(
        clip(8),
        LabHands(),
        object_track(ASSET, CAMERA),
        "right",
        prompts={"object": CLICKS},
        segmenter=LabMasks(),
        poses=poses,
    )
    known = np.isfinite(evidence.object_pose[:, 0])
    assert known.tolist() == [True, *[False] * (RETRY - 1), *[True] * 3] and seen.confidence[1] == pytest.approx(0.2)
    assert [name for name, _ in poses.calls] == ["register", "follow", "register", "follow", "follow"]


def two_things():
    """Depth of a wall and of two things before it that both have the object's size."""
    depth = np.full((480, 640), 900, np.uint16)
    for u in (180, 430):
        depth[200:245, u : u + 60] = 850
    return depth


def test_an_estimator_takes_none_of_two_things_alike_and_follows_the_better_one_of_two_marked():
    recording = clip(2)
    recording.depth[:] = two_things()

    def track(prompt=None):
        return object_track(ASSET, CAMERA, prompt)

    class Apart(LabPoses):
        def register(self, camera, color, depth, mask):
            found = super().register(camera, color, depth, mask)
            pose = found.pose.copy()
            pose[0, 3] = (np.nonzero(mask)[1].mean() - CAMERA.cx) / CAMERA.fx * pose[2, 3]
            return type(found)(pose, found.confidence, 1.0)

    with pytest.raises(DexhotError, match="more than one thing in frame 0"):
        perceive(recording, None, track(), poses=Apart())
    poses = Apart([0.9, 0.6, 0.9])
    both = np.array([[200.0, 220.0], [450.0, 220.0]])
    perceive(recording, None, track(both), prompts={"object": both}, poses=poses)
    registered = [mask for name, mask in poses.calls if name == "register"]
    assert len(registered) == 3 and (registered[2] == registered[0]).all()  # as it follows the last one


def test_hands_in_boxes_follow_themselves_and_start_anew():
    seen = []

    def in_box(color, box):
        seen.append(box)
        return sighting(by=2.0 * len(seen)).pixels, np.full(21, 0.1 if len(seen) == 3 else 0.8)

    starts = iter([[sighting()], [sighting(by=50)]])
    hands = BoxedHands(in_box, lambda color: next(starts))
    image = np.zeros((480, 640, 3), np.uint8)
    [first] = hands(image)
    at = sighting().pixels
    assert seen[0] == pytest.approx([*at.min(0), *at.max(0)]) and first.confidence == pytest.approx(0.8)
    hands(image)
    at = first.pixels
    assert seen[1] == pytest.approx([*at.min(0), *at.max(0)])
    [again] = hands(image)  # lost in its box, found by the other estimator
    at = sighting(by=50).pixels
    assert seen[3] == pytest.approx([*at.min(0), *at.max(0)]) and again.side == "right"
    hands.boxes = {"left": np.array([1.0, 2.0, 3.0, 4.0]), "right": np.full(4, np.nan)}
    [left] = hands(image)
    assert seen[4].tolist() == [1, 2, 3, 4] and (left.side, left.right_score) == ("left", 0.0)


class TurnedHand(LandmarkHands):
    """The embedded tracker without its networks: a hand at `at`, seen best in crops turned by `angle`; no palms."""

    palms_in = 0.0  # px, side of the largest square in which palms are found

    def __init__(self, at, angle):
        self.at, self.angle, self.count, self.number = np.array(at), angle, 2, 0
        self.tracks, self.boxes, self.crops, self.last, self.palms = [], {}, [], None, []

    def look(self, color, where):
        self.crops.append(where)
        near = np.linalg.norm(where.centre - self.at) < 60
        score = near * (0.5 + 0.5 * np.cos(where.angle - self.angle))
        pixels = sighting().pixels - sighting().pixels.mean(0) + (self.at if near else where.centre)
        return pixels, np.zeros(21), float(score), 0.9

    def detect(self, color, middle, side):
        """A palm, where the square is small enough and around it; none without `palms_in`."""
        self.palms.append((*middle, side))
        shown = side <= self.palms_in and np.abs(self.at - middle).max() < side / 2
        return [Crop(self.at, 150.0, self.angle)] if shown else []


def test_the_embedded_keypoints_start_in_a_box_and_stay_with_it():
    upright = next_crop(sighting().pixels).angle
    hands, image = TurnedHand((300, 230), upright), np.zeros((480, 640, 3), np.uint8)
    assert hands(image) == []  # the palm detector finds none
    box = box_around(sighting().pixels)
    hands.boxes = {"left": box}
    [found] = hands(image)
    assert found.side == "left" and len({one.angle for one in hands.crops[:8]}) == 8 and hands.boxes == {}
    [again] = hands(image)
    assert again.side == "left" and len(hands.crops) == 10  # the side that was given; one look, in the tracked crop
    hands.boxes = {"left": box + 5}
    hands(image)
    assert len(hands.crops) == 11
    hands.boxes, hands.at = {"left": box + 150}, np.array([450, 380])  # the hand has jumped with its mask
    [jumped] = hands(image)
    assert jumped.pixels.mean(0) == pytest.approx([450, 380]) and len(hands.crops) > 15
    hands.boxes = {"left": np.full(4, np.nan)}
    assert hands(image) == []


def test_a_hand_too_small_for_the_palm_detector_is_looked_for_closer():
    """In one corner of the image after the other; once it was followed, first where it was last seen."""
    image = np.zeros((480, 640, 3), np.uint8)
    for at in ((100, 60), (560, 60), (100, 420), (560, 420), (320, 240)):
        hands = TurnedHand(at, next_crop(sighting().pixels).angle)
        hands.palms_in = 400.0
        assert any(hands(image) for _ in range(4)), at
    followed = hands.tracks[0].crop
    hands.angle, hands.palms_in = hands.angle + np.pi, 0.0  # neither model sees a hand
    assert hands(image) == [] and hands.palms[-2] == pytest.approx((*followed.centre, 2.0 * followed.size))
    before = len(hands.palms)
    hands.palms_in = 700.0  # it shows in the whole image: no closer look
    assert hands(image) and len(hands.palms) == before + 1


def test_a_given_side_stays_where_the_network_calls_two_hands_the_same():
    pair = [sighting(), sighting(by=200)]
    assert [one.side for one in _distinct(pair, ["", "right"])] == ["right", "left"]
    assert _distinct(pair, ["", "right"])[0] is pair[1] and _distinct(pair, ["right", ""])[0] is pair[0]


def test_two_boxes_of_one_hand_are_one_hand():
    hands = BoxedHands(lambda color, box: (sighting().pixels, np.full(21, 0.8)))
    hands.boxes = {"right": np.array([0.0, 0.0, 9.0, 9.0]), "left": np.array([0.0, 0.0, 9.0, 9.0])}
    assert [hand.side for hand in hands(np.zeros((480, 640, 3), np.uint8))] == ["right"]


def test_meshes_of_a_regressor_are_kept_with_their_topology():
    given = [MeshSighting("open", np.full((760, 3), float(k))) for k in range(2)]
    hands = LabHands(iter([[sighting()], [sighting(by=250)], [sighting()]]))  # the second is another one's hand
    evidence, _ = perceive(clip(), hands, None, "right", meshes=LabMeshes(given[0], given[1], None))
    kept = evidence.hand_meshes["right"]
    assert kept.shape == (3, 760, 3) and (kept[0] == 0).all() and np.isnan(kept[1:]).all()
    assert evidence.provenance["hand_meshes"] == {"right": "open"}
    without, _ = perceive(clip(), LabHands(), None, "right")
    assert without.hand_meshes == {} and "hand_meshes" not in without.provenance


def test_meshes_of_every_topology_become_manos_or_the_open_hands(monkeypatch, tmp_path):
    hand = open_hand("left")
    pose = np.zeros(51)
    pose[:6] = 0.2, 1.0, 0.3, 0.1, -0.05, 0.6
    true = hand.shaped(np.full(10, 0.3)).posed(HandPose.from_vector(pose))
    topology, vertices = as_kept(MeshSighting("open", parameters=np.r_[pose, np.full(10, 0.3)]), "left")
    assert topology == "open" and vertices == pytest.approx(true.vertices)
    seen = MeshSighting("soma", np.zeros((718, 3)), keypoints=true.keypoints(hand.table("mano")))
    topology, vertices = as_kept(seen, "left")
    assert topology == "open" and np.linalg.norm(vertices - true.vertices, axis=1).mean() < 0.005
    assert as_kept(MeshSighting("mano", np.ones((778, 3))), "right")[0] == "mano"
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    for mesh, words in (
        (MeshSighting("mano", parameters=np.zeros(61)), r"MANO_RIGHT\.pkl does not exist"),
        (MeshSighting("soma", np.zeros((718, 3))), "needs its 21 keypoints; one without is of mano or open"),
        (MeshSighting("mano"), "neither vertices nor parameters"),
        (MeshSighting("mano", np.full((778, 3), np.nan)), r"\(778, 3\); .*finite"),
    ):
        with pytest.raises(DexhotError, match=words):
            as_kept(mesh, "right")
    rows = MeshRows()
    rows.take(MeshSighting("open", np.zeros((760, 3))), "right")
    with pytest.raises(DexhotError, match="are open's and mano's"):
        rows.take(MeshSighting("mano", np.zeros((778, 3))), "right")


def test_the_default_mesh_is_the_hand_of_the_keypoints():
    hand = open_hand("right")
    pose = HandPose.from_vector([0.3, 2.6, 0.4, 0.0, 0.02, 0.6, *np.zeros(45)])
    true = hand.shaped().posed(pose)
    pixels = CAMERA.project(true.keypoints(hand.table("mediapipe")))
    [mesh] = KeypointMesh()(CAMERA, None, [HandSighting("right", pixels, 0.9, 1.0, np.zeros(21))])
    assert mesh.topology == "open" and np.linalg.norm(mesh.vertices - true.vertices, axis=1).mean() < 0.02


def test_prompts_are_clicks_or_one_box_of_hands_and_object():
    found = prompts_of(["object:1,2", "right:0,0,9,9", "object:3,4"])
    assert found["object"].tolist() == [[1, 2], [3, 4]] and found["right"].tolist() == [0, 0, 9, 9]
    for text in ("object:1", "hand:1,2", "object:a,b", "object", "object:nan,1"):
        with pytest.raises(DexhotError, match=f"--prompt {text} is not NAME:U,V .a click.*object or left|right or obj"):
            prompts_of([text])
    with pytest.raises(DexhotError, match="clicks, or one box"):
        prompts_of(["object:1,2", "object:0,0,9,9"])


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs `dexhot perceive` on the clip; gives the Evidence and the JSON."""
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recordings, "open_recording", lambda path, start=0, count=None, **_: clip(count or 3))
    monkeypatch.setattr(library, "load_object", lambda name: ASSET)

    def run(**given):
        perceive_command.run(perceive_command.Args("clip", out=tmp_path / "e.npz", json=True, **given))
        return load(tmp_path / "e.npz", Evidence), json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_evidence_of_an_object_or_of_prompts_is_not_replaced_by_evidence_with_less(command):
    lab = {"hands": LAB["hands"], "masks": LAB["masks"]}
    command(object="box", prompt=("object:440,330",), **lab, poses=LAB["poses"])
    with pytest.raises(
        DexhotError, match=rf"e.npz is kept: it has poses and masks of {ASSET.name}, the prompt on object.*or --force"
    ):
        command(**lab)
    with pytest.raises(DexhotError, match=r"it has the prompt on object, which"):
        command(object="box", **lab, poses=LAB["poses"])
    command(object="box", prompt=("object:441,331",), **lab, poses=LAB["poses"])  # a better click
    evidence, _ = command(force=True, **lab)
    assert not evidence.provenance["object"] and not np.isfinite(evidence.object_pose).any()
    command(object="box", prompt=("object:440,330",), **lab, poses=LAB["poses"])  # more replaces less


def test_evidence_of_more_frames_or_by_a_labs_estimators_is_kept_and_the_reason_is_given(command):
    first = command(**LAB | {"poses": "embedded"})[0]
    for given, why in (
        ({"count": 2}, r"frames \(1 of its 3\)"),
        ({"side": "left"}, "keypoints of the right hand"),
        ({"masks": "embedded"}, "masks by tests.lab_estimators:masks"),
    ):
        with pytest.raises(DexhotError, match=f"is kept: it has {why}, which the new evidence would lack"):
            command(**LAB | {"poses": "embedded"} | given)
    assert lacking(first, first.time + 9.0, "any", {"object": "", "prompts": {}, "estimators": LAB}) == [
        "frames (3 of its 3)"
    ]
    command(**LAB | {"poses": "embedded"}, count=4)
    assert len(command(**LAB | {"poses": "embedded"}, count=2, force=True)[0].time) == 2


def test_of_a_librarys_standard_error_only_its_greeting_is_left_out(capfd):
    with pytest.raises(ValueError, match="broken"), without_lines("INFO: Created"):
        os.write(2, b"INFO: Created a delegate.\nERROR: no memory\n")
        raise ValueError("broken")
    os.write(2, b"INFO: Created later\n")
    assert capfd.readouterr().err == "ERROR: no memory\nINFO: Created later\n"


@pytest.mark.parametrize("end", ["os.abort()", "os.kill(os.getpid(), 9)", "os._exit(1)"])
def test_the_last_words_of_a_library_that_ends_the_process_are_read(end):
    words = "INFO: Created a delegate.\\nfatal: no such instruction\\n"
    program = "import os\nfrom dexhot.perception.quiet import without_lines\nwith without_lines('INFO: Created'):\n"
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}    os.write(2, b'{words}')\n    {end}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode and ended.stderr == "fatal: no such instruction\n"


def test_a_system_without_grep_shows_all_lines(capfd, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with without_lines("INFO: Created"):
        os.write(2, b"INFO: Created\n")
    assert capfd.readouterr().err == "INFO: Created\n"


LAB = {f"{what}": f"tests.lab_estimators:{what}" for what in ("hands", "masks", "poses", "meshes", "boxes")}


def test_the_command_takes_a_labs_estimators(command):
    evidence, figures = command(object="box", prompt=("object:440,330", "object:450,340"), **LAB)
    assert ((evidence.labels == 2) == mask_of(THING)).all() and figures["object_frames"] == 3
    assert evidence.object_pose[0, :3] == pytest.approx(POSE[:3, 3])
    assert evidence.provenance["prompts"] == {"object": [[440, 330], [450, 340]]}
    assert evidence.provenance["estimators"] == LAB and (evidence.hand_meshes["right"][2] == 2.0).all()
    assert evidence.boxes["object"] == pytest.approx(np.tile([392.0, 292.0, 488.0, 368.0], (3, 1)))  # the detector's


def test_the_command_names_what_is_missing_and_where_it_goes(command):
    here = weights_dir()
    for given, error, words in (
        ({"masks": "sam2"}, FileFormatError, f"sam2 is missing: get it from hf.co/.* put it at {here}/sam2"),
        ({"masks": "edgetam"}, FileFormatError, f"edgetam is missing: .* put it at {here}/edgetam"),
        ({"hands": "rtmpose"}, FileFormatError, f"rtmpose-m_.*onnx is missing: .* put it at {here}/rtmpose-m_"),
        ({"poses": "foundationpose", "object": "box"}, DexhotError, "github.com/NVlabs/FoundationPose.*PYTHONPATH"),
        ({"poses": "foundationpose-library", "object": "box"}, DexhotError, "inference-library.*python/src"),
        ({"poses": "foundationpose"}, DexhotError, "name it with --object"),
        ({"hands": "mmpose"}, DexhotError, "--side right or --side left"),
        ({"hands": "mmpose", "side": "right"}, DexhotError, "mmpose cannot be imported"),
        ({"boxes": "yolo"}, NotFoundError, "--boxes.*MODULE:FUNCTION, embedded"),
        ({"masks": "sam3"}, NotFoundError, "--masks.*edgetam.*sam2"),
        ({"masks": "no.such:make"}, DexhotError, "cannot be imported .is its folder in PYTHONPATH"),
    ):
        with pytest.raises(error, match=words):
            command(**({"hands": LAB["hands"]} | given))


def test_a_prompt_that_nothing_would_use_is_refused(command):
    for given, words in (
        ({"prompt": ("object:1,2",)}, "name it with --object, or segment it with --masks"),
        ({"prompt": ("right:1,2",)}, "start from its box"),
        ({"prompt": ("left:1,2,9,9",), "side": "right"}, "--side right leaves out"),
    ):
        with pytest.raises(DexhotError, match=words):
            command(hands=LAB["hands"], **given)
    evidence, _ = command(prompt=("object:440,330",), hands=LAB["hands"], masks=LAB["masks"])  # no mesh needed
    assert (evidence.labels == 2).any()


def test_rtmpose_starts_from_a_box_or_from_the_embedded_models(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    monkeypatch.setattr("dexhot.perception.adapters.rtmpose.RtmposeHand", lambda: "network")
    with pytest.raises(DexhotError, match=r"--prompt right:U0,V0,U1,V1.*models get hand-landmarks"):
        estimators.hands_of("rtmpose")
    assert estimators.hands_of("rtmpose", boxed=True).start is None
    monkeypatch.setattr(estimators, "missing_hand_landmarks", lambda: [])
    monkeypatch.setattr(estimators, "landmark_hands", lambda: "embedded")
    assert estimators.hands_of("rtmpose").start == "embedded"
