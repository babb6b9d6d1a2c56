"""A regressor of object poses: what it is given, and what of its answers is refused."""

from dataclasses import replace

import numpy as np
import pytest
from tests.lab_estimators import POSE, LabRegressor
from tests.tiny_clip import tiny_clip

from dexhot.errors import ClipError, DexhotError
from dexhot.perception.object_pose import LOST
from dexhot.perception.regressed_poses import regressed_poses


@pytest.fixture(scope="module")
def clip():
    recording, evidence, _ = tiny_clip(4)
    evidence.labels[1][evidence.labels[1] == 2] = 0  # hidden in this frame
    return recording, evidence


def test_it_is_given_images_and_masks_alone(clip):
    """Where the object is hidden it is not asked; a score that means lost is no pose."""
    recording, evidence = clip
    regressor = LabRegressor([(POSE, 0.9), (POSE, LOST - 0.01), None])
    poses, scores = regressed_poses(regressor, recording, evidence)
    assert poses[0] == pytest.approx([*POSE[:3, 3], 1, 0, 0, 0]) and np.isnan(poses[1:]).all()
    assert scores[[0, 2]] == pytest.approx([0.9, LOST - 0.01]) and np.isnan(scores[[1, 3]]).all()
    for (camera, color, mask), t in zip(regressor.given, (0, 2, 3), strict=True):
        assert camera is recording.intrinsics and np.array_equal(color, recording.color[t])
        assert np.array_equal(mask, evidence.labels[t] == 2)


def changed(**rows):
    pose = POSE.copy()
    for name, value in rows.items():
        pose[int(name[1])] = value
    return pose


@pytest.mark.parametrize(
    "answer, said",
    [
        ((POSE[:3], 0.9), r"frame 0: .* has shape \(3, 4\); finite numbers \(4, 4\) are expected"),
        ((np.array([0.1, 0.0, 0.7, 1, 0, 0, 0]), 0.9), r"has shape \(7,\)"),
        ((np.full((4, 4), np.nan), 0.9), "finite numbers"),
        ((changed(r0=[2.0, 0, 0, 0.1]), 0.9), "not a rotation"),
        ((changed(r0=[-1.0, 0, 0, 0.1]), 0.9), "not a rotation"),
        ((changed(r3=[0.1, 0.05, 0.7, 1]), 0.9), "not a rotation"),
        ((changed(r2=[0, 0, 1, -0.7]), 0.9), "before the camera"),
        ((changed(r2=[0, 0, 1, 700.0]), 0.9), "700 m along the view"),
        ((POSE, 1.5), r"score 1.5, which must be in \[0, 1\]"),
        ((POSE, np.nan), "score nan"),
        (POSE, "a pose .4, 4. and a score, or None; this one gave ndarray"),
        ((POSE, "sure"), "gave tuple"),
    ],
)
def test_what_is_no_pose_with_a_score_is_refused(clip, answer, said):
    with pytest.raises(DexhotError, match=said):
        regressed_poses(LabRegressor([answer]), *clip)


def test_an_object_that_it_never_sees_is_an_error(clip):
    recording, evidence = clip
    with pytest.raises(DexhotError, match=r"in no frame of tiny .its best score is 0\.20, 0\.45 is needed"):
        regressed_poses(LabRegressor([(POSE, 0.2), None, (POSE, 0.1)]), recording, evidence)
    with pytest.raises(DexhotError, match="it gave none"):
        regressed_poses(LabRegressor([None] * 3), recording, evidence)
    with pytest.raises(ClipError, match="has 3 of the 4 frames"):
        regressed_poses(LabRegressor([]), recording, replace(evidence).cut(0, 3))
