"""The warning of an arm whose setpoint lags its commands."""

from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.hardware.franka.arm import BEHIND, FrankaArm
from dexhot.hardware.franka.limits import fr3_limits

LIMITS = fr3_limits()
MIDDLE = 0.5 * (LIMITS.lower + LIMITS.upper)


def arm(lag: float, **changes) -> SimpleNamespace:
    """What `_notice_lag` looks at: joint 3 so far behind its goal."""
    limited = {"position": 2, "velocity": 7, "acceleration": 3, "jerk": 5}
    setpoint = SimpleNamespace(limits=LIMITS, q=MIDDLE, goal=MIDDLE + lag * (np.arange(7) == 2), limited=limited)
    values = {"_holding": False, "furthest_behind": 0.0, "warnings": {}}
    names = [f"fr3_joint{k}" for k in range(1, 8)]
    return SimpleNamespace(setpoint=setpoint, joint_names=names, **(values | changes))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_lagging_joint_is_reported_with_the_limit_that_caused_it(sign):
    late = arm(sign * (BEHIND + 0.1))
    FrankaArm._notice_lag(late)
    text = late.warnings["behind"]
    assert text.startswith(f"fr3_joint3 lagged its commands by {BEHIND + 0.1:.2f} rad") and "velocity limit" in text
    assert late.furthest_behind == pytest.approx(BEHIND + 0.1)


@pytest.mark.parametrize(
    ("lag", "changes"),
    [
        (BEHIND - 0.01, {}),
        (BEHIND + 0.1, {"_holding": True}),
        (BEHIND + 0.1, {"furthest_behind": BEHIND + 0.2}),
        (0.0, {"_holding": True}),
    ],
)
def test_an_arm_that_holds_or_lagged_more_before_is_not_reported_again(lag, changes):
    late = arm(lag, **changes)
    FrankaArm._notice_lag(late)
    assert not late.warnings and late.furthest_behind == changes.get("furthest_behind", 0.0)


def test_a_goal_beyond_the_limits_is_compared_at_the_limit():
    outside = arm(0.0)
    outside.setpoint.q = LIMITS.upper.copy()
    outside.setpoint.goal = LIMITS.upper + 5.0
    FrankaArm._notice_lag(outside)
    assert not outside.warnings
