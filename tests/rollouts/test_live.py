"""Bags written without ROS -> rollouts."""

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data import bags, files
from dexhot.data.topics import FRANKA_STATES, LEAP_STATES, OBJECT_POSE, SAFETY_STATE, TARGET
from dexhot.errors import FileFormatError
from dexhot.objects.library import save_object
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS
from dexhot.rollouts.live import FREE_TOLERANCE, NEEDED, StampedRows, frames, live_rollout

store = bags.typestore()
Time = store.types["builtin_interfaces/msg/Time"]
Header = store.types["std_msgs/msg/Header"]
T0 = 1_700_000_000_000_000_000


def header(ns: int):
    return Header(stamp=Time(sec=ns // 10**9, nanosec=ns % 10**9), frame_id="world")


def joints(ns: int, names, q):
    empty = np.zeros(0)
    return store.types["sensor_msgs/msg/JointState"](header(ns), list(names), np.array(q, float), empty, empty)


def pose(ns: int, x):
    point = store.types["geometry_msgs/msg/Point"](*x[:3])
    quat = store.types["geometry_msgs/msg/Quaternion"](x=x[4], y=x[5], z=x[6], w=x[3])
    inner = store.types["geometry_msgs/msg/Pose"](point, quat)
    with_covariance = store.types["geometry_msgs/msg/PoseWithCovariance"](inner, np.zeros(36))
    return store.types["geometry_msgs/msg/PoseWithCovarianceStamped"](header(ns), with_covariance)


def safety(ns: int, state: str, reason: str, t0: int = 0):
    pair = store.types["diagnostic_msgs/msg/KeyValue"]
    values = [pair("reason", reason), pair("t0", f"{t0 // 10**9}.{t0 % 10**9:09d}")]
    status = store.types["diagnostic_msgs/msg/DiagnosticStatus"](0, "safety", state, "", values)
    return store.types["diagnostic_msgs/msg/DiagnosticArray"](header(ns), [status])


def write_run(folder, reference, ticks: range, end=None, skip=(), leave_out=()):
    """A run whose palm stays at FR3_HOME and whose object follows the reference, at the ticks of `ticks`."""
    files.save(reference, folder / "reference.npz")
    with bags.BagWriter(folder / "bag") as bag:
        topics = {t: bag.topic(t, kind) for t, kind in NEEDED.items() if t not in leave_out}

        def write(topic, ns, message):
            if topic in topics:
                bag.write_message(topics[topic], ns, message)

        write(SAFETY_STATE, T0 - 10**9, safety(T0 - 10**9, "tracking", "started", T0))
        for k in ticks:
            if k in skip:
                continue
            ns, i = T0 + round(k * 1e9 / 60), min(max(k, 0), len(reference.q) - 1)
            write(OBJECT_POSE, ns, pose(ns, reference.object_pose[i]))
            write(FRANKA_STATES, ns, joints(ns, FR3_JOINTS, FR3_HOME))
            write(LEAP_STATES, ns, joints(ns, reference.joint_names[6:], reference.q[i, 6:]))
            write(TARGET, ns, joints(ns, reference.joint_names, reference.target[i]))
        if end is not None:
            ns = T0 + round(end * 1e9 / 60)
            write(SAFETY_STATE, ns, safety(ns, "holding", "/object/state is 120 ms old"))
    return folder


@pytest.fixture
def known(cache, lift_reference, lift_object):
    save_object(lift_object)
    return lift_reference


def test_the_rows_are_the_reference_frames(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-30, len(known.q) + 5)))
    np.testing.assert_allclose(rollout.object_pose, known.object_pose)
    np.testing.assert_allclose(rollout.q[:, 6:], known.q[:, 6:])
    np.testing.assert_allclose(rollout.command, known.target)
    np.testing.assert_allclose(rollout.arm_q, np.tile(FR3_HOME, (len(known.q), 1)))


def test_it_is_a_valid_live_rollout(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-3, len(known.q))))
    rollout.validate()
    assert rollout.kind == "live" and len(rollout.tip_contact) == len(known.q)


def test_contact_with_the_table_is_reconstructed(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-3, len(known.q))))
    assert not rollout.table_contact[-1]  # lifted


def test_a_short_gap_is_filled(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-3, len(known.q)), skip=(50, 51)))
    np.testing.assert_allclose(rollout.object_pose[51], known.object_pose[49])


def test_a_long_gap_is_refused_with_its_frame(tmp_path, known):
    with pytest.raises(FileFormatError, match="frame 53"):
        live_rollout(write_run(tmp_path, known, range(-3, len(known.q)), skip=range(50, 60)))


def test_a_clip_that_was_held_gives_its_reason(tmp_path, known):
    with pytest.raises(FileFormatError, match="holding: /object/state is 120 ms old"):
        live_rollout(write_run(tmp_path, known, range(-3, len(known.q)), end=40))


def test_the_part_of_a_clip_before_it_was_held_can_be_had(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-3, len(known.q)), end=39.5), part=True)
    rollout.validate()
    assert len(rollout.q) == 40 and rollout.provenance["stopped"] == "holding: /object/state is 120 ms old"


def test_the_part_that_a_killed_recorder_left_can_be_had(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-3, 30)), part=True)
    assert len(rollout.q) == 30 and rollout.provenance["stopped"] == "the recording ends before the clip does"


def test_a_part_without_frames_is_refused(tmp_path, known):
    with pytest.raises(FileFormatError, match="tracking ended before the clip's first frame"):
        live_rollout(write_run(tmp_path, known, range(-30, -3)), part=True)


def test_a_whole_clip_is_not_a_part(tmp_path, known):
    rollout = live_rollout(write_run(tmp_path, known, range(-3, len(known.q))), part=True)
    assert len(rollout.q) == len(known.q) and "stopped" not in rollout.provenance


def test_a_clip_that_does_not_exist_is_counted(tmp_path, known):
    run = write_run(tmp_path, known, range(-3, len(known.q)))
    for episode in (1, 5, -1):
        told = f"has no episode {episode}, it holds 1 clip tracked to the end: choose 0"
        with pytest.raises(FileFormatError, match=told):
            live_rollout(run, episode)


def test_a_part_is_episode_0_alone(tmp_path, known):
    run = write_run(tmp_path, known, range(-3, 30))
    with pytest.raises(FileFormatError, match="no episode 5, it holds the tracked part of one clip: choose 0"):
        live_rollout(run, 5, part=True)
    with pytest.raises(FileFormatError, match="holds no clip tracked to the end: the recording ends before"):
        live_rollout(run)


def test_a_run_is_found_by_its_bag_and_by_the_file_in_it(tmp_path, known):
    run = write_run(tmp_path, known, range(-3, len(known.q)))
    expected = live_rollout(run)
    for path in (run / "bag", run / "bag" / "bag.mcap"):
        rollout = live_rollout(path)
        np.testing.assert_array_equal(rollout.q, expected.q)
        assert rollout.provenance == expected.provenance
    (run / "reference.npz").unlink()
    with pytest.raises(FileFormatError, match=r"not a recorded run: it has no bag/ beside reference\.npz"):
        live_rollout(run / "bag")


def test_what_a_damaged_bag_lost_stands_beside_what_is_left(tmp_path, known):
    run = write_run(tmp_path, known, range(-3, len(known.q)))
    file = run / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(FileFormatError, match=r"The bag is damaged: .*truncated in the record"):
        live_rollout(run)
    rollout = live_rollout(run, part=True)
    assert 2 <= len(rollout.q) < len(known.q) and "truncated in the record" in rollout.provenance["bag_damage"][0]


def test_a_bag_without_the_needed_topics_names_them(tmp_path, known):
    with pytest.raises(FileFormatError, match=LEAP_STATES):
        live_rollout(write_run(tmp_path, known, range(3), leave_out=(LEAP_STATES,)))


def test_stamps_off_the_grid_belong_to_no_frame():
    series = StampedRows([round((k + 0.5) * 1e9 / 60) for k in range(10)], [np.zeros(7)] * 10)
    with pytest.raises(FileFormatError, match="not recorded at frame 0"):
        frames(series, 0, 10, "/x")


def test_on_a_real_rig_the_nearest_row_is_a_frames():
    stamps = [int((i + 0.4) * 1e9 / 60) for i in range(-1, 10)]
    series = StampedRows(stamps, [np.array([i]) for i in range(-1, 10)])
    assert frames(series, 0, 10, "/x", FREE_TOLERANCE)[:, 0].tolist() == list(range(10))


def test_the_report_of_a_run_reads_hand_and_object_once(tmp_path, known, loads):
    run = write_run(tmp_path, known, range(-3, len(known.q)))
    loads.update(hand=0, object=0)
    assert main(["report", str(run), "--no-video"]) == 0
    assert loads["hand"] == 1 and loads["object"] <= 1  # a shape that is made from its name is not read
