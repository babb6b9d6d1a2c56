"""The whole live loop in its own processes: recorded, judged from the bag, replayed exactly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dexhot.control.sampling import base_actions
from dexhot.data import bags, files
from dexhot.data.types import Demonstration
from dexhot.metrics.rollout import compute
from dexhot.objects.library import save_object
from dexhot.retargeting.placement import place
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.live import live_rollout
from dexhot.simulation.physics import load_physics
from tiny_policy import write_policy

pytestmark = pytest.mark.ros

LAUNCH_PAGE = Path(__file__).resolve().parents[2] / "docs" / "launch.md"
UNRECORDED = {"/parameter_events", "/safety/estop_input"}  # nothing is sent on them here


def dexhot(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "dexhot", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)


def assert_strict_and_replayed(run, lift_object) -> None:
    metrics = compute(live_rollout(run), lift_object, load_hand("leap_right"))
    assert metrics["success_strict"], metrics
    replayed = dexhot("replay", str(run), "--json")
    assert replayed.returncode == 0, replayed.stderr
    found = json.loads(replayed.stdout.strip().splitlines()[-1])
    assert found["equal"] and found["max_difference"] <= 1e-6 and found["commands_compared"] > 200


def test_a_live_lift_succeeds_and_replays_exactly(tmp_path, ros_domain, cache, lift_reference, lift_object):
    save_object(lift_object)
    placed = place(lift_reference)
    actions = base_actions(placed, load_physics())
    demonstration = Demonstration("lift", placed, actions, placed.q, placed.object_pose, "1")
    path, run = files.save(demonstration, tmp_path / "lift"), tmp_path / "run"
    result = dexhot("up", "real_track", f"reference:={path}", f"record:={run}", "exit_when_done:=true")
    assert result.returncode == 0, result.stderr
    assert_strict_and_replayed(run, lift_object)
    assert_topics_are_those_of_the_launch_page(run)


def assert_topics_are_those_of_the_launch_page(run) -> None:
    [listed] = re.findall(r"^\$ ros2 topic list -t\n((?:/.*\n)+)", LAUNCH_PAGE.read_text(), flags=re.M)
    documented = dict(re.findall(r"^(\S+) \[(\S+)\]$", listed, flags=re.M))
    with bags.open_bag(run / "bag") as bag:
        recorded = {c.topic: c.msgtype for c in bag.connections if not c.topic.startswith("/tf")}  # where tf2_msgs is
    assert recorded | {topic: documented[topic] for topic in UNRECORDED} == documented


def test_planned_plans_before_it_moves_and_its_run_with_feedback_replays_exactly(
    tmp_path, ros_domain, cache, lift_reference, lift_object
):
    save_object(lift_object)
    placed = place(lift_reference)
    path, run = files.save(placed, tmp_path / "lift"), tmp_path / "run"
    feedback = write_policy(tmp_path / "tiny", placed, load_physics(), bias=2e-4, keep=0.8, baseline="planned")
    budget = ("controller:=planned", "planning_rollouts:=24", "prior:=none", f"feedback:={feedback}")
    result = dexhot("up", "real_track", f"reference:={path}", f"record:={run}", "exit_when_done:=true", *budget)
    assert result.returncode == 0, result.stderr
    assert "expected to survive" in result.stderr
    feedback.unlink()  # the run has its own
    assert_strict_and_replayed(run, lift_object)


def test_a_plan_below_the_limit_never_starts_and_ends_the_graph(
    tmp_path, ros_domain, cache, lift_reference, lift_object
):
    save_object(lift_object)
    placed = place(lift_reference)
    placed.q[:], placed.target[:] = placed.q[:1], placed.q[:1]  # a hand that never moves lifts nothing
    path = files.save(placed, tmp_path / "still")
    budget = ("controller:=planned", "planning_rollouts:=16", "prior:=none", "planning_limit:=1.0")
    result = dexhot("up", "real_track", f"reference:={path}", "record:=false", "exit_when_done:=true", *budget)
    assert result.returncode == 1
    assert "the limit is 1" in result.stderr and "tracking" not in result.stderr
