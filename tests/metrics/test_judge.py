"""What a metric is shown as and held against: text, limit and verdict of every row."""

import math

import pytest

from dexhot.metrics.judge import METRICS, STRICT, judge, limits
from dexhot.metrics.success import SUCCESSES

FOUND = {
    "success_strict": False,
    "success_10cm_20deg": True,
    "success_10cm_40deg": True,
    "level": 2,
    "T_err_cm": 1.23456,
    "T_err_max_cm": 6.54321,
    "T_err_final_cm": 2.34567,
    "R_err_rad": 0.123456,
    "R_err_max_deg": 12.3456,
    "judged_T_cm": 1.23456,
    "judged_T_max_cm": 6.54321,
    "judged_T_final_cm": 2.34567,
    "judged_R_deg": 7.07123,
    "judged_R_max_deg": 12.3456,
    "E_hand": 0.123456,
    "E_wrist": 0.012345,
    "E_wrist_cm": 0.98765,
    "E_wrist_rad": 0.012345,
    "E_finger": 0.234567,
    "hold_rate": 0.987,
    "penetration_mm": 3.14159,
    "self_penetration_mm": 0.456,
    "self_penetration_frames": 7,
    "lifted_frames": 78,
    "reference_lifted_frames": 79,
    "R_err_sym_rad": 0.123456,
    "ADD_S_cm": 0.45678,
    "speed_factor": 1.17256,
    "symmetry": "sphere",
    "strict_limits": SUCCESSES["success_strict"],
}
SHOWN = {
    "success_strict": "no",
    "success_10cm_20deg": "yes",
    "success_10cm_40deg": "yes",
    "level": "2",
    "T_err_cm": "1.23",
    "T_err_max_cm": "6.54",
    "T_err_final_cm": "2.35",
    "R_err_rad": "0.123",
    "R_err_max_deg": "12.3",
    "judged_T_cm": "1.23",
    "judged_T_max_cm": "6.54",
    "judged_T_final_cm": "2.35",
    "judged_R_deg": "7.1",
    "judged_R_max_deg": "12.3",
    "E_hand": "0.123",
    "E_wrist": "0.012",
    "E_wrist_cm": "0.99",
    "E_wrist_rad": "0.012",
    "E_finger": "0.235",
    "hold_rate": "99",
    "penetration_mm": "3.14",
    "self_penetration_mm": "0.46",
    "self_penetration_frames": "7",
    "lifted_frames": "78",
    "reference_lifted_frames": "79",
    "R_err_sym_rad": "0.123",
    "ADD_S_cm": "0.46",
    "speed_factor": "1.17",
}


def rows(**changes):
    return {row.id: row for row in judge(FOUND | changes)}


def test_every_metric_is_shown_with_its_digits():
    assert {id: row.text for id, row in rows().items()} == SHOWN
    assert list(rows()) == list(METRICS)


@pytest.mark.parametrize("kind", ["discrete", "axis", "sphere"])
def test_a_symmetric_object_is_held_to_its_judged_rows(kind):
    found = rows(symmetry=kind)
    assert found["judged_T_max_cm"].passed is False and found["judged_T_cm"].passed is True
    assert found["T_err_max_cm"].passed is None and found["R_err_rad"].limit is None


def test_any_other_object_is_held_to_its_raw_rows():
    found = rows(symmetry="none")
    assert not [id for id in found if id.startswith("judged_")]
    assert found["T_err_max_cm"].limit == 5.0 and found["T_err_final_cm"].limit == 3.0
    assert found["T_err_cm"].limit == 10.0 and found["R_err_max_deg"].limit == 40.0
    assert found["R_err_rad"].limit == pytest.approx(math.radians(20))
    assert [found[id].passed for id in ("T_err_cm", "T_err_max_cm", "T_err_final_cm")] == [True, False, True]


def test_the_limits_of_a_clip_replace_those_of_every_clip():
    halved = SUCCESSES["success_strict"] | {"judged_T_max_cm": 1.5}
    assert limits(halved, True)["judged_T_max_cm"] == limits(halved, False)["T_err_max_cm"] == 1.5


def test_the_strict_success_is_decided_by_these_rows():
    raw = {"T_err_max_cm", "T_err_final_cm", "R_err_max_deg"}
    assert raw | set(SUCCESSES["success_strict"]) == STRICT


def test_penetration_has_a_goal_and_a_value_at_its_limit_does_not_pass():
    assert rows()["penetration_mm"].limit == 3.0 and rows()["penetration_mm"].passed is False
    assert rows(penetration_mm=3.0)["penetration_mm"].passed is False
    assert rows(penetration_mm=2.99)["penetration_mm"].passed is True


def test_limits_are_written_with_their_units():
    found = rows(symmetry="none")
    assert found["T_err_cm"].limit_text == "< 10 cm" and found["R_err_max_deg"].limit_text == "< 40°"
    assert found["R_err_rad"].limit_text == "< 0.349 rad (20°)" and found["E_hand"].limit_text == "< 0.8"
    assert found["E_wrist"].limit_text == "" and found["E_wrist"].passed is None


def test_what_is_held_must_reach_its_limit():
    assert rows()["hold_rate"].limit_text == "≥ 90 %" and rows(hold_rate=0.9)["hold_rate"].passed is True
    assert rows(hold_rate=0.899)["hold_rate"].passed is False
    assert rows()["self_penetration_frames"].passed is False and rows()["self_penetration_frames"].limit_text == "< 6"


def test_a_metric_without_a_value_is_not_shown():
    assert "hold_rate" not in rows(hold_rate=None)
