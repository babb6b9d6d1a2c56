"""What is read of a run's bag besides the motion."""

import numpy as np
import pytest

from dexhot.data import bags
from dexhot.data.topics import FRANKA_STATES, LEAP_COMMAND, LEAP_STATES, SAFETY_STATE
from dexhot.report.recording import SafetyState, read_recording, within
from dexhot.robots.arm import FR3_JOINTS
from report_samples import lift_reference

store = bags.typestore()
Time, Header = store.types["builtin_interfaces/msg/Time"], store.types["std_msgs/msg/Header"]
Pair, Status = store.types["diagnostic_msgs/msg/KeyValue"], store.types["diagnostic_msgs/msg/DiagnosticStatus"]
T0 = 1_700_000_000_432_700_123  # with nanoseconds that a double of seconds, or of nanoseconds, does not hold
DELAY = 4_000_000  # ns, from a state to its command


def header(ns):
    return Header(stamp=Time(sec=ns // 10**9, nanosec=ns % 10**9), frame_id="")


def joints(ns, names, effort):
    q = np.zeros(len(names))
    return store.types["sensor_msgs/msg/JointState"](header(ns), list(names), q, q, np.array(effort, float))


def safety(ns, state, reason):
    values = [Pair("reason", reason), Pair("t0", "0.0")]
    return store.types["diagnostic_msgs/msg/DiagnosticArray"](header(ns), [Status(0, "safety", state, "", values)])


def written(folder, skip=(), silent=(), efforts=True):
    """A bag of 60 frames; frames of `skip` have no hand state, those of `silent` no command."""
    fingers = lift_reference().joint_names[6:]
    kinds = dict.fromkeys((LEAP_STATES, LEAP_COMMAND, FRANKA_STATES), "sensor_msgs/msg/JointState")
    kinds |= {SAFETY_STATE: "diagnostic_msgs/msg/DiagnosticArray"}
    with bags.BagWriter(folder / "bag") as bag:
        topics = {name: bag.topic(name, kind) for name, kind in kinds.items()}
        for at, state, reason in ((-60, "inactive", "a"), (-50, "inactive", "b"), (-30, "tracking", "started")):
            ns = T0 + round(at * 1e9 / 60)
            bag.write_message(topics[SAFETY_STATE], ns, safety(ns, state, reason))
        for k in range(60):
            ns = T0 + round(k * 1e9 / 60)
            bag.write_message(topics[FRANKA_STATES], ns, joints(ns, FR3_JOINTS, [10 + k] * 7 if efforts else []))
            if k in skip:
                continue
            bag.write_message(topics[LEAP_STATES], ns, joints(ns, fingers, [k] * len(fingers) if efforts else []))
            if k not in silent:
                bag.write_message(topics[LEAP_COMMAND], ns + DELAY, joints(ns, fingers, []))
    return folder / "bag"


def test_torques_belong_to_their_frames(tmp_path):
    found = read_recording(written(tmp_path), lift_reference(), T0)
    np.testing.assert_array_equal(found.torque[:, 0], 10 + np.arange(60))
    np.testing.assert_array_equal(found.torque[:, 7], np.arange(60))
    assert found.joint_names[:7] == list(FR3_JOINTS) and len(found.joint_names) == 23


def test_a_robot_without_efforts_has_none(tmp_path):
    assert np.isnan(read_recording(written(tmp_path, efforts=False), lift_reference(), T0).torque).all()


def test_latency_is_from_a_state_to_the_command_with_its_stamp(tmp_path):
    found = read_recording(written(tmp_path, silent=(5,)), lift_reference(), T0)
    assert len(found.latency) == 59 and found.latency[:, 1] == pytest.approx(4.0)
    assert found.latency[-1, 0] == pytest.approx(59 / 60, abs=1e-6)


def test_what_is_lost_is_counted(tmp_path):
    found = read_recording(written(tmp_path, skip=(20, 21), silent=(5,)), lift_reference(), T0)
    assert (found.missing, found.unanswered) == (2, 1)
    assert found.longest_gap == pytest.approx(50, abs=0.01)
    assert found.rate == pytest.approx(60 * 57 / 59)


def test_states_are_reported_once_and_waiting_with_its_last_reason(tmp_path):
    found = read_recording(written(tmp_path), lift_reference(), T0).safety
    assert [(s.state, s.reason) for s in found] == [("inactive", "b"), ("tracking", "started")]
    assert found[1].time == pytest.approx(-0.5)


def test_a_clips_states_are_those_it_began_in_and_passed_through():
    states = [SafetyState(t, name, "") for t, name in ((-2, "ready"), (-1, "tracking"), (0.5, "holding"), (9, "fault"))]
    assert [s.state for s in within(states, 2.0)] == ["tracking", "holding"]
