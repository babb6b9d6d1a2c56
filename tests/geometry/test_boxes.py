"""Boxes in images."""

import numpy as np
import pytest

from dexhot.geometry.boxes import box_of, overlaps


def test_overlap_of_boxes():
    boxes = np.array([[0.5, 0.0, 1.5, 1.0], [2.0, 0.0, 3.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    assert overlaps(boxes, np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx([1 / 3, 0.0, 0.0])


def test_a_box_is_around_a_mask_and_keypoints():
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:7] = True
    assert box_of(mask).tolist() == [3, 2, 6, 4]
    assert box_of(mask, np.array([[1.5, 3.0]])).tolist() == [1.5, 2, 6, 4]
    assert np.isnan(box_of(np.zeros((8, 9), bool))).all()
