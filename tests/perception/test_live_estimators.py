"""A lab's estimators in the images of a live camera, where hands come late and nobody marks them."""

import numpy as np
import pytest

from dexhot.errors import DexhotError, NotFoundError

pytest.importorskip("numba")
from tests.lab_estimators import HAND, POSE, THING, LabHands, LabMasks, LabPoses, sighting

from dexhot.geometry.boxes import box_around, box_of
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import make_pose, matrix_to_pose
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.perception import estimators
from dexhot.perception.followed_masks import AGAIN
from dexhot.perception.live import LiveEyes, one_of_each
from dexhot.perception.object_track import RETRY
from dexhot.perception.protocols import ObjectSighting

CAMERA = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
ASSET = shape_asset(named_shape("parametric/box-50x70x100"))
CLICK = np.array([[440.0, 330.0]])
COLOR, DEPTH = np.full((480, 640, 3), 90, np.uint8), np.full((480, 640), 700, np.uint16)
NOBODY, SOMEBODY = [], [sighting()]


class Masks(LabMasks):
    """Notes the prompts of each start; in images of `drifted` its hand is somewhere else, and in those of `lost` its
    object is nowhere."""

    def __init__(self, without=(), drifted=(), lost=()):
        super().__init__(without)
        self.starts, self.drifted, self.lost = [], drifted, lost

    def start(self, color, prompts):
        self.starts.append(prompts)
        return super().start(color, prompts)

    def follow(self, color):
        drifted, lost = self.number in self.drifted, self.number in self.lost
        labels = super().follow(color)
        if drifted:
            labels[HAND], labels[5:25, 5:25] = 0, 1
        if lost:
            labels[THING] = 0
        return labels


def looks(hands, masks, count, prompt=CLICK):
    eyes = LiveEyes(CAMERA, None, hands, ("right",), prompt=prompt, segmenter=masks)
    return [eyes.look(COLOR, DEPTH, k / 30) for k in range(count)]


def test_a_hand_that_comes_later_is_marked_and_the_object_stays_marked_by_its_mask():
    masks, hands = Masks(), LabHands(iter([NOBODY] + [SOMEBODY] * AGAIN * 2))
    seen = looks(hands, masks, AGAIN + 2)
    first, second = masks.starts
    assert first.keys() == {2} and first[2].tolist() == CLICK.tolist()
    assert second[1] == pytest.approx(box_around(sighting().pixels)) and second[2].tolist() == [400, 300, 479, 359]
    ours, theirs = seen[1].labels == 1, seen[-1].labels == 1  # until then the hand has the embedded mask
    assert ours.any() and not np.array_equal(ours, theirs) and theirs[HAND].all() and theirs.sum() == 8000
    assert all((one.labels[THING] == 2).all() for one in seen)
    assert hands.given[2] == {} and hands.given[AGAIN + 1]["right"].tolist() == [250, 190, 349, 269]


def test_a_hand_where_the_segmenter_follows_none_is_marked_anew_but_seldom():
    for masks in (Masks(without=range(1, 100)), Masks(drifted=range(1, 100))):
        looks(LabHands(), masks, 2 * AGAIN + 1, None)
        assert len(masks.starts) == 3 and all(1 in given for given in masks.starts)
    masks = Masks()
    looks(LabHands(), masks, 2 * AGAIN + 1, None)
    assert len(masks.starts) == 1


def test_nothing_is_segmented_until_something_is_marked():
    masks = Masks()
    looks(LabHands(iter([NOBODY] * 3 + [SOMEBODY])), masks, 4, None)
    assert len(masks.starts) == 1 and masks.number == 1


def seen_object(masks, poses, count, prompt=CLICK, hands=None):
    """Where the posed object is in the image, and what is seen of it in each of `count` images."""
    eyes = LiveEyes(CAMERA, ASSET, hands, ("right",), prompt=prompt, poses=poses, segmenter=masks)
    seen = [eyes.look(COLOR, DEPTH, k / 30, guesses=[matrix_to_pose(POSE)]) for k in range(count)]
    posed = eyes.track.mask(POSE, DEPTH * 1e-3, np.zeros(DEPTH.shape, bool))
    return box_of(posed), posed, seen


def test_an_object_that_the_segmenter_lost_is_marked_again_where_its_pose_is():
    masks = Masks(lost=range(1, AGAIN + 1))
    box, posed, seen = seen_object(masks, LabPoses(), AGAIN + 2)
    first, again = masks.starts
    assert first[2].tolist() == CLICK.tolist() and again.keys() == {2} and again[2].tolist() == box.tolist()
    assert (seen[1].labels == 2)[posed].all(), "until then, where its pose is"
    assert (seen[AGAIN].labels == 2)[THING].all(), "in the image of the start already"


def test_an_unsure_pose_marks_nothing():
    masks = Masks(lost=range(1, 3 * AGAIN))
    seen_object(masks, LabPoses([0.9, *[0.5] * 3 * AGAIN]), 2 * AGAIN)
    assert len(masks.starts) == 1


def test_an_object_that_nobody_marked_is_marked_by_its_pose_with_the_hand_that_is_followed():
    masks = Masks()
    box, _, _ = seen_object(masks, LabPoses(), AGAIN + 2, None, LabHands())
    hand, both = masks.starts
    assert hand.keys() == {1} and both.keys() == {1, 2} and both[2].tolist() == box.tolist()
    assert both[1].tolist() == [250, 190, 349, 269], "where its mask is"


def test_a_mask_that_has_left_the_posed_object_is_marked_anew():
    masks = Masks()
    far = np.eye(4)
    far[:3, 3] = -0.2, -0.1, 0.7
    poses = LabPoses()
    poses._next = lambda: ObjectSighting(far if len(poses.calls) > 3 else POSE, 0.9, 1.0)
    seen_object(masks, poses, AGAIN + 2)
    assert len(masks.starts) == 2 and masks.starts[1][2][2] < THING[1].start


def test_an_estimators_object_is_registered_followed_lost_and_registered_anew():
    poses = LabPoses([0.9, 0.2, *[0.9] * 20])  # image 1 loses it
    eyes = LiveEyes(CAMERA, ASSET, prompt=CLICK, poses=poses, segmenter=Masks())
    seen = [eyes.look(COLOR, DEPTH, k / 30) for k in range(RETRY + 3)]
    assert [one.sighting is not None for one in seen] == [True, *[False] * (RETRY - 1), True, True, True]
    assert [name for name, _ in poses.calls] == ["register", "follow", "register", "follow", "follow"]
    assert (seen[-1].sighting.pose == POSE).all() and seen[-1].covariance.shape == (6, 6)
    assert (seen[1].labels == 2)[THING].all()  # the segmenter goes on


def test_an_estimator_registers_the_object_where_the_robot_expects_it():
    poses, guess = LabPoses(), make_pose((0.0, 0.0, 0.75), (1.0, 0, 0, 0))
    eyes = LiveEyes(CAMERA, ASSET, poses=poses)
    assert eyes.look(COLOR, DEPTH, 0.0, guesses=[guess]).sighting is not None
    how, where = poses.calls[0]
    assert how == "register" and where[240, 320] and not where[100, 100]
    assert matrix_to_pose(eyes.sighting.pose)[:3] == pytest.approx(POSE[:3, 3])


def test_of_two_hands_of_one_side_the_one_that_was_followed_is_taken():
    last = {}
    here, there = sighting(confidence=0.8), sighting(by=200.0, confidence=0.9)
    assert one_of_each([here], last) == {"right": here}
    assert one_of_each([there, here], last) == {"right": here}
    assert one_of_each([there], last) == {"right": there}  # nobody is where it was
    assert one_of_each([here, there, sighting("left")], {})["right"] is there  # the surest
    seen = LiveEyes(CAMERA, None, LabHands(iter([[here], [there, here]])), ("right",))
    assert [seen.look(COLOR, DEPTH, k).keypoints["right"][0, 3] for k in range(2)] == [here.pixels[0, 0]] * 2


def test_estimators_of_live_graphs_are_checked_by_their_words(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    estimators.check_live("right", keypoints="embedded", masks="tests.lab_estimators:masks", poses="foundationpose")
    for names, error, why in (
        ({"keypoints": "openpose"}, NotFoundError, "for keypoints named 'openpose'; available: MODULE:FUNCTION"),
        ({"masks": "lab"}, NotFoundError, "for masks named 'lab'.*edgetam"),
        ({"poses": "no.such:make"}, DexhotError, "poses:=no.such:make cannot be imported: no module no.such"),
        ({"keypoints": "rtmpose"}, DexhotError, "nobody marks before a live camera: run `dexhot models get"),
        ({"keypoints": "mmpose", "hands": "both"}, DexhotError, "does not tell right from left"),
    ):
        with pytest.raises(error, match=why):
            estimators.check_live(**names)
    estimators.check_live("right", keypoints="mmpose")
    assert isinstance(estimators.live_hands_of("tests.lab_estimators:hands", "right"), LabHands)
