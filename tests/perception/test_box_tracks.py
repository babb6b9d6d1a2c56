"""Tracks of boxes keep to the known number and side, bridge gaps, and raise the average precision that gaps cost."""

import numpy as np
import pytest

from dexhot.geometry.boxes import overlaps
from dexhot.perception.box_tracks import BRIDGED, as_detections, average_precision, one_track, track_boxes

TIME = np.arange(40) / 30.0
TRUE = np.stack([100 + 120 * TIME, 80 + 40 * TIME, 180 + 120 * TIME, 150 + 40 * TIME], axis=1)
NONE = np.zeros((0, 5))


def detected(missing=(), false=(), seed=0):
    """Noisy boxes, with frames that lack the right one and frames with a surer one elsewhere."""
    rng = np.random.default_rng(seed)
    rows = [np.append(box + 2 * rng.normal(size=4), 0.6)[None] for box in TRUE]
    for t in missing:
        rows[t] = NONE
    for t in false:
        rows[t] = np.concatenate([rows[t], [[400.0, 300.0, 480.0, 380.0, 0.55]]])
    return rows


def test_a_gap_is_bridged_and_a_box_elsewhere_discarded():
    found = one_track(TIME, detected(missing=range(10, 16), false=range(5, 20)))
    assert min(overlaps(box[None], true)[0] for box, true in zip(found, TRUE)) > 0.8


@pytest.mark.parametrize("rate, rest", [(30.0, 0), (90.0, 0), (30.0, 15)])
def test_a_fast_hand_is_followed_from_the_first_image_on_and_out_of_rest(rate, rest):
    """By 0.6 of its width from image to image: 1.8 m/s at 30 images a second."""
    x = 60.0 * np.maximum(np.arange(rest + 12) - rest, 0)
    boxes = np.stack([x, 0 * x, x + 100.0, 0 * x + 100.0], axis=1)
    found = one_track(np.arange(len(x)) / rate, as_detections(boxes))
    assert np.isfinite(found).all() and np.abs(found - boxes).max() == 0.0


def test_a_mask_that_has_the_forearm_now_and_then_does_not_lose_the_hand():
    """The keypoints' boxes move steadily; those of the mask, which are the detections, jump by half of their size."""
    rows = as_detections(TRUE)
    for t in (20, 21, 22):
        rows[t][0, 2:4] += [160.0, 140.0]
    found = track_boxes(TIME, {"right": rows}, ("right",), {"right": [box[None] for box in TRUE]})["right"]
    assert (found == np.concatenate(rows)[:, :4]).all()
    assert (one_track(TIME, rows) != found).any()


@pytest.mark.parametrize("pixels, kept", [(120.0, True), (600.0, False)])
def test_after_a_gap_a_hand_goes_on_where_it_can_have_moved(pixels, kept):
    """Away from where it was heading, after 0.3 s."""
    boxes = TRUE.copy()
    boxes[25:] -= pixels
    rows = [NONE if 16 <= t < 25 else row for t, row in enumerate(as_detections(boxes))]
    rows[0][0, 4] = 2.0  # the surest
    found = one_track(TIME, rows)
    assert np.isfinite(found[25:33]).all() == kept
    assert not kept or (found[25:] == boxes[25:]).all()


def test_a_long_gap_stays_unknown():
    time = TIME * 3.0 * BRIDGED
    found = one_track(time, [rows if t < 5 or t > 30 else NONE for t, rows in enumerate(detected())])
    assert np.isnan(found[5:31]).all() and np.isfinite(found[[*range(5), *range(31, 40)]]).all()


def test_hands_that_nobody_has_are_left_out():
    detections = {"right": detected(), "left": detected(seed=1), "object": [NONE] * 40}
    found = track_boxes(TIME, detections, ("right", "object"))
    assert set(found) == {"right", "object"} and np.isnan(found["object"]).all()


def test_average_precision_is_that_of_pascal_voc():
    """Half of the frames found, without a false box: 0.5; a surer false box in each lowers the precision to a half."""
    half = [row if t % 2 else NONE for t, row in enumerate(as_detections(TRUE))]
    assert average_precision(half, TRUE) == 0.5
    wrong = [np.concatenate([row, [[400.0, 300.0, 480.0, 380.0, 2.0]]]) for row in as_detections(TRUE)]
    assert abs(average_precision(wrong, TRUE) - 0.5) < 1e-9
    assert average_precision([NONE] * 40, TRUE) == 0.0 and average_precision(as_detections(TRUE), TRUE) == 1.0


def test_tracking_raises_the_average_precision():
    """As in HOMan's table A.1: detections with gaps and false boxes."""
    seen = detected(missing=(3, 4, 12, 13, 14, 25, 26), false=range(0, 40, 3))
    tracked = as_detections(one_track(TIME, seen))
    assert average_precision(tracked, TRUE) > average_precision(seen, TRUE) + 0.1
