"""`dexhot bench ekf`: its figures are those of its clips, and they tell a good filter from none."""

import numpy as np
import pytest

from dexhot.datasets.parametric import generate
from dexhot.geometry import single
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.objects.asset import Symmetry
from dexhot.objects.shapes import named_shape, shape_symmetry
from dexhot.tracking.observations import SeenCentre, SeenKeypoints, SeenPose
from dexhot_bench import ekf
from dexhot_bench.ekf_hand import MissedHand, hand_rows
from dexhot_bench.ekf_table import observed
from dexhot_bench.ekf_vertices import FINGERS, ContactVertices


def parametric(kind: str, seed: int) -> ekf.RealMotion:
    clip = generate(kind, "box", seed)[0]
    keypoints, pose = clip.hands["right"].keypoints[::2], clip.object_pose[::2]
    return ekf.RealMotion(
        clip.name, clip.time[::2], keypoints, pose, object_name=clip.object_name, convention="parametric"
    )


@pytest.fixture(scope="module")
def motions():
    return [parametric("lift", 0), parametric("carry", 1)]


@pytest.fixture(scope="module")
def found(motions):
    """What the benchmark found on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ekf, "grab", lambda quick: list(motions))
        patch.setattr(ekf, "dexycb_file", lambda: None)
        return ekf.run(quick=True)


def test_the_filter_beats_its_sensors_and_what_knows_no_hand(motions, found):
    metrics = found["metrics"]
    assert found["subset"] == [m.name for m in motions] and "GRAB alone" in found["notes"][0]
    assert metrics["error_ratio_best_sensor"] < 1.0 and metrics["hand_nees_in_band_fraction"] > 0.85
    assert metrics["hidden_drift_cm"] < 0.3 * metrics["standing_still_drift_cm"]


def test_handypriors_table_has_its_rows_with_times_and_the_published_numbers(found):
    metrics, published = found["metrics"], found["published"]["handypriors_table1"]
    assert metrics["table1_clips"] == 2
    for row in (*published, "keypoints", "pose", "keypoints_and_pose"):
        assert 0.0 < metrics[f"table1_{row}_3d_cm"] < 10.0 and 0.0 < metrics[f"table1_{row}_2d_px"] < 100.0
        assert 0.0 < metrics[f"table1_{row}_update_ms"] < 1e3 * published["fingertips"]["seconds"]
    assert published["fingertips_and_centre"]["error_3d_cm"] == 7.41
    assert metrics["table1_keypoints_and_pose_3d_cm"] < 0.5 * metrics["table1_fingertips_3d_cm"]
    assert metrics["table1_fingertips_and_centre_3d_cm"] < metrics["table1_fingertips_3d_cm"]


def test_a_hand_that_is_missed_is_held_by_its_outline(motions):
    metrics = hand_rows(motions, 2)
    assert metrics["missed_hand_clips"] == 2
    for row in ("box", "mask", "pixels"):
        assert metrics[f"missed_hand_{row}_px"] < metrics["missed_hand_none_px"]
        assert 0.0 < metrics[f"missed_hand_{row}_mm"] < 100.0 and metrics[f"missed_hand_{row}_update_ms"] > 0.0
    scene = MissedHand(motions[0], 0)
    assert all((hand <= mask).all() and hand.sum() < mask.sum() for hand, mask in zip(scene.hands, scene.masks))
    assert not any((mask & hidden).any() for mask, hidden in zip(scene.masks, scene.hidden))


def test_errors_that_are_alike_in_time_have_rows_of_their_own(motions):
    metrics = ekf.alike_rows(motions, 2)
    known, white = (metrics[f"{name}_nees_in_band_fraction"] for name in ("correlated", "correlated_as_white"))
    assert known > 0.8 and known > white + 0.03 and metrics["correlated_error_ratio"] > 0.9
    errors = [np.stack([s.hand.points for s in ekf.sighted(motions[1], 0, how)]) for how in (False, True)]
    white_errors, alike = (np.ma.masked_invalid(e - motions[1].keypoints) for e in errors)
    for e, low, high in ((white_errors, -0.1, 0.1), (alike, 0.5, 0.95)):
        small = np.ma.masked_where(abs(e) > 0.02, e)
        assert 0.004 < small.std() < 0.006
        assert low < (small[1:] * small[:-1]).mean() / small.var() < high


def test_a_row_of_the_table_is_given_only_what_it_says(motions):
    seen = ekf.sighted(motions[0], 0)[0]
    centre = np.array([0.0, 0.0, 0.01])
    for row, keypoints, kinds in (
        ("fingertips", 5, [SeenKeypoints]),
        ("centre", 0, [SeenCentre]),
        ("fingertips_and_centre", 5, [SeenKeypoints, SeenCentre]),
        ("keypoints_and_pose", 21, [SeenKeypoints, SeenPose]),
    ):
        given = observed(seen, row, centre)
        assert [type(o) for o in given] == kinds
        assert keypoints == 0 or 0 < np.isfinite(given[0].points).all(axis=1).sum() <= keypoints


def test_what_is_seen_is_disturbed_as_it_says(motions):
    motion = motions[0]
    seen = ekf.sighted(motion, 3)
    points = np.stack([s.hand.points for s in seen])
    missing = np.isnan(points[..., 0])
    off = np.linalg.norm(points - motion.keypoints, axis=-1)[~missing]
    assert 0.15 < missing.mean() < 0.25 and 0.01 < (off > 0.03).mean() < 0.04
    assert 0.006 < np.median(off) < 0.009
    assert 0.0 < np.mean([s.object is None for s in seen]) < 0.2


def test_errors_are_reduced_by_the_symmetry():
    flipped = np.array([0.0, 0, 0, 0, 0, 0, 1])
    still = np.array([0.0, 0, 0, 1, 0, 0, 0])
    symmetry = shape_symmetry(named_shape("parametric/box-56x70x91"))
    np.testing.assert_allclose(ekf.pose_error(still, flipped, symmetry), 0.0, atol=1e-9)
    assert np.linalg.norm(ekf.pose_error(still, flipped, Symmetry())) == pytest.approx(np.pi)


def test_vertices_in_contact_move_with_their_bones():
    """As a rigid hand does, exactly; their derivative is that of differences; and of one finger only its own move."""
    hand = open_hand("right")
    posed = hand.shaped().posed(HandPose.from_vector(np.zeros(51)))
    keypoints = posed.keypoints(hand.table("mediapipe"))
    vertices = posed.vertices[::60]
    contact = ContactVertices(keypoints, vertices)
    R, shift = single.matrix(single.exp([0.3, -0.5, 0.2])), np.array([0.1, 0.2, -0.1])
    np.testing.assert_allclose(contact.at(keypoints @ R.T + shift)[0], vertices @ R.T + shift, atol=1e-9)
    assert len(np.unique(contact.bone)) > 8
    bent = keypoints.copy()
    bent[8] += [0.0, 0.01, 0.01]  # the index fingertip
    moved, J = contact.at(bent)
    off = np.linalg.norm(moved - vertices, axis=1) > 1e-9
    assert off.any() and (FINGERS[contact.bone[off]] == [7, 8]).all()
    step = 1e-6
    for k in range(63):
        sides = []
        for sign in (step, -step):
            other = bent.copy()
            other.flat[k] += sign
            sides.append(contact.at(other)[0].ravel())
        numeric = (sides[0] - sides[1]) / (2 * step)
        assert np.abs(numeric - J[:, k]).max() < 0.15, k  # without the turn about a finger's own axis
