"""The shaper's node: which reading of the hand a target takes."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from dexhot.ros.track.shaper_node import ShaperNode


def test_a_target_takes_the_last_reading_before_its_stamp_whatever_has_arrived_since():
    """So a replay, where messages may arrive in another order, gives the same commands."""
    readings = deque((k / 60, np.full(16, float(k))) for k in range(5))
    node = SimpleNamespace(readings=readings)
    assert ShaperNode.measured(node, 3 / 60)[0] == 2.0, "not the one of its own tick, which may come after it"
    assert ShaperNode.measured(node, 1.0)[0] == 4.0
    assert ShaperNode.measured(node, 0.0) is None, "nothing was measured before: no feedback"
    assert ShaperNode.measured(SimpleNamespace(readings=deque()), 1.0) is None
