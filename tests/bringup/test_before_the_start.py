"""What is refused or warned of before a graph starts: a policy that does not fit, its own bad scores, a bad place."""

import errno
import io
import json
import re
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import rclpy

from dexhot.bringup import launcher
from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.run_folder import Task, doubts
from dexhot.data import disk, files
from dexhot.data.types import WRIST_JOINTS, Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.retargeting.placement import with_arm_path
from dexhot.ros.core import live_rig
from dexhot.ros.core.claim import Claim

GOOD = {"success_strict": True, "success_strict_arm": True, "lifted_frames": 9, "reference_lifted_frames": 9}


@pytest.fixture
def demonstration():
    """A hand that stays above the table beside its object."""
    T, names = 30, [*WRIST_JOINTS, *(f"finger{k}" for k in range(16))]
    q, pose = np.tile(np.r_[0.5, 0.0, 0.3, np.zeros(19)], (T, 1)), np.tile([0.0, 0, 0, 1, 0, 0, 0], (T, 1))
    reference = Reference(
        "test/still",
        "leap_right",
        names,
        np.array([1.0, 0, 0, 0]),
        q,
        q,
        np.zeros((T, 4)),
        "parametric/box",
        pose,
        5,
        20,
    )
    return Demonstration("test/still", reference, q, q, pose, "2", dict(GOOD))


@pytest.fixture
def prepared(demonstration, tmp_path, monkeypatch):
    """Plans real_track for the demonstration's own reference, with it or another as policy."""
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))

    def planned(policy: Demonstration = demonstration, **more: str):
        given = {
            "reference": str(files.save(demonstration.reference, tmp_path / "reference.npz")),
            "policy": str(files.save(policy, tmp_path / "policy.npz")),
        }
        return plan(load_graph("real_track"), given | more, {})

    return planned


def other(demonstration: Demonstration, **changes) -> Demonstration:
    return replace(demonstration, reference=replace(demonstration.reference, **changes))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"name": "test/moving"}, "clip: test/moving, not test/still"),
        ({"object_name": "parametric/can"}, "object: parametric/can, not parametric/box"),
        ({"hand": "allegro_right"}, "hand: allegro_right, not leap_right"),
        ({"joint_names": [*WRIST_JOINTS, *(f"other{k}" for k in range(16))]}, "joints: .*other0.*, not .*finger0"),
        ({"base_quat": np.array([0.0, 1, 0, 0])}, "another base rotation"),
    ],
)
def test_a_policy_for_something_else_is_refused_with_what_differs(prepared, demonstration, changes, words, tmp_path):
    with pytest.raises(DexhotError, match=words):
        prepared(other(demonstration, **changes))
    assert not (tmp_path / "runs").exists()


def test_a_policy_of_another_length_is_refused(prepared, demonstration):
    short = {k: getattr(demonstration.reference, k)[:25] for k in ("q", "target", "contact", "object_pose")}
    d = other(demonstration, **short)
    d = replace(d, **{k: getattr(d, k)[:25] for k in ("actions", "q", "object_pose")})
    with pytest.raises(DexhotError, match="frames: 25, not 30"):
        prepared(d)


def test_the_policy_of_this_reference_fits(prepared):
    assert prepared().warnings == ()


@pytest.mark.parametrize(
    "scores, words",
    [
        ({"success_strict": False, "judged_T_max_cm": 7.25}, "not a strict success in simulation: .* up to 7.2 cm off"),
        ({"success_strict_arm": False}, "known to fail on the arm"),
        ({"lifted_frames": 0}, "never lifts the object"),
    ],
)
def test_what_a_demonstrations_own_file_says_against_it_is_warned_of(demonstration, scores, words):
    [told] = doubts(replace(demonstration, scores=GOOD | scores))
    assert re.search(words, told)


def test_a_demonstration_without_scores_and_one_that_should_not_lift(demonstration):
    assert "has no scores" in doubts(replace(demonstration, scores={}))[0]
    assert not doubts(replace(demonstration, scores=GOOD | {"lifted_frames": 0, "reference_lifted_frames": 0}))


def test_warnings_are_in_the_log_and_in_run_json(prepared, demonstration, monkeypatch):
    planned = prepared(replace(demonstration, scores=GOOD | {"success_strict_arm": False}))
    [told] = planned.warnings
    assert json.loads((planned.folder / "run.json").read_text())["warnings"] == [told]
    log = io.StringIO()
    monkeypatch.setattr(launcher, "start", lambda plan, output: [])
    launcher.run(planned, log)
    assert f"WARNING: {told}" in log.getvalue()


def test_a_controller_that_plays_no_demonstration_is_not_warned_of(prepared, demonstration):
    assert not prepared(replace(demonstration, scores={}), controller="kinematic").warnings


def test_a_real_arm_is_warned_of_once_more(prepared, demonstration):
    doubtful = replace(demonstration, scores=GOOD | {"success_strict_arm": False})
    assert "/safety/start" in prepared(doubtful, rig="real", franka_host="172.16.0.2").warnings[-1]


@pytest.mark.parametrize("graph, argument", [("real_track", "record"), ("capture", "out")])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(graph, argument, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    given = {"reference": "nowhere.npz"} if graph == "real_track" else {"camera": "dir:nowhere"}  # what work would say
    with pytest.raises(DexhotError, match=f"not a directory.*choose another folder with {argument}:="):
        plan(load_graph(graph), given | {argument: str(tmp_path / "file" / "new")}, {})
    with pytest.raises(DexhotError, match="less than min_free = 9999 GB.*" + argument):
        plan(load_graph(graph), given | {argument: str(tmp_path / "new"), "min_free": "9999"}, {})

    def refused(dir):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(DexhotError, match="permission denied.*" + argument):
        plan(load_graph(graph), given | {argument: str(tmp_path / "new")}, {})
    assert not (tmp_path / "new").exists()


def test_a_run_that_is_not_recorded_needs_no_place(prepared):
    assert prepared(record="false", min_free="9999").folder.is_dir()


def test_the_nearest_folder_that_exists_is_looked_at(tmp_path):
    assert disk.existing(tmp_path / "a" / "b") == tmp_path.resolve()


def test_a_replay_into_a_live_rigs_domain_is_refused_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("ROS_DOMAIN_ID", "97")
    claim = Claim("/franka_driver")
    with pytest.raises(DexhotError, match=r"ROS domain 97 \(franka_driver\).*another ROS_DOMAIN_ID"):
        plan(load_graph("replay"), {"bag": str(tmp_path), "what": "topics"}, {})
    claim.release()
    live_rig.require_none()


@pytest.mark.ros
def test_a_rig_on_another_machine_is_found_in_the_graph(ros_domain):
    rclpy.init(args=[])
    player, rig = rclpy.create_node("player"), rclpy.create_node("leap_driver")
    assert live_rig.in_domain(player) == ["leap_driver"]
    rig.destroy_node()
    assert not live_rig.refusal(live_rig.in_domain(player))
    player.destroy_node()
    rclpy.try_shutdown()


def test_a_reference_that_keeps_the_time_of_a_fast_person_is_warned_of(demonstration, prepared):
    """As `--speed 1` makes it: nothing slows it for the arm."""
    planned = with_arm_path(demonstration.reference)
    swing = planned.arm_q + 0.3 * np.sin(np.linspace(0, 4 * np.pi, len(planned.q)))[:, None] * (np.arange(7) == 6)
    hasty = replace(demonstration, reference=replace(planned, arm_q=swing, arm_frames=np.zeros(0)))
    [told] = Task(hasty.reference, hasty, {}).too_fast()
    assert "test/still is too fast for the robot" in told and "fr3_joint7: acceleration" in told and "--speed" in told
    assert not Task(planned, None, {}).too_fast()
    assert not Task(hasty.reference, hasty, {}).at_speed(0.1).too_fast()


def test_only_with_a_viewer_the_clip_waits_for_a_browser(prepared):
    assert prepared().parameters["supervisor"]["view_wait"] == 0.0
    assert prepared(view="true").parameters["supervisor"]["view_wait"] > 0.0
