"""The shaper's node: which reading of the hand a target takes."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from dexhot.data import files
from dexhot.objects.library import save_object
from dexhot.retargeting.placement import place
from dexhot.ros.track.shaper_node import ShaperNode
from dexhot.simulation.setup import physics_of
from node_bench import NodeBench
from tiny_policy import write_policy


def test_a_target_takes_the_last_reading_before_its_stamp_whatever_has_arrived_since():
    """So a replay, where messages may arrive in another order, gives the same commands."""
    readings = deque((k / 60, np.full(16, float(k))) for k in range(5))
    node = SimpleNamespace(readings=readings)
    assert ShaperNode.measured(node, 3 / 60)[0] == 2.0, "not the one of its own tick, which may come after it"
    assert ShaperNode.measured(node, 1.0)[0] == 4.0
    assert ShaperNode.measured(node, 0.0) is None, "nothing was measured before: no feedback"
    assert ShaperNode.measured(SimpleNamespace(readings=deque()), 1.0) is None


@pytest.mark.ros
@pytest.mark.parametrize("lead", [None, 0.4])
def test_its_lead_is_that_of_the_policys_training(lead, ros_domain, cache, tmp_path, lift_reference, lift_setup):
    save_object(lift_setup.asset)
    placed = place(lift_reference)
    network = write_policy(tmp_path / "tiny", placed, physics_of(placed), shaper_lead=lead)
    bench = NodeBench()
    try:
        path = files.save(placed, tmp_path / "lift")
        node = bench.start(ShaperNode(), reference=str(path), policy=str(network))
        assert node.state == "active", node.fault_reason
        lag = physics_of(placed).finger(lift_setup.hand).lag
        np.testing.assert_allclose(node.shaper.lead, (1.0 if lead is None else lead) * lag)
    finally:
        bench.close()
