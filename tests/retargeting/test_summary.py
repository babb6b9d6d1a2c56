"""What a reference is worth before any physics, from references whose figures are known."""

import numpy as np
import pytest

from dexhot.retargeting import summary
from dexhot.retargeting.summary import saturation, summarise, tip_positions
from dexhot.robots.kinematics.hand import Gaps, HandModel
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")


@pytest.fixture
def figures(lift_clip, lift_object, monkeypatch):
    """Of a reference, the human's fingertips being where `human` (T, k, 3) says."""

    def of(reference, human):
        class Match:
            def tips(self, keypoints):
                return human

        monkeypatch.setattr(summary, "correspondence", lambda hand: Match())
        return summarise(reference, lift_clip, HAND, lift_object)

    return of


def test_tip_errors_are_mean_distances_in_the_demonstrations_coordinates(lift_reference, figures):
    from dexhot.retargeting.placement import moved

    tips = tip_positions(lift_reference, HAND)
    assert figures(lift_reference, tips + [0.003, 0.0, 0.004])["tip_error_mm"] == pytest.approx(5.0)
    elsewhere = moved(lift_reference, np.array([0.4, 0.2, 0.0, np.cos(0.3), 0, 0, np.sin(0.3)]))
    assert figures(elsewhere, tips)["tip_error_mm"] == pytest.approx(0.0, abs=1e-6)


def test_each_kind_of_overlap_is_the_95th_percentile_of_the_deepest(lift_reference, figures, monkeypatch):
    frames = len(lift_reference.q)
    frame = iter(range(frames))

    def gaps(self):
        t = next(frame) / (frames - 1)
        distance = 1e-3 * np.array([-1.0 * t, -2.0 * t, -4.0 * t, -0.1 * t, 3.0])
        return Gaps(distance, np.zeros((5, 22)), np.array([1, 2, 4, 2, 1]), np.full(5, -1))

    monkeypatch.setattr(HandModel, "gaps", gaps)
    found = figures(lift_reference, tip_positions(lift_reference, HAND))
    assert found["self_penetration_mm"] == pytest.approx(0.95, rel=1e-3)
    assert found["penetration_mm"] == pytest.approx(1.90, rel=1e-3)
    assert found["table_penetration_mm"] == pytest.approx(3.80, rel=1e-3)


def test_gaps_that_are_open_are_no_overlap(lift_reference, figures, monkeypatch):
    apart = Gaps(np.full(3, 0.002), np.zeros((3, 22)), np.array([1, 2, 4]), np.full(3, -1))
    monkeypatch.setattr(HandModel, "gaps", lambda self: apart)
    found = figures(lift_reference, tip_positions(lift_reference, HAND))
    assert [found[f"{kind}penetration_mm"] for kind in ("", "table_", "self_")] == [0.0, 0.0, 0.0]


def test_length_grasp_and_speed(lift_reference, figures):
    lift_reference.q[:, 6:] = HAND.nominal
    lift_reference.q[10:, 8] += 0.05
    found = figures(lift_reference, tip_positions(lift_reference, HAND))
    assert found["finger_speed_rad_s"] == pytest.approx(3.0)
    assert found["frames"] == len(lift_reference.q) and found["seconds"] == pytest.approx(lift_reference.time[-1])
    assert found["grasp_frames"] == [lift_reference.grasp_start, lift_reference.grasp_end]


def test_joints_within_10_mrad_of_a_limit_are_saturated():
    fingers = np.tile(0.5 * (HAND.lower + HAND.upper), (4, 1))
    fingers[0, 3], fingers[1, 5] = HAND.lower[3] + 0.009, HAND.upper[5] - 0.009
    fingers[2, 3], fingers[3, 5] = HAND.lower[3] + 0.011, HAND.upper[5] - 0.011
    assert saturation(fingers, HAND) == pytest.approx(2 / 64)
