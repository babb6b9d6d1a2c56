"""COCO's masks: polygons, run lengths, and the compressed strings of pycocotools."""

import json

import numpy as np
import pytest

from dexhot.data.labels import LABELS
from dexhot.datasets.coco import decode, filled, from_runs, read_coco, runs_of
from dexhot.errors import FileFormatError, NotFoundError

SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]


def layout(tmp_path, **changes):
    """A small annotation file in COCO's layout."""
    rows = [
        {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]},
        {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [[0, 0, 2, 0, 2, 1, 0, 1]]},
        {"image_id": 7, "category_id": 62, "iscrowd": 0, "segmentation": {"size": [5, 8], "counts": [0, 10, 30]}},
        {"image_id": 7, "category_id": 1, "iscrowd": 1, "segmentation": {"size": [5, 8], "counts": [0, 40]}},
        {"image_id": 8, "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]},
    ]
    raw = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 8, "height": 5}],
        "categories": [{"id": 1, "name": "person"}, {"id": 62, "name": "chair"}],
        "annotations": rows,
    } | changes
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_polygon_fills_the_pixels_whose_middle_it_holds():
    mask = filled([SQUARE], 5, 8)
    wanted = np.zeros((5, 8), bool)
    wanted[1:4, 2:6] = True
    assert np.array_equal(mask, wanted)
    assert filled([SQUARE, [0, 0, 2, 0, 2, 1, 0, 1]], 5, 8).sum() == 14


def test_runs_go_down_the_columns():
    assert np.array_equal(from_runs([1, 2, 3], 2, 3), [[0, 1, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match="runs of 5"):
        from_runs([2, 3], 2, 3)


def packed(runs: list[int]) -> str:
    """pycocotools' rleToString."""
    out = ""
    for k, run in enumerate(runs):
        x, more = run - (runs[k - 2] if k > 2 else 0), True
        while more:
            bits = x & 31
            x >>= 5
            more = x != -1 if bits & 16 else x != 0
            out += chr((bits | 32 if more else bits) + 48)
    return out


def test_compressed_runs_are_those_of_pycocotools():
    runs = [5, 3, 200, 7, 40, 1, 3000, 2]
    assert runs_of(packed(runs)) == runs
    assert runs_of("52203") == [5, 2, 2, 2, 5]  # from the fourth on, differences to the one two before
    with pytest.raises(ValueError, match="character"):
        runs_of("5 2")
    mask = decode({"size": [5, 8], "counts": packed([0, 10, 30])}, 5, 8)
    assert mask[:, :2].all() and not mask[:, 2:].any()


def test_labels_are_those_of_the_largest_person_and_thing(tmp_path):
    image = read_coco(layout(tmp_path), "a.jpg")
    assert [int(mask.sum()) for mask in image.masks["person"]] == [12, 2]  # neither the crowd nor another image's
    labels = image.labels("chair")
    assert (labels == LABELS["right"]).sum() == 12 and (labels == LABELS["object"]).sum() == 10
    with pytest.raises(NotFoundError, match="chair"):
        image.labels("bicycle")


def test_damaged_annotations_are_refused(tmp_path):
    path = layout(tmp_path)
    with pytest.raises(NotFoundError, match=r"a\.jpg"):
        read_coco(path, "b.jpg")
    bad = {"image_id": 7, "category_id": 1, "segmentation": {"size": [9, 9], "counts": [81]}}
    with pytest.raises(FileFormatError, match="damaged"):
        read_coco(layout(tmp_path, annotations=[bad]), "a.jpg")
    path.write_text("{}")
    with pytest.raises(FileFormatError, match="images"):
        read_coco(path, "a.jpg")
