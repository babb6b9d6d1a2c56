"""`dexhot safety`: the supervisor from a command line without ros2."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from dexhot.bringup import safety_client
from dexhot.cli import main
from dexhot.cli.safety_command import NOBODY
from dexhot.ros.supervise.supervisor_node import SupervisorNode
from node_bench import NodeBench

pytestmark = pytest.mark.ros


@pytest.fixture
def bench(ros_domain):
    made = NodeBench()
    made.began = time.monotonic()
    made.start(SupervisorNode(), required_nodes=["leap_driver"], supervisor_timeout=5.0)
    yield made
    made.close()


def safety(bench: NodeBench, *words: str) -> tuple[int, dict]:
    """(exit code, the JSON line) of a call beside the supervisor."""
    call = [sys.executable, "-m", "dexhot", "safety", *words, "--json"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert bench.spin_until(lambda: process.poll() is not None)
        out, error = process.communicate()
    assert out, error
    return process.returncode, json.loads(out.splitlines()[-1])


def test_a_state_is_shown_with_its_reason_and_changed(bench):
    code, said = safety(bench, "status")
    assert (code, said["state"], said["watched"], said["supervisors"]) == (0, "inactive", True, 1)
    assert "no heartbeat from leap_driver" in said["reason"]
    assert 0.0 <= said["age"] <= time.monotonic() - bench.began
    code, said = safety(bench, "start")
    assert code == 1 and not said["done"] and "rejected: tracking starts only from the state ready" in said["reason"]
    assert safety(bench, "estop") == (0, {"done": True, "state": "fault", "reason": "emergency stop"})
    code, said = safety(bench, "status")
    assert (code, said["state"]) == (1, "fault")


def test_one_that_watches_no_more_is_reported_as_silent(bench):
    bench.tested.trigger_deactivate()
    code, said = safety(bench, "status")
    assert code == 1 and not said["watched"] and said["reason"] == "the supervisor was deactivated"


@pytest.mark.parametrize("action", ["status", "estop"])
def test_without_a_supervisor_it_is_reported_within_the_timeout(ros_domain, capsys, action):
    assert main(["safety", action, "--timeout", "0.2", "--json"]) == NOBODY
    told = capsys.readouterr()
    assert f"no supervisor answers within 0.2 s in ROS domain {ros_domain}" in told.err
    assert "error" in json.loads(told.out.splitlines()[-1])


def test_the_stop_of_all_waits_for_robots_that_are_discovered_one_by_one(ros_domain, monkeypatch):
    now, joins = [0.0], {"/a/supervisor": 1.0, "/b/supervisor": 3.9}  # the second one more than DISCOVERY after us

    def supervisors() -> list[str]:
        now[0] += 0.5
        return [name for name, at in joins.items() if at <= now[0]]

    with safety_client.SafetyClient(timeout=2.0) as client:
        monkeypatch.setattr(safety_client, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(client, "_supervisors", supervisors)
        monkeypatch.setattr(client, "_all_hear", lambda button: True)
        assert client.stop_all() == ["/a/supervisor", "/b/supervisor"]
