"""Faults are noticed and end in a safe state: a subset of `dexhot bench faults`, with a busy machine's patience.

Only states are asserted; the benchmark has the times.
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from dexhot_bench.faults import camera, hand, table
from dexhot_bench.faults.table import Fault, Outcome, Result

pytestmark = pytest.mark.ros
GOOD = Outcome("told", 10.0, 20.0, "fault", "reset")
MOVING = Fault("a", "hand", lambda rig: GOOD)


def by_name(faults: table.FaultTable, *names: str) -> list[Fault]:
    found = [fault for fault in faults if fault.name in names]
    assert len(found) == len(names), [fault.name for fault in faults]
    return found


def test_the_figures_count_what_motion_depends_on():
    standing = Fault("b", "camera", lambda rig: GOOD, moves=False)
    late, unseen = replace(GOOD, safe_ms=300.0), replace(GOOD, detected_ms=None, safe_ms=None, recovered="")
    results = [Result(MOVING, GOOD), Result(MOVING, late, violations=2), Result(standing, unseen)]
    assert table.metrics(results, 3) == {
        "injected": 3,
        "detected": 2,
        "must_be_safe": 2,
        "safe_within_250ms": 1,
        "other_rows": 1,
        "others_detected": 0,
        "recovered": 2,
        "limit_violations": 2,
        "messages_lost": 0,
        "false_stops": 3,
    }


def test_a_plant_that_moves_or_is_told_to_is_not_still():
    from dexhot_bench.faults import graph

    def seen(q, told):
        return [(0.1 * k, np.full(2, q(k)), np.full(2, told(k))) for k in range(1, 12)]

    def still(plant, since):
        return graph.still(plant, since, arm=0)

    assert still(seen(lambda k: 0.1 if k < 3 else 0.3, lambda k: 0.5), since=0.0)  # comes to rest, then stays
    assert not still(seen(lambda k: 0.01 * k, lambda k: 0.5), since=0.0)
    assert not still(seen(lambda k: 0.3, lambda k: 0.5 + 1e-3 * (k > 5)), since=0.0)
    assert still(seen(lambda k: 0.3, lambda k: 0.5 + 1e-3 * (k > 5)), since=0.55)
    assert not still([], since=0.0)


def test_an_arm_may_brake_before_it_is_still():
    from dexhot_bench.faults.graph import still

    def seen(arm, hand):
        return [(0.1 * k, np.full(2, 0.3), np.array([arm(k), hand(k)])) for k in range(1, 12)]

    def braking(k):
        return 0.05 * min(k, 3)

    assert still(seen(braking, lambda k: 0.5), since=0.0, arm=1)
    assert not still(seen(lambda k: 0.5, braking), since=0.0, arm=1)  # a finger stops at once
    assert not still(seen(lambda k: 0.05 * min(k, 5), lambda k: 0.5), since=0.0, arm=1)  # too long
    assert not still(seen(lambda k: 0.1 * min(k, 3), lambda k: 0.5), since=0.0, arm=1)  # too far


def test_there_are_more_than_thirty_and_each_has_a_name_of_its_own():
    from dexhot_bench.faults import arm, graph_faults

    faults = [f for group in (hand, arm, camera, graph_faults) for f in group.FAULTS]
    assert len(faults) > 30 and len({(f.group, f.name) for f in faults}) == len(faults)
    assert sum(f.quick for f in faults) >= 10


def test_a_trial_that_fails_is_not_noticed():
    from dexhot_bench.faults import bench

    def broken(rig):
        raise ValueError("surprise")

    outcome = bench.tried(Fault("a", "hand", broken), None)
    assert outcome.detected_ms is None and "surprise" in outcome.detected_by


def test_a_claim_ends_with_its_process(ros_domain):
    from dexhot.ros.core.claim import Claim

    code = "from dexhot.ros.core.claim import Claim; c = Claim('/it'); print('held', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert Claim.held("/it")
    process.kill()
    process.communicate()
    assert not Claim.held("/it")


HAND = by_name(
    *(hand.FAULTS, "servo dead", "servo overload", "USB unplugged and replugged", "two hands on one bus at start"),
    *("torque found on at start, wrong mode", "goal out of limits and discontinuous", "NaN goal"),
)


@pytest.mark.parametrize("fault", HAND, ids=lambda fault: fault.name)
def test_the_hand_is_safe_and_comes_back(fault):
    pytest.importorskip("dynamixel_sdk")
    with hand.HandRig(hand.HandSettings(slack=0.06, patience=1.0, watchdog=2.0)) as rig:
        outcome = fault.run(rig)
        assert rig.violations() == 0
    assert outcome.detected_ms is not None, outcome
    assert outcome.safe_ms is not None, outcome
    assert outcome.recovered, outcome


def test_a_servo_that_hangs_beyond_its_limit_gets_no_goal_there():
    pytest.importorskip("dynamixel_sdk")
    with hand.HandRig(hand.HandSettings(slack=0.06, patience=1.0, watchdog=2.0)) as rig:
        rig.ready()
        rig.bus.inject("torque 0")
        rig.hand._begin(rig.hand.upper + 0.1)
        assert rig.violations() == 0


@pytest.mark.parametrize("fault", camera.FAULTS, ids=lambda fault: fault.name)
def test_a_cameras_fault_is_told_and_frames_come_back(fault):
    outcome = fault.run(camera.CameraRig())
    assert outcome.detected_ms is not None and outcome.recovered, outcome


def test_the_arm_is_safe_and_comes_back():
    pytest.importorskip("franky")
    pytest.importorskip("franky_sim")
    from dexhot_bench.faults import arm

    patient = replace(arm.SETTINGS, command_timeout=0.5, frozen_timeout=0.5)  # libfranka gives up after 1 s
    wrong = {}
    with arm.ArmRig(patient) as rig:
        for fault in by_name(arm.FAULTS, "reflex", "frozen controller", "NaN command", "command out of limits"):
            rig.renew()
            outcome = fault.run(rig)
            rig.arm.disconnect()
            if outcome.detected_ms is None or outcome.safe_ms is None or not outcome.recovered:
                wrong[fault.name] = outcome
        assert rig.violations() == 0
    assert not wrong


def test_the_graph_is_safe_and_comes_back(ros_domain, tmp_path):
    from dexhot_bench.faults.graph import RunningGraph
    from dexhot_bench.faults.graph_faults import FAULTS

    wrong = {}
    with RunningGraph(tmp_path, silence=0.6, patience=0.1) as graph:
        for fault in by_name(FAULTS, "object lost (no poses)", "emergency stop pressed", "supervisor killed"):
            outcome = fault.run(graph)
            if outcome.detected_ms is None or outcome.safe_ms is None or not outcome.recovered:
                wrong[fault.name] = outcome
    assert not wrong
