"""Which moments of a run are shown, and their captions."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.report.forces import Forces
from dexhot.report.series import compute_series
from dexhot.report.worst import APART, worst_moments
from report_samples import box_asset, lift_rollout

LIMITS = {"T_err_max_cm": 5.0, "R_err_max_deg": 40.0, "penetration_mm": 3.0}


@pytest.fixture
def asset(cache):
    return box_asset()


def test_a_lost_object_comes_first_at_the_frame_where_it_was_lost(asset):
    rollout = lift_rollout(dropped=True)
    first = worst_moments(rollout, compute_series(rollout, asset), LIMITS)[0]
    assert first.frame == 45 and first.failed and first.found[0].startswith("object lost")


def test_what_is_over_its_limit_comes_before_what_is_not(asset):
    rollout = lift_rollout()
    rollout.object_pose[10, 0] += 0.08
    rollout.penetration[40] = 0.002
    found = worst_moments(rollout, compute_series(rollout, asset), LIMITS)
    assert (found[0].frame, found[0].failed) == (10, True)
    assert found[0].found[0] == "object position error 8.4 cm (limit 5)"
    assert not any(moment.failed for moment in found[1:])


def test_near_frames_are_one_moment(asset):
    rollout = lift_rollout()
    rollout.object_pose[20, 0] += 0.02
    rollout.penetration[22] = 0.002
    found = worst_moments(rollout, compute_series(rollout, asset), LIMITS)
    frames = [moment.frame for moment in found]
    assert {"object position", "penetration 2"} <= {what[:15].strip() for what in found[0].found} | {
        what[:13] for what in found[0].found
    }
    assert min(abs(a - b) for k, a in enumerate(frames) for b in frames[:k]) >= APART


def test_where_it_was_stopped_is_a_moment_and_gives_the_reason(asset):
    rollout = replace(lift_rollout(), provenance={"stopped": "fault: the emergency stop is pressed"})
    first = worst_moments(rollout, compute_series(rollout, asset), LIMITS)[0]
    assert first.frame == 59 and first.found[0] == "stopped: fault: the emergency stop is pressed"


def test_the_joint_with_the_highest_torque_is_named(asset):
    rollout = lift_rollout()
    torque = np.zeros((60, 2))
    torque[7] = 0.1, 0.5
    forces = Forces(["a", "b"], torque, np.ones(2), np.zeros((60, 4)), "")
    found = worst_moments(rollout, compute_series(rollout, asset), LIMITS, forces)
    assert "torque of b 50 % of its limit" in [what for moment in found for what in moment.found]
