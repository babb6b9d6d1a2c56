"""Scenes: the pose of everything in them, and that their numbers are the benchmark's."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from dexhot.data.types import WRIST_JOINTS
from dexhot.datasets import load_clip, splits
from dexhot.errors import DexhotError
from dexhot.geometry.poses import lowest
from dexhot.geometry.rotations import quat_angle, quat_multiply, rotvec_to_quat, xyz_angles_to_quat
from dexhot.objects.library import load_object
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import variant
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import arm_scene, floating_scene, object_scene, perturbed, reset
from dexhot.simulation.settle import require_rest, settle, settle_check, settle_height

PHYSICS = load_physics()
TILTED = rotvec_to_quat([0.3, -0.5, 0.8])


@pytest.fixture(scope="module")
def hand():
    return load_hand("leap_right")


@pytest.fixture(scope="module")
def scene(hand, lift):
    return floating_scene(hand, lift[1], TILTED, PHYSICS)


@pytest.fixture(scope="module")
def arm(hand, lift):
    return arm_scene(hand, lift[1], PHYSICS)


@pytest.fixture
def start(lift):
    return settle_height(lift[1], lift[0].object_pose[0])


def state(scene, q, pose):
    data = mujoco.MjData(scene.model)
    reset(scene, data, q, pose)
    return data


def test_wrist_joints_place_the_palm_as_the_convention_says(scene, hand, start):
    q = np.r_[0.1, -0.2, 0.3, 0.4, -0.5, 0.6, hand.nominal]
    palm = state(scene, q, start).body("palm")
    assert np.allclose(palm.xpos, q[:3])
    assert quat_angle(palm.xquat, quat_multiply(TILTED, xyz_angles_to_quat(q[3:6]))) < 1e-6


def test_hand_vector_addresses_name_the_right_joints(scene, hand):
    by_address = {scene.model.joint(j).qposadr[0]: scene.model.joint(j).name for j in range(scene.model.njnt)}
    assert [by_address[a] for a in scene.q_address] == [*WRIST_JOINTS, *hand.joint_names]
    assert [scene.model.actuator(i).name for i in range(scene.model.nu)] == scene.joint_names
    assert np.allclose(scene.lower[6:], hand.lower)


def test_sensors_report_object_palm_and_tips(scene, hand, start):
    data = state(scene, np.r_[0, 0, 0.4, 0, 0, 0, hand.nominal], start)
    sensed = {name: data.sensordata[where] for name, where in scene.sensors.items()}
    assert np.allclose(np.r_[sensed["object_position"], sensed["object_quat"]], start)
    assert np.allclose(sensed["palm_position"], data.body("palm").xpos)
    assert np.allclose(sensed["tips"].reshape(-1, 3), [data.site(name).xpos for name in hand.tip_sites])


def test_model_holds_the_benchmark_physics(scene, hand):
    model = scene.model
    assert model.opt.timestep == PHYSICS.timestep
    assert model.opt.jacobian == mujoco.mjtJacobian.mjJAC_DENSE
    geoms = np.r_[scene.object_geoms, scene.hand_geoms, scene.table_geom]
    assert np.allclose(model.geom_friction[geoms], PHYSICS.friction)
    assert (model.geom_condim[geoms] == PHYSICS.condim).all()
    for name in hand.joint_names:
        torque = PHYSICS.finger(hand).torque
        assert np.allclose(model.actuator(name).forcerange, [-torque, torque])


def test_object_inertia_is_the_assets(scene, lift):
    body = scene.model.body("object")
    assert body.mass[0] == pytest.approx(lift[1].mass)
    assert np.allclose(body.ipos, lift[1].center_of_mass)
    assert np.allclose(np.sort(body.inertia), np.sort(np.linalg.eigvalsh(lift[1].inertia)))


@pytest.mark.parametrize("own", [0.4, 1.2])
def test_an_object_with_a_friction_of_its_own_has_it_in_every_contact(own, hand, lift):
    """Less and more than that of the fingers and the table; in proportion where the world has another one."""
    asset = replace(lift[1], friction=own)
    pose = settle_height(asset, lift[0].object_pose[0]) - [0, 0, 0.0005, 0, 0, 0, 0]  # 0.5 mm in the table
    for world, expected in ((PHYSICS, own), (variant(PHYSICS, "friction 0.6"), 0.75 * own)):
        scene = floating_scene(hand, asset, [1.0, 0, 0, 0], world)
        for model, scale in ((scene.model, 1.0), (perturbed(scene, friction=0.5), 0.5)):
            data = mujoco.MjData(model)
            data.qpos[scene.q_address[2]], data.qpos[scene.object_qpos] = 0.5, pose  # the hand is far above
            mujoco.mj_forward(model, data)
            found = data.contact.friction[:, 0]
            assert len(found) and found == pytest.approx(scale * expected)


def test_without_one_it_is_the_physics(scene):
    assert not scene.model.geom_priority.any()
    assert scene.model.geom_friction[scene.object_geoms, 0] == pytest.approx(0.8)


def own_contacts(scene, data):
    """Pairs of links of the hand that touch."""
    robot, model = set(scene.hand_geoms), scene.model
    pairs = [pair for pair in data.contact.geom.tolist() if set(pair) <= robot]
    return {tuple(sorted(model.body(model.geom_bodyid[g]).name for g in pair)) for pair in pairs}


def test_fingers_meet_each_other_and_the_palm(scene, hand, start):
    crossed = hand.open.copy()
    crossed[hand.joint_names.index("index_side")] = hand.upper[hand.joint_names.index("index_side")]
    assert ("index_distal", "middle_medial") in own_contacts(
        scene, state(scene, np.r_[0, 0, 0.5, 0, 0, 0, crossed], start)
    )
    folded = hand.open.copy()
    folded[hand.joint_names.index("thumb_pip")] = 1.9
    assert ("palm", "thumb_distal") in own_contacts(scene, state(scene, np.r_[0, 0, 0.5, 0, 0, 0, folded], start))


@pytest.mark.parametrize("name", ["leap_right", "leap_left", "allegro_right", "six_motor_right"])
def test_a_hand_at_rest_does_not_touch_itself(name, start):
    hand = load_hand(name)
    scene = floating_scene(hand, None, [1.0, 0, 0, 0], PHYSICS)
    straight = np.clip(np.zeros(len(hand.joints)), hand.lower, hand.upper)
    for posture in (hand.open, hand.nominal, 0.5 * (hand.open + hand.nominal), straight):
        assert own_contacts(scene, state(scene, np.r_[0, 0, 0.5, 0, 0, 0, posture], None)) == set()


def test_in_physics_1_fingers_pass_through_each_other_and_their_overlap_is_measured(hand, lift, start):
    old = floating_scene(hand, lift[1], [1.0, 0, 0, 0], load_physics("1"))
    crossed = hand.open.copy()
    crossed[hand.joint_names.index("index_side")] = hand.upper[hand.joint_names.index("index_side")]
    q = np.r_[0, 0, 0.5, 0, 0, 0, crossed]
    assert own_contacts(old, state(old, q, start)) == set()
    simulator = MujocoSimulator(old)
    assert simulator.contacts(simulator.initial_state(q, start)[None]).self_penetration[0] > 0.01


@pytest.mark.parametrize("bad", ["nan", "short"])
def test_reset_refuses_what_cannot_be(scene, hand, start, bad):
    q = np.r_[0, 0, 0.5, 0, 0, 0, hand.nominal]
    q = q[:-1] if bad == "short" else np.where(np.arange(len(q)) == 3, np.nan, q)
    with pytest.raises(DexhotError, match="q "):
        state(scene, q, start)


def test_arm_holds_its_pose_against_gravity(arm, hand, start):
    q = np.r_[FR3_HOME, hand.nominal]
    data = state(arm, q, start)
    mujoco.mj_step(arm.model, data, nstep=240)
    assert np.abs(data.qpos[arm.q_address] - q).max() < 1e-4


def test_arm_ctrl_is_seven_arm_joints_then_the_fingers(arm, hand):
    assert arm.joint_names == [*(f"fr3_joint{i}" for i in range(1, 8)), *hand.joint_names]


def test_ghost_shows_a_pose_and_touches_nothing(hand, lift, start):
    scene = floating_scene(hand, lift[1], TILTED, PHYSICS, ghost=True)
    data = state(scene, np.r_[0, 0, 0.5, 0, 0, 0, hand.nominal], start)
    q = np.r_[start[:3], 0, 0, 0, hand.nominal]
    scene.show_ghost(data, q, start)
    mujoco.mj_forward(scene.model, data)
    assert np.allclose(data.body("ghost/palm").xpos, start[:3])
    assert np.allclose(data.body("ghost/object").xpos, start[:3])
    assert {scene.model.geom(g).name for pair in data.contact.geom for g in pair} <= {"table", "object_0"}


def test_perturbed_scales_friction_and_mass_and_leaves_the_scene_alone(scene):
    before = scene.model.geom_friction.copy()
    model = perturbed(scene, friction=0.8, mass=1.2)
    assert np.allclose(model.geom_friction[:, 0], 0.8 * before[:, 0])
    assert model.body("object").mass[0] == pytest.approx(1.2 * scene.model.body("object").mass[0])
    assert np.array_equal(scene.model.geom_friction, before)


def test_settle_height_puts_the_lowest_point_on_the_table(lift):
    pose = settle_height(lift[1], [0.1, 0.2, 5.0, *TILTED], table_height=0.3)
    assert lowest(pose, lift[1].corners) == pytest.approx(0.3, abs=1e-9)
    assert np.allclose(pose[:2], [0.1, 0.2])


def test_object_is_at_rest_after_a_reset(scene, start):
    speed, turn = settle_check(scene, start)
    assert speed < PHYSICS.rest_speed[0]
    assert turn < PHYSICS.rest_speed[1]


@pytest.mark.data
def test_real_clips_start_at_rest(grab):
    for name in splits("grab")["quick"]:
        clip = load_clip(f"grab/{name}")
        scene = object_scene(load_object(clip.object_name), PHYSICS, clip.table_height)
        require_rest(scene, clip.object_pose[0])


@pytest.mark.parametrize("rise", [0.1, -0.02])
def test_a_floating_or_sunken_start_is_refused(scene, start, rise):
    start[2] += rise
    with pytest.raises(DexhotError, match="not at rest"):
        require_rest(scene, start)


def test_settle_finds_rest_from_a_tilted_drop(lift):
    scene = object_scene(lift[1], PHYSICS)
    pose = settle(scene, settle_height(lift[1], [0, 0, 0, *rotvec_to_quat([0.2, 0.1, 0])]), seconds=1.5)
    require_rest(scene, pose)


@pytest.mark.parametrize("make", ["floating", "arm"])
def test_what_is_only_seen_changes_no_motion_and_can_be_left_out(hand, lift, make):
    def states(visual: bool) -> tuple[np.ndarray, mujoco.MjModel]:
        if make == "arm":
            scene = arm_scene(hand, lift[1], PHYSICS, visual=visual)
            start = np.r_[FR3_HOME, hand.nominal]
        else:
            scene = floating_scene(hand, lift[1], TILTED, PHYSICS, visual=visual)
            start = np.r_[0.0, 0.0, 0.4, 0.0, 0.0, 0.0, hand.nominal]
        data = mujoco.MjData(scene.model)
        reset(scene, data, start, np.array([0.5, 0.0, 0.05, 1.0, 0.0, 0.0, 0.0]))
        data.ctrl[:] = np.clip(start + 0.1, scene.lower, scene.upper)
        mujoco.mj_step(scene.model, data, 100)
        return data.qpos.copy(), scene.model

    (seen, full), (unseen, bare) = states(True), states(False)
    np.testing.assert_array_equal(seen, unseen)
    assert bare.ngeom == np.count_nonzero(full.geom_contype | full.geom_conaffinity) < full.ngeom
