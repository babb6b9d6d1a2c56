"""A warning that comes again and again is logged at most once in its period, and counted."""

import pytest

from dexhot.ros.core import repeated
from dexhot.ros.core.repeated import RepeatedWarning


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(repeated.time, "monotonic", lambda: now[0])
    return now


def test_what_flickers_is_logged_once_in_a_period_with_its_count(clock):
    logged: list[str] = []
    lost = RepeatedWarning(logged.append, 5.0)
    for k in range(12):  # lost twice a second, for 6 s
        clock[0] = 100.0 + 0.5 * k
        lost(f"the cup is lost, confidence 0.{k:02d}")
        lost.catch_up()
    assert logged == ["the cup is lost, confidence 0.00", "the cup is lost, confidence 0.10 (10 times in 5 s)"]
    clock[0] = 104.0 + 6.0
    lost.catch_up()  # the last one is told, too, though nothing more comes
    assert logged[2:] == ["the cup is lost, confidence 0.11"]
    clock[0] = 1000.0
    lost.catch_up()
    assert len(logged) == 3
