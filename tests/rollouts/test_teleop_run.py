"""What makes a teleoperated run good enough for a Demonstration: each fault is refused by its name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dexhot.bringup.graphs.teleop import scene
from dexhot.data import bags, files
from dexhot.data.run import SCHEMA, VERSION
from dexhot.data.types import Rollout
from dexhot.errors import DexhotError, FileFormatError
from dexhot.retargeting.placement import place
from dexhot.rollouts import teleop_run
from dexhot.simulation.setup import load_setup

T = 181


@pytest.fixture
def world(cache, lift, lift_reference):
    from dexhot.objects.library import save_object

    save_object(lift[1])
    reference = scene(place(lift_reference), (T - 1) / 60)
    return reference, load_setup(reference)


@pytest.fixture
def run(tmp_path, world, monkeypatch):
    """A run's folder whose rollout and clutch the test gives: lifted by 10 cm, held, engaged from 20 to 170."""
    reference, _ = world
    folder = tmp_path / "run"
    (folder / "bag").mkdir(parents=True)
    files.save(reference, folder / "reference.npz")
    (folder / "run.json").write_text(json.dumps({"schema": SCHEMA, "version": VERSION, "graph": "teleop"}))
    tips = reference.contact.shape[1]
    pose = reference.object_pose.copy()
    pose[:, 2] += np.clip((np.arange(T) - 60) / 60, 0.0, 1.0) * 0.1
    rollout = Rollout(
        name="live",
        reference=reference,
        kind="live",
        time=reference.time,
        q=reference.q,
        command=reference.q + np.arange(T)[:, None] * 1e-6,
        object_pose=pose,
        penetration=np.zeros(T),
        table_contact=np.zeros(T, bool),
        tip_contact=np.ones((T, tips), bool),
        arm_q=reference.arm_q,
        provenance={"run": "run", "t0_ns": 0, "stopped": "holding: stop requested"},
    )

    class Made:
        engaged = (20, 170)

        def save(self, **changes):
            provenance = {**rollout.provenance, **changes.pop("provenance", {})}
            changed = replace(rollout, provenance=provenance, **changes)
            monkeypatch.setattr(teleop_run, "live_rollout", lambda *a, **k: changed)
            monkeypatch.setattr(teleop_run, "engaged_part", lambda *a: self.engaged)
            return teleop_run.demonstration_of(folder, setup=world[1])

    made = Made()
    made.rollout, made.folder = rollout, folder
    return made


def test_a_good_run_is_a_demonstration_of_its_engaged_part(run):
    made = run.save()
    made.validate()
    assert len(made.actions) == 150 and made.name == "run"
    np.testing.assert_array_equal(made.actions, run.rollout.command[20:170])
    np.testing.assert_array_equal(made.object_pose[:-1], run.rollout.object_pose[21:170])  # after each action
    assert 40 <= made.reference.grasp_start <= 45 and made.reference.provenance["teleoperated"]["frames"] == [20, 170]
    assert "source" not in made.reference.provenance  # its motion is no clip's
    files.save(made, run.folder / "demonstration.npz")


@pytest.mark.parametrize("stopped", ["holding: stop requested", "ready: the clip has ended", "holding: rig ends: done"])
def test_an_operators_stop_is_a_good_end(run, stopped):
    assert run.save(provenance={"stopped": stopped})


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"provenance": {"stopped": "fault: emergency stop"}}, "ended by itself .fault: emergency stop"),
        ({"provenance": {"stopped": "holding: the object is lost"}}, "the object is lost"),
        ({"provenance": {"bag_damage": ["a chunk is cut off"]}}, "recording is damaged .a chunk"),
    ],
)
def test_a_run_that_went_wrong_is_refused(run, changes, why):
    with pytest.raises(DexhotError, match=why):
        run.save(**changes)


def test_a_run_without_a_lift_is_refused(run):
    still = np.repeat(run.rollout.object_pose[:1], T, axis=0)
    with pytest.raises(DexhotError, match=r"never lifted .at most 0 mm"):
        run.save(object_pose=still)


def test_a_drop_is_refused(run):
    touching = run.rollout.tip_contact.copy()
    touching[120:] = False
    with pytest.raises(DexhotError, match="it fell"):
        run.save(tip_contact=touching)


def test_a_run_that_was_hardly_engaged_is_refused(run):
    run.engaged = (100, 130)
    with pytest.raises(DexhotError, match=r"engaged for 0.5 s"):
        run.save()


def test_another_graphs_run_is_refused(run):
    (run.folder / "run.json").write_text(json.dumps({"schema": SCHEMA, "version": VERSION, "graph": "real_track"}))
    with pytest.raises(DexhotError, match="real_track, not of teleop"):
        run.save()
    with pytest.raises(FileFormatError):
        teleop_run.demonstration_of(run.folder.parent)


# Of a bag


def stamp(ns: int):
    return bags.typestore().types["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)


def head(ns: int):
    return bags.typestore().types["std_msgs/msg/Header"](stamp=stamp(ns), frame_id="")


def reference_to(topic: str, ns: int):
    return "sensor_msgs/msg/TimeReference", {"header": head(ns), "time_ref": stamp(ns), "source": topic}


def told(ns: int, on: bool):
    types = bags.typestore().types
    value = types["diagnostic_msgs/msg/KeyValue"](key="engaged", value=str(int(on)))
    status = types["diagnostic_msgs/msg/DiagnosticStatus"](
        level=0, name="teleop: clutch", message="", hardware_id="", values=[value]
    )
    return "diagnostic_msgs/msg/DiagnosticArray", {"header": head(ns), "status": [status]}


def command(ns: int):
    nothing = np.zeros(0)
    return "sensor_msgs/msg/JointState", {
        "header": head(ns),
        "name": [],
        "position": nothing,
        "velocity": nothing,
        "effort": nothing,
    }


def write_bag(folder, messages) -> None:
    """`messages`: (topic, receive time ns, (type, fields))."""
    writer, made = bags.BagWriter(folder / "bag"), {}
    for topic, received, (kind, fields) in messages:
        connection = made.get(topic) or made.setdefault(topic, writer.topic(topic, kind))
        message = bags.typestore().types[kind](**fields)
        writer.write(connection, received, bytes(bags.typestore().serialize_cdr(message, kind)))
    writer.close()


def test_latency_is_from_an_image_to_the_first_command_that_used_it(tmp_path, world):
    ms = 10**6
    files.save(world[0], tmp_path / "reference.npz")
    (tmp_path / "run.json").write_text(json.dumps({"schema": SCHEMA, "version": VERSION, "graph": "teleop"}))
    inputs, hand, state = "/controller/inputs", "/hand/keypoints", "/object/state"
    write_bag(
        tmp_path,
        [
            (inputs, 1000 * ms, reference_to(hand, 980 * ms)),
            (inputs, 1001 * ms, reference_to(state, 50 * ms)),  # ticks have another clock
            ("/leap/command", 1010 * ms, command(50 * ms)),  # 30 ms after its image
            (inputs, 1017 * ms, reference_to(state, 67 * ms)),  # without a new one
            ("/leap/command", 1025 * ms, command(67 * ms)),
            (inputs, 1030 * ms, reference_to(hand, 1015 * ms)),
            (inputs, 1034 * ms, reference_to(state, 84 * ms)),
            ("/leap/command", 1065 * ms, command(84 * ms)),  # 50 ms
        ],
    )
    found = teleop_run.latencies(tmp_path)
    assert found["images"] == 2 and found["glass_to_motor_ms_p50"] == pytest.approx(40.0)
    assert found["glass_to_motor_ms_p99"] == pytest.approx(49.8)
    assert [found[f"{stage}_ms_p50"] for stage in teleop_run.STAGES] == pytest.approx([17.5, 2.5, 20.0])


@pytest.mark.parametrize(
    "changes, part",
    [
        ([(20, True), (50, False), (60, True), (100, False)], (20, 100)),
        ([(20, True)], (20, T)),
        ([(-5, True), (100, False)], (0, 100)),  # in the first targets, before the first frame
        ([(-90, True), (-80, False)], (0, 0)),  # of an earlier tracking
        ([], (0, 0)),
    ],
)
def test_the_engaged_part_is_from_the_first_engagement_to_the_last_release(run, changes, part):
    t0 = 10**9
    rows = [("/teleop/state", t0 + k, told(t0 + round(frame / 60 * 1e9), on)) for k, (frame, on) in enumerate(changes)]
    (run.folder / "bag").rmdir()
    write_bag(run.folder, rows or [("/leap/command", t0, command(t0))])
    rollout = replace(run.rollout, provenance={"t0_ns": t0})
    assert teleop_run.engaged_part(run.folder, rollout) == part
