"""The graph teleop: its scene, what it asks of a camera, and the nodes that it is made of."""

import numpy as np
import pytest

from dexhot.bringup.graph import GraphError, plan
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.graphs.teleop import ASIDE, scene
from dexhot.data.files import load
from dexhot.data.types import Reference
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.scratch import remove_scratch


@pytest.fixture
def teleop(tmp_path):
    def planned(**given):
        arguments = {"camera": "none", "record": str(tmp_path / "run"), "session": "2"} | given
        return plan(load_graph("teleop"), arguments, {})

    return planned


def test_the_scene_stands_still_and_knows_where_the_palm_has_been(teleop):
    made = load(teleop().folder / "reference.npz", Reference)
    assert len(made.q) == 121 and (made.q == made.q[0]).all() and (made.object_pose == made.object_pose[0]).all()
    low, high = np.array(made.provenance["teleop"]["palms"])
    assert (low <= made.q[0, :3]).all() and (high >= made.q[0, :3]).all() and (high - low).max() > 0.05
    assert len(made.arm_q) == 121


def test_a_scene_of_a_warped_reference_has_no_time_map(_lift_reference):
    from dexhot.retargeting.placement import place

    made = scene(place(_lift_reference), 3.0)
    made.validate()
    assert not len(made.arm_frames) and not len(made.clip_frames)


def test_teleoperation_takes_the_controllers_place_and_the_shaper_is_free(teleop):
    made = teleop()
    assert made.parameters["controller"]["side"] == "right" and made.parameters["shaper"]["free_arm"] is True
    assert made.parameters["rig"]["camera"] is False
    (tracker,) = (p for p in made.processes if p.name == "tracker")
    assert "TeleopNode" in tracker.targets[1]


def test_without_auto_nothing_starts_by_itself(teleop, tmp_path):
    assert teleop().parameters["supervisor"]["auto_start"] is False
    made = teleop(clutch="auto", record=str(tmp_path / "other"))
    assert made.parameters["supervisor"]["auto_start"] is True
    assert not set(ASIDE) & set(made.parameters["supervisor"]["required_nodes"])


def test_images_are_not_recorded(teleop):
    assert "/camera/color/image_raw" in teleop().parameters["recorder"]["exclude"]


@pytest.mark.parametrize("rig", ["sim-wire", "real"])
def test_a_robot_is_not_moved_by_a_camera_without_depth(teleop, shared_data, rig):
    video = f"video:{shared_data}/hand_video/human_hand_video.mp4"
    with pytest.raises(GraphError, match=f"rig:={rig} needs depth, which camera:=video"):
        teleop(camera=video, rig=rig, franka_host="172.16.0.2")


def test_a_real_robot_does_not_engage_by_itself(teleop):
    with pytest.raises(GraphError, match="clutch:=auto is for simulated rigs"):
        teleop(rig="real", franka_host="172.16.0.2", clutch="auto")


def test_a_video_is_seen_without_depth(teleop, shared_data, hand_landmarks):
    made = teleop(camera=f"video:{shared_data}/hand_video/human_hand_video.mp4", record="false")
    try:
        assert made.parameters["perception"]["depth"] is False and made.parameters["camera"]["depth"] is False
        assert made.parameters["perception"]["hands"] == "both" and made.parameters["perception"]["fill"] is True
        assert made.parameters["camera"]["loop"] is True and made.parameters["rig"]["loop"] is False
    finally:
        remove_scratch(made.folder)


@pytest.mark.parametrize("given", [{"session": "0"}, {"camera": "video:nowhere.mp4"}, {"camera": "telescope"}])
def test_what_cannot_work_is_refused_before_anything_starts(teleop, given):
    with pytest.raises(DexhotError):
        teleop(**given)


def test_a_view_as_recorded_needs_a_recording_with_its_cameras_place(teleop):
    with pytest.raises(GraphError, match="camera_view:=recorded needs a recording"):
        teleop(camera_view="recorded")


def test_an_agent_that_does_not_exist_is_refused(teleop, tmp_path):
    with pytest.raises(DexhotError, match="does not exist"):
        teleop(policy=str(tmp_path / "agent.onnx"))


def test_the_scene_has_the_grasp_of_its_reference_unless_nothing_assists(teleop, tmp_path):
    made = teleop()
    assert made.parameters["controller"]["policy"] == "grasp"
    assert set(load(made.folder / "reference.npz", Reference).provenance["teleop"]["grasp"]) >= {"palm", "fingers"}
    assert teleop(policy="none", record=str(tmp_path / "other")).parameters["controller"]["policy"] == ""


def test_the_shipped_agent_gets_the_motion_that_the_user_repeats(teleop, tmp_path):
    shipped = str(share_dir() / "policies" / "lift_box.npz")
    made = teleop(policy="assist_leap", reference=shipped)
    controller = made.parameters["controller"]
    motion = load(controller["motion"], Reference)
    assert len(motion.q) > 60 and np.ptp(motion.object_pose[:, 2]) > 0.03  # the motion, not the scene that stands still
    assert controller["policy"] == str(made.folder / "policy.onnx")
    assert teleop(record=str(tmp_path / "other")).parameters["controller"].get("motion", "") == ""


def test_an_agent_that_knows_a_motion_is_refused_without_one_and_another_hands_by_name(teleop):
    with pytest.raises(DexhotError, match="give that motion by reference:=FILE"):
        teleop(policy="assist_leap")
    with pytest.raises(DexhotError, match="observes what a live hand does not have"):
        teleop(policy="assist_door")


def test_a_recording_that_is_played_once_ends_the_graph_however_it_ends(teleop, shared_data, hand_landmarks, tmp_path):
    video = f"video:{shared_data}/hand_video/human_hand_video.mp4"
    for loop in ("true", "false"):
        made = teleop(camera=video, camera_loop=loop, record=str(tmp_path / loop))
        (camera,) = (p for p in made.processes if p.name == "camera")
        assert camera.vital == (loop == "false")
