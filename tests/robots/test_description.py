"""The arm with a hand as one URDF: other parsers, our own tree and our kinematics agree on it."""

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import trimesh

from box_hand import box_hand
from dexhot.errors import FileFormatError
from dexhot.geometry import poses
from dexhot.robots.arm import FR3_JOINTS, arm_hand_spec
from dexhot.robots.coupling import Coupled
from dexhot.robots.description import describe
from dexhot.robots.joints import shipped_joints
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.robot_hand import list_hands, load_hand
from dexhot.robots.urdf_tree import HAND_PREFIX, locate_meshes, read_tree

BENT = """<mujoco>
  <asset><mesh name="wedge" vertex="0 0 0  0.03 0 0  0 0.02 0  0 0 0.01"/></asset>
  <worldbody>
    <body name="base"><geom type="box" size="0.04 0.04 0.01"/>
      <body name="finger" pos="0.04 0 0" euler="0 20 0">
        <joint name="side" axis="0 0 1" pos="0.002 0 0.001" range="-20 20"/>
        <joint name="forward" axis="0 1 0" ref="10" range="-10 90"/>
        <geom type="capsule" fromto="0 0 0 0.04 0 0" size="0.008"/>
        <body name="middle" pos="0.04 0 0"><joint name="coupled" axis="0 1 0" range="-90 180"/>
          <geom type="mesh" mesh="wedge"/>
          <body name="end" pos="0.03 0 0"><joint name="held" axis="0 1 0" range="-90 90"/>
            <geom type="sphere" size="0.008"/>
            <body name="nail" pos="0.01 0 0"><geom type="ellipsoid" size="0.004 0.003 0.002"/></body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <equality>
    <joint joint1="coupled" joint2="forward" polycoef="0.1 0.8 0 0 0"/>
    <joint joint1="held" polycoef="0.3 0 0 0 0"/>
  </equality>
</mujoco>"""


def bent_hand(folder: Path):
    """A finger with everything that an MJCF can have and a URDF says otherwise."""
    (folder / "bent.xml").write_text(BENT)
    (folder / "hand.yaml").write_text(
        "name: bent\nside: right\nmodel: bent.xml\npalm: {body: base, pos: [0.01, 0, 0], rpy: [0.2, 0, 0]}\n"
        "joints: [forward, side]\ntips: {tip: {body: end, pos: [0, 0, 0]}}\ntip_radius: 0.008\n"
        "velocity: 4\neffort: 1\nnominal: [0.5, 0.1]\nopen: [0.0, 0.0]\nmount: {pos: [0, 0, 0.05], rpy: [0, 0.3, 0]}\n"
    )
    return load_hand(folder / "hand.yaml")


def hands(tmp_path):
    return [*map(load_hand, list_hands()), load_hand(box_hand(tmp_path / "boxes", offset=0.05)), bent_hand(tmp_path)]


def random_joints(hand, seed: int = 0) -> dict[str, float]:
    """A posture within the limits, by the URDF's names."""
    rng = np.random.default_rng(seed)
    rows = [(j.name, j) for j in shipped_joints("fr3")] + [(HAND_PREFIX + j.name, j) for j in hand.joints]
    return {name: float(rng.uniform(j.lower, j.upper)) for name, j in rows}


def same_pose(found, expected, tolerance: float = 1e-6) -> None:
    apart = poses.compose(poses.inverse(np.asarray(expected)), np.asarray(found))
    assert np.linalg.norm(apart[:3]) < tolerance and 2 * np.linalg.norm(apart[4:]) < tolerance


def test_the_tree_has_our_kinematics_for_every_hand(tmp_path):
    for hand in hands(tmp_path):
        tree, q = read_tree(describe(hand).urdf), random_joints(hand)
        model = arm_hand_spec(hand).compile()
        data = mujoco.MjData(model)
        for name, value in q.items():
            data.joint(name.removeprefix(HAND_PREFIX)).qpos[0] = value
        Coupled(model).follow(data.qpos)
        mujoco.mj_kinematics(model, data)
        found = tree.poses(q)
        assert tree.root == "world" and set(tree.driven) == set(q)
        same_pose(found["hand_palm"], ArmKinematics(hand).palm_pose(np.array([q[name] for name in FR3_JOINTS])))
        for body in range(model.body("palm").id, model.nbody):
            same_pose(found[HAND_PREFIX + model.body(body).name], np.r_[data.xpos[body], data.xquat[body]])
        for site in hand.tip_sites:
            assert found[HAND_PREFIX + site][:3] == pytest.approx(data.site(site).xpos, abs=1e-6)


def test_mujocos_own_urdf_parser_finds_joints_limits_and_palm(tmp_path):
    for hand in hands(tmp_path):
        path = tmp_path / "robot" / "robot.urdf"
        describe(hand).write(path)
        spec = mujoco.MjSpec.from_string(locate_meshes(path.read_text(), path.parent).replace("file://", ""))
        spec.compiler.fusestatic, spec.compiler.balanceinertia = False, True
        spec.compiler.discardvisual = True
        model = spec.compile()
        data, q = mujoco.MjData(model), random_joints(hand)
        moving = [joint for joint, drive in hand.coupled.items() if drive]
        assert model.njnt == 7 + len(hand.joints) + len(moving)
        for row, name in [(j, j.name) for j in shipped_joints("fr3")] + [
            (j, HAND_PREFIX + j.name) for j in hand.joints
        ]:
            assert model.joint(name).range == pytest.approx([row.lower, row.upper], abs=1e-8)
        for name, value in q.items():
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        palm = data.body("hand_palm")
        same_pose(
            np.r_[palm.xpos, palm.xquat], ArmKinematics(hand).palm_pose(np.array([q[name] for name in FR3_JOINTS]))
        )


def test_ros_own_urdf_parser_finds_joints_limits_and_palm(tmp_path):
    """Pinocchio reads with urdfdom, as RViz, MoveIt and robot_state_publisher do."""
    pinocchio = pytest.importorskip("pinocchio")
    for hand in hands(tmp_path):
        model = pinocchio.buildModelFromXML(describe(hand).urdf)
        data, q, rows = model.createData(), random_joints(hand), {j.name: j for j in shipped_joints("fr3")}
        rows |= {HAND_PREFIX + j.name: j for j in hand.joints}
        follow = {HAND_PREFIX + joint for joint, drive in hand.coupled.items() if drive}
        assert {*model.names[1:]} == {*rows} | follow
        at = {name: model.joints[model.getJointId(name)].idx_q for name in rows}
        vector = np.zeros(model.nq)
        for name, row in rows.items():
            vector[at[name]] = q[name]
            limits = model.lowerPositionLimit[at[name]], model.upperPositionLimit[at[name]]
            assert limits == pytest.approx((row.lower, row.upper), abs=1e-8)
        pinocchio.framesForwardKinematics(model, data, vector)
        palm = pinocchio.SE3ToXYZQUAT(data.oMf[model.getFrameId("hand_palm")])
        ours = ArmKinematics(hand).palm_pose(np.array([q[name] for name in FR3_JOINTS]))
        same_pose(palm[[0, 1, 2, 6, 3, 4, 5]], ours)


def test_a_mesh_goes_beside_the_urdf_and_what_a_urdf_cannot_say_is_noted(tmp_path):
    found = describe(bent_hand(tmp_path), "package://mine/meshes")
    assert "package://mine/meshes/mesh_0.stl" in found.urdf and "ellipsoid" in " ".join(found.notes)
    describe(bent_hand(tmp_path)).write(tmp_path / "out" / "robot.urdf")
    mesh = trimesh.load(tmp_path / "out" / "meshes" / "mesh_0.stl")
    assert mesh.volume == pytest.approx(0.03 * 0.02 * 0.01 / 6, rel=1e-4)
    located = locate_meshes((tmp_path / "out" / "robot.urdf").read_text(), tmp_path / "out")
    assert f'filename="file://{tmp_path}/out/meshes/mesh_0.stl"' in located


def test_a_coupling_that_is_a_curve_is_noted_with_its_error(tmp_path):
    (tmp_path / "curved").mkdir()
    bent_hand(tmp_path)
    (tmp_path / "bent.xml").write_text(BENT.replace("0.1 0.8 0 0 0", "0 0.8 0.2 0 0"))
    notes = describe(load_hand(tmp_path / "hand.yaml")).notes
    assert any("coupled has a nonlinear coupling" in note for note in notes)


def test_the_srdf_names_links_and_joints_of_the_urdf():
    for name in list_hands():
        found = describe(load_hand(name))
        links = {e.get("name") for e in ElementTree.fromstring(found.urdf).iterfind("link")}
        joints = {e.get("name") for e in ElementTree.fromstring(found.urdf).iterfind("joint")}
        srdf = ElementTree.fromstring(found.srdf)
        pairs = [(e.get("link1"), e.get("link2")) for e in srdf.iterfind("disable_collisions")]
        assert ("fr3_link7", "hand_palm") in pairs and {link for pair in pairs for link in pair} <= links
        assert {e.get("name") for e in srdf.iter("joint")} <= joints
        assert len(srdf.findall("passive_joint")) == len(load_hand(name).coupled)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('<link name="world" />', '<link name="world" /><link name="loose" />', "2 root links .loose, world."),
        ("</robot>", "", "not a readable URDF"),
        ('type="revolute"', 'type="prismatic"', "is prismatic"),
        ('<parent link="fr3_link2" />', '<parent link="fr3_link5" />', "not connected to the root"),
        ('rpy="0 0 0"', 'rpy="0 0 nan"', "three numbers"),
    ],
)
def test_what_is_no_tree_is_refused(old, new, said):
    urdf = describe(load_hand("leap_right")).urdf
    assert old in urdf
    with pytest.raises(FileFormatError, match=said):
        read_tree(urdf.replace(old, new, 1))
