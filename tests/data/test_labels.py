"""Labelled images: boxes around them, and their frames."""

import numpy as np

from dexhot.data.labels import label_boxes
from dexhot.data.types import Evidence


def test_boxes_hold_their_labels_and_nothing_else():
    labels = np.zeros((2, 8, 10), np.uint8)
    labels[0, 2:5, 3:9] = 2
    boxes = label_boxes(labels, ("object", "right"))
    assert boxes["object"][0].tolist() == [3, 2, 9, 5] and np.isnan(boxes["object"][1]).all()
    assert np.isnan(boxes["right"]).all()


def test_a_cut_takes_the_same_frames_of_everything():
    count = np.arange(5.0)
    labels = np.repeat(np.arange(4, dtype=np.uint8)[[0, 1, 2, 3, 1]], 6).reshape(5, 2, 3)
    rows = {"right": np.tile(count[:, None, None], (1, 21, 6))}
    boxes, meshes = {"object": np.tile(count[:, None], (1, 4))}, {"right": np.tile(count[:, None, None], (1, 9, 3))}
    film = Evidence(
        "film",
        count,
        labels,
        boxes,
        rows,
        np.tile(count[:, None], (1, 7)),
        meshes,
        {},
        {"right": np.tile(count[:, None], (1, 21))},
    )
    part = film.cut(1, 4)
    part.validate()
    rows = part.boxes["object"], part.keypoints["right"], part.hand_meshes["right"], part.relative_depth["right"]
    for kept in (part.time, part.object_pose, *rows):
        assert kept.reshape(3, -1)[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert part.labels[:, 0, 0].tolist() == [1, 2, 3] and part.name == "film"
