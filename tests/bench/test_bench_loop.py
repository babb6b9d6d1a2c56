"""What the loop benchmark makes of diagnostics; the run itself is a benchmark, not a test."""

import pytest

from dexhot.errors import DexhotError
from dexhot_bench.loop import summarise

HAND = {
    "stamp_to_command.count": "900",
    "stamp_to_command.p50_ms": "3.1",
    "stamp_to_command.p99_ms": "4.2",
    "stamp_to_command.max_ms": "6.0",
    "watchdog.rate_hz": "20",
    "watchdog.overruns": "0",
    "watchdog.tick_ok_fraction": "1",
}
RIG = {"tick_ok_fraction": "0.999", "slipped_s": "0"}


def statuses(hand: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    use = [{"process.cpu_percent": str(cpu), "process.rss_mib": "200"} for cpu in (90, 50, 10, 20)]
    return {"leap_driver": [u | hand for u in use], "rig": [u | RIG for u in use]}


def test_the_latency_is_that_of_hand_commands():
    metrics = summarise(statuses(HAND), {"rig": ["rig", "leap_driver"]})["metrics"]
    assert metrics["latency_ms_p99"] == 4.2 and metrics["tick_ok_fraction"] == 0.999 and metrics["commands"] == 900


def test_cpu_is_the_mean_after_the_start_and_once_per_process():
    metrics = summarise(statuses(HAND), {"rig": ["rig", "leap_driver"]})["metrics"]
    assert metrics["cpu_percent"] == 15.0 and metrics["memory_mib"] == 200.0


def test_loops_and_latencies_of_each_node_are_listed():
    nodes = summarise(statuses(HAND), {"rig": ["rig"]})["nodes"]
    assert nodes["leap_driver"]["watchdog"]["rate_hz"] == 20.0
    assert nodes["leap_driver"]["stamp_to_command"]["count"] == 900.0


def test_a_run_without_commands_is_an_error():
    with pytest.raises(DexhotError, match="no hand command"):
        summarise(statuses(HAND | {"stamp_to_command.count": "0"}), {"rig": ["rig"]})
