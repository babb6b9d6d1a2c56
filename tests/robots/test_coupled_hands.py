"""Underactuated hands: joints that follow others are followed in every kinematics, and the hand grasps with them."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from box_hand import box_hand
from dexhot.control.arm_dynamics import ArmDynamics
from dexhot.control.cost import targets
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.single import rotation_error
from dexhot.hardware.franka.load import hand_load
from dexhot.objects.library import save_object
from dexhot.retargeting.retarget import retarget
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.retargeting.summary import tip_positions
from dexhot.robots.coupling import Coupled, drive_ranges, drives
from dexhot.robots.kinematics.hand import TABLE, HandModel
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import arm_scene, floating_scene, reset
from dexhot.simulation.setup import load_setup
from dexhot.view.render import ghost_scene

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
CHAIN = """<mujoco><worldbody><body name="a"><joint name="drive" axis="0 1 0" range="-57.29578 57.29578"/>
  <geom size=".01"/><body name="b" pos=".1 0 0"><joint name="first" axis="0 1 0" range="{low} {high}" ref="{ref}"/>
  <geom size=".01"/><body name="c" pos=".1 0 0"><joint name="second" axis="0 1 0"/><geom size=".01"/></body>
  <body name="d" pos="0 .1 0"><joint name="third" axis="0 1 0"/><geom size=".01"/></body>
  <body name="e" pos="0 .1 0"><joint name="held" axis="0 1 0"/><geom size=".01"/></body>
  </body></body></worldbody>
  <equality><joint joint1="second" joint2="first" polycoef="0 2 0 0 0"/>
  <joint joint1="first" joint2="drive" polycoef=".1 .5 .25 0 0"/>
  <joint joint1="third" joint2="first" polycoef="0 -1 0 0 0"/><joint joint1="held" polycoef=".3 1 0 0 0"/></equality>
</mujoco>"""


def chain(low=-180.0, high=180.0, ref=0.0):
    return mujoco.MjModel.from_xml_string(CHAIN.format(low=low, high=high, ref=ref))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return load_hand(box_hand(tmp_path_factory.mktemp("boxes"), offset=0.05))


@pytest.fixture(scope="module")
def boxes_reference(boxes, lift):
    return retarget(lift[0], boxes, lift[1])


def followed(model, data):
    """How far each coupled joint is from where the model's own equality constraints want it."""
    off = []
    for i in np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_JOINT):
        here, drive = (model.jnt_qposadr[j] for j in (model.eq_obj1id[i], model.eq_obj2id[i]))
        x = data.qpos[drive] - model.qpos0[drive]
        off.append(data.qpos[here] - model.qpos0[here] - np.polyval(model.eq_data[i, 4::-1], x))
    return np.abs(off).max()


def test_a_chain_of_polynomials_is_followed_to_its_end():
    model = chain()
    data = mujoco.MjData(model)
    data.joint("drive").qpos, data.joint("drive").qvel = 0.4, 2.0
    for _ in range(2):  # once more changes nothing
        Coupled(model).follow(data.qpos, data.qvel)
    first, slope = 0.1 + 0.5 * 0.4 + 0.25 * 0.16, 0.5 + 2 * 0.25 * 0.4
    assert data.qpos[1:] == pytest.approx([first, 2 * first, -first, 0.3])
    assert data.qvel[1:] == pytest.approx([2 * slope, 4 * slope, -2 * slope, 0.0])


def test_a_joint_follows_from_where_its_zero_is():
    model = chain(ref=20.0)
    data = mujoco.MjData(model)
    Coupled(model).follow(data.qpos)
    assert data.joint("first").qpos == pytest.approx(np.radians(20) + 0.1)
    assert data.joint("second").qpos == pytest.approx(0.2)


def test_a_jacobian_is_reduced_to_the_drives():
    model = chain()
    data = mujoco.MjData(model)
    data.joint("drive").qpos = 0.4
    coupled = Coupled(model)
    coupled.follow(data.qpos)
    slope = 0.5 + 2 * 0.25 * 0.4
    reduced = coupled.reduce(np.array([[1.0, 10.0, 100.0, 1000.0, 1e5]]), data.qpos)
    assert reduced[0, 0] == pytest.approx(1.0 + slope * (10.0 + 2 * 100.0 - 1000.0))


def test_followers_narrow_what_their_drive_may_do():
    model = chain(low=0.0, high=np.degrees(0.25))
    drive = model.joint("drive").id
    low, high = drive_ranges(model)[drive]
    assert 0.1 + 0.5 * high + 0.25 * high**2 == pytest.approx(0.25)
    assert 0.1 + 0.5 * low + 0.25 * low**2 == pytest.approx(0.0)
    assert drives(model) == {"first": "drive", "second": "drive", "third": "drive", "held": ""}


def test_a_drive_whose_followers_leave_it_nothing_is_refused_by_name():
    with pytest.raises(DexhotError, match="'drive' cannot move"):
        drive_ranges(chain(low=100.0, high=120.0))


def test_a_circle_of_joints_is_refused():
    text = CHAIN.format(low=-180, high=180, ref=0).replace(
        'joint1="first" joint2="drive"', 'joint1="first" joint2="second"'
    )
    with pytest.raises(DexhotError, match="follows itself"):
        Coupled(mujoco.MjModel.from_xml_string(text))


def test_the_hand_holds_what_is_driven_only(boxes):
    assert boxes.joint_names == ("index_mcp", "middle_mcp", "ring_mcp", "thumb_mcp")
    assert boxes.coupled == {f"{f}_pip": f"{f}_mcp" for f in ("index", "middle", "ring", "thumb")}
    assert boxes.upper == pytest.approx([(1.5 - 0.05) / 1.1] * 4)  # the follower's own limit is 1.5


@pytest.mark.parametrize("name", ["boxes", "six_motor_left"])
def test_jacobians_of_a_coupled_hand_match_finite_differences(request, name):
    hand = load_hand(name) if name != "boxes" else request.getfixturevalue(name)
    q = np.concatenate([[0.1, 0.2, 0.3, 0.2, -0.1, 0.4], hand.nominal])
    free = HandModel(hand)
    free.move(q)
    model = HandModel(hand, table=free.points()[:, 2].min() - hand.tip_radius - 0.001)
    model.move(q)
    points, J, gaps = model.points().copy(), model.point_jacobian(), model.gaps()
    R, turn = model.palm_rotation().copy(), model.palm_rotation_jacobian()
    row = np.flatnonzero((gaps.kind == TABLE) & (gaps.tip >= 0))[0]
    distance, slope = gaps.distance[row], gaps.jacobian[row]
    for k in range(len(q)):
        step = np.zeros(len(q))
        step[k] = 1e-6
        model.move(q + step)
        np.testing.assert_allclose((model.points() - points) / 1e-6, J[:, :, k], atol=1e-5)
        np.testing.assert_allclose(rotation_error(model.palm_rotation(), R) / 1e-6, turn[:, k], atol=1e-5)
        assert (model.gaps().distance[row] - distance) / 1e-6 == pytest.approx(slope[k], abs=1e-4)


def test_links_that_touch_in_the_open_hand_as_it_is_followed_are_no_overlap(tmp_path):
    bump = '<link name="bump"><collision><geometry><box size=".01 .01 .01"/></geometry></collision></link>'
    bump += '<joint name="bumped" type="fixed"><parent link="base"/><child link="bump"/>'
    bump += '<origin xyz="0.1496 0.028 -0.0181"/></joint>'  # where the index's distal link is, bent by the offset
    hand = load_hand(box_hand(tmp_path, mimic=0.1, offset=1.0, extra=bump))
    model = HandModel(hand)
    model.move(np.concatenate([np.zeros(6), hand.open]))
    assert model.gaps(below=0.0).distance.size == 0


def test_streaming_follows_too(boxes):
    stream = StreamingRetargeter(boxes)
    q = np.concatenate([[0.1, 0.0, 0.3, 0.0, 0.0, 0.0], [0.3, 0.6, 0.4, 0.5]])
    stream.model.move(q)
    wanted = stream.model.points().copy()
    for _ in range(5):
        found = stream.solve(wanted, np.eye(3))
    stream.model.move(found)
    assert np.abs(stream.model.points() - wanted).max() < 0.002


def test_every_scene_shows_the_coupled_joints_where_they_are(boxes, lift, boxes_reference):
    asset, physics = lift[1], load_physics()
    scene = floating_scene(boxes, asset, boxes_reference.base_quat, physics)
    q = np.concatenate([[0.0, 0.0, 0.3, 0.0, 0.0, 0.0], boxes.nominal])
    data = mujoco.MjData(scene.model)
    reset(scene, data, q, boxes_reference.object_pose[0], np.ones(len(q)))
    assert followed(scene.model, data) < 1e-12
    assert data.joint("index_pip").qvel[0] == pytest.approx(1.1)
    shown = ghost_scene(boxes_reference, load_setup(boxes_reference), arm=True)
    data = mujoco.MjData(shown.model)
    shown.set_joints(data, np.concatenate([np.zeros(7), boxes.nominal]))
    shown.show_ghost(data, q, boxes_reference.object_pose[0])
    assert data.joint("ghost/index_pip").qpos == pytest.approx(1.1 * 0.5 + 0.05)
    assert followed(shown.model, data) < 1e-12
    assert targets(boxes_reference, scene).tips == pytest.approx(tip_positions(boxes_reference, boxes), abs=1e-6)


def test_the_physics_holds_the_coupling_under_load(boxes, lift):
    """A linkage does not give: 0.3 N m at the distal joint move it by a few tenths of a degree."""
    scene = floating_scene(boxes, None, UPRIGHT, load_physics())
    data = mujoco.MjData(scene.model)
    scene.set_joints(data, np.concatenate([[0.0, 0.0, 0.5, 0.0, 0.0, 0.0], boxes.nominal]))
    data.ctrl[:] = data.qpos[scene.q_address]
    data.qfrc_applied[scene.model.joint("index_pip").dofadr[0]] = -0.3
    mujoco.mj_step(scene.model, data, 240)
    assert followed(scene.model, data) < np.radians(0.3)
    assert abs(data.joint("index_mcp").qpos[0] - 0.5) > 0.01  # and the motor feels it


def test_the_arm_rigs_states_hold_the_coupled_joints_of_the_floating_hand(boxes, lift, boxes_reference):
    from dexhot.rollouts.arm_batch import ArmSimulator

    physics, asset = load_physics(), lift[1]
    floating = MujocoSimulator(floating_scene(boxes, asset, UPRIGHT, physics))
    rig = MujocoSimulator(arm_scene(boxes, asset, physics))
    simulator = object.__new__(ArmSimulator)
    simulator.scene, simulator.rig, simulator.ends = floating.scene, rig, [floating.state_size]
    state = rig.initial_state(np.concatenate([np.zeros(7), boxes.nominal]), boxes_reference.object_pose[0])
    seen = simulator._seen(state[None, None], 0)[0, 0]
    address = floating.scene.model.joint("ring_pip").qposadr[0]
    assert seen[1 + address] == pytest.approx(1.1 * 0.5 + 0.05)


def test_the_arm_carries_the_hand_as_it_is_closed(boxes):
    """The load and the inverse dynamics are those of the nominal posture, coupled joints included."""
    model = boxes.spec().compile()
    data = mujoco.MjData(model)
    for finger in ("index", "middle", "ring", "thumb"):
        data.joint(f"{finger}_mcp").qpos, data.joint(f"{finger}_pip").qpos = 0.5, 1.1 * 0.5 + 0.05
    mujoco.mj_fwdPosition(model, data)
    assert hand_load(boxes).com == pytest.approx(data.subtree_com[model.body("palm").id])
    dynamics = ArmDynamics(boxes)
    assert dynamics.data.qpos[dynamics.model.joint("index_pip").qposadr[0]] == pytest.approx(1.1 * 0.5 + 0.05)


def test_the_box_hand_lifts_the_box_in_physics(boxes, boxes_reference, lift, cache, tmp_path):
    """As the field's files are used: retarget, mine; fingertips where physics has them."""
    save_object(lift[1])
    mined = mine_once(boxes_reference, tmp_path)
    assert mined.scores["success_strict"] and mined.scores["robustness"] > 0.5


@pytest.mark.parametrize("name", ["six_motor_right"])
def test_the_six_motor_hand_lifts_the_box_in_physics(name, lift, cache, tmp_path):
    save_object(lift[1])
    hand = load_hand(name)
    assert len(hand.joints) == 6 and len(hand.coupled) == 6
    mined = mine_once(retarget(lift[0], hand, lift[1]), tmp_path)
    assert mined.scores["success_strict"] and mined.scores["robustness"] > 0.5


def mine_once(reference: Reference, folder: Path) -> Demonstration:
    from dexhot.cli import main

    source, out = save(reference, folder / "reference.npz"), folder / "mined.npz"
    budget = ["--structured", "100", "--attempts", "1", "--worlds", "1"]
    assert main(["mine", str(source), "--out", str(out), *budget]) == 0
    return load(out, Demonstration)


@pytest.mark.parametrize("name", ["six_motor_right", "six_motor_left"])
def test_a_six_motor_hands_limits_fit_those_of_its_followers(name):
    hand = load_hand(name)
    model = hand.spec().compile()
    ranges = drive_ranges(model)
    for joint in hand.joints:
        assert ranges[model.joint(joint.name).id] == pytest.approx((joint.lower, joint.upper))


@pytest.mark.parametrize("name", ["six_motor_right", "six_motor_left"])
def test_each_motor_moves_its_own_fingertip_and_positive_closes_it(name):
    hand = load_hand(name)
    model = HandModel(hand)
    q = np.concatenate([np.zeros(6), hand.nominal])
    model.move(q)
    before = model.points().copy()
    for k, joint in enumerate(hand.joint_names):
        model.move(q + 0.1 * (np.arange(len(q)) == 6 + k))
        delta = model.points() - before
        moved = [site for site, d in zip(hand.tip_sites, delta) if np.linalg.norm(d) > 1e-4]
        assert moved == [joint.split("_")[0] + "_tip"]
        if joint.endswith("_mcp"):
            assert delta[k, 2] < -1e-3 and delta[k, 0] < -1e-3
    thumb = model.point_jacobian()[4, :, -1]  # of flexion, with the thumb opposed: toward the fingers
    assert thumb[0] > 0.02


def test_a_coupled_joint_among_the_joints_is_refused(tmp_path):
    names = ["index_mcp", "middle_mcp", "ring_mcp", "thumb_mcp", "index_pip"]
    path = box_hand(tmp_path, joints=names, nominal=[0.5] * 5, open=[0.0] * 5)
    with pytest.raises(FileFormatError, match="lists joint 'index_pip', which follows 'index_mcp'"):
        load_hand(path)


def test_a_row_beyond_its_followers_limits_is_refused(tmp_path):
    rows = {f"{f}_mcp": [i, 1, 0.0, 0.0, 1.3, 4.0, 1.0] for i, f in enumerate(("index", "middle", "ring", "thumb"))}
    assert load_hand(box_hand(tmp_path / "fits", joints=rows)).upper == pytest.approx([1.3] * 4)
    rows["ring_mcp"][4] = 1.5
    with pytest.raises(FileFormatError, match=r"'ring_mcp' to 0 .. 1.5 rad; because of ring_pip.* 0 .. 1.364"):
        load_hand(box_hand(tmp_path / "wide", joints=rows))


@pytest.mark.parametrize("drive", ["index_mpc", "base_fixed"])
def test_a_mimic_of_an_unknown_joint_is_refused_by_name(tmp_path, drive):
    fixed = '<link name="pad"/><joint name="base_fixed" type="fixed"><parent link="base"/><child link="pad"/></joint>'
    changes = [('<mimic joint="index_mcp"', f'<mimic joint="{drive}"')]
    with pytest.raises(FileFormatError, match=f"'index_pip' follows '{drive}', which is not a hinge"):
        load_hand(box_hand(tmp_path, changes=changes, extra=fixed))


def test_the_original_case_of_coupled_joints(shared_data, lift):
    path = shared_data.parent / "cases" / "04-mimic-joints" / "hand" / "hand.yaml"
    hand = load_hand(path)
    reference = retarget(lift[0], hand, lift[1])
    scene = floating_scene(hand, lift[1], reference.base_quat, load_physics())
    data = mujoco.MjData(scene.model)
    model = HandModel(hand, (), reference.base_quat)
    for q, pose in zip(reference.q[::20], reference.object_pose[::20]):
        reset(scene, data, q, pose)
        model.move(q)
        assert followed(scene.model, data) < 1e-12
        tips = [data.site(site).xpos for site in hand.tip_sites]
        assert model.points()[: model.tips] == pytest.approx(np.array(tips), abs=1e-9)
