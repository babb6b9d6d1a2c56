"""DexTrack's scores of appendix C, from numbers."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.metrics.reference_quality import (
    consistency,
    contact_velocity,
    object_smoothness,
    quality,
    shape_score,
    smoothness,
)
from dexhot.metrics.task_scores import (
    adaptivity,
    generalization_score,
    hard_to_track,
    robustness_score,
    task_difference,
    task_gap,
    task_points,
)


def test_scores_grow_as_the_error_falls_and_stay_finite():
    assert generalization_score(0.5, [0.1, 0.3]) == pytest.approx(0.5 / 0.2)
    assert robustness_score([1.0, 3.0], [0.4, 0.6]) == pytest.approx(2.0 / 0.5)
    assert hard_to_track(0.5) == pytest.approx(2.0)
    assert generalization_score(0.5, [0.0]) == pytest.approx(500.0)  # max, where the paper prints min
    assert hard_to_track(0.0) == robustness_score([1.0], [0.0]) == pytest.approx(1000.0)


def test_the_gap_is_to_the_nearest_training_task(lift_reference, lift_object):
    points, r = task_points(lift_object), lift_reference
    pose = r.object_pose.copy()
    pose[:, 2] += np.linspace(0.0, 0.2, len(r.q))
    near, far = (r, points), (replace(r, object_pose=pose), points)
    apart = task_difference(*near, *far)
    assert apart > 0.05
    assert task_gap([near], [far, near]) == pytest.approx(0.0, abs=1e-12)
    assert task_gap([near, far], [far]) == pytest.approx(apart / 2)


def test_adaptivity_is_the_mean_over_clips_of_their_trials():
    assert adaptivity({"apple": [3, 1], "duck": [0, 0, 2, 2]}) == pytest.approx([0.75, 0.5, 0.25])


def moving(reference, acceleration: float):
    """Hand and object with a constant acceleration along x, the object twice the hand's."""
    x = 0.5 * acceleration * reference.time**2
    q, pose = np.repeat(reference.q[:1], len(x), axis=0), np.repeat(reference.object_pose[:1], len(x), axis=0)
    q[:, 0] += x
    pose[:, 0] += 2 * x
    return replace(reference, q=q, object_pose=pose)


def test_smoothness_and_consistency_of_a_known_motion(lift_reference):
    r = moving(lift_reference, 1.2)
    assert object_smoothness(r) == pytest.approx(2.4)
    assert smoothness(r) == pytest.approx(1.2 / np.sqrt(22))
    assert consistency(r) == pytest.approx(1.2 * r.time[-1] / 2)  # the mean of a velocity that grows linearly
    depth = np.linspace(0.0, 0.006, len(r.q))
    assert quality(r, depth) == pytest.approx((1.2 / np.sqrt(22) + 1.2 * r.time[-1] / 2 + 0.003) / 3)


def test_the_contact_velocity_is_the_norm_of_the_maps_change():
    contact = np.zeros((3, 8), bool)
    contact[1:, :4] = True  # four points at once, then no change
    assert contact_velocity(contact, 60.0) == pytest.approx((2.0 * 60 / 8) / 2)


def test_a_flat_object_is_harder_and_its_height_is_that_in_which_it_lies(lift_object):
    extent = np.ptp(lift_object.vertices, axis=0)
    upright, lying = np.r_[0, 0, 0, 1, 0, 0, 0.0], np.r_[0, 0, 0, rotvec_to_quat(np.r_[0.0, np.pi / 2, 0])]
    assert shape_score(lift_object, upright) == pytest.approx(1 / (100 * extent[2]))
    assert shape_score(lift_object, lying) == pytest.approx(1 / (100 * extent[0]))
    sheet = replace(lift_object, vertices=lift_object.vertices * [1.0, 1.0, 0.0])
    assert shape_score(sheet, upright) == pytest.approx(10.0)
