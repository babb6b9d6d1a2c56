"""The arm with a hand for ROS tools: one URDF with the root link `world`, and an SRDF for MoveIt.

The arm's links and joints keep their names (fr3_...), the hand's get the prefix hand_, which makes all
names unique. Frames are those of docs/robots.md; hand_palm hangs from fr3_flange by the joint hand_mount.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import mujoco
import numpy as np

from dexhot.data.files import replacing, write_text
from dexhot.robots.arm import FLANGE_SITE, FR3_HOME, FR3_JOINTS, arm_hand_spec, fr3_model
from dexhot.robots.coupling import Coupled
from dexhot.robots.hand_links import hand_links
from dexhot.robots.joints import shipped_joints
from dexhot.robots.robot_hand import RobotHand
from dexhot.robots.urdf import RobotPart, to_urdf
from dexhot.robots.urdf_tree import HAND_PREFIX, WORLD

MESHES = "meshes"  # the folder beside the URDF
ARM_GROUP, HAND_GROUP = "arm", "hand"


@dataclass(frozen=True)
class Description:
    """Both files as text, and the hand's meshes as STL by file name. `notes`: properties of this hand that a URDF
    cannot express."""

    name: str
    urdf: str
    srdf: str
    meshes: dict[str, bytes]
    notes: tuple[str, ...]

    def write(self, urdf: Path, srdf: Path | None = None) -> None:
        """Write the URDF, its meshes to the folder `meshes` beside it, and the SRDF if a file is given."""
        for name, content in self.meshes.items():
            (urdf.parent / MESHES).mkdir(parents=True, exist_ok=True)
            with replacing(urdf.parent / MESHES / name) as temporary:
                temporary.write_bytes(content)
        write_text(urdf, self.urdf)
        if srdf is not None:
            write_text(srdf, self.srdf)


def describe(hand: RobotHand, meshes: str = MESHES) -> Description:
    """The FR3 with `hand` on its flange. `meshes`: prefix of the mesh file names in the URDF, e.g. package://mine/meshes."""
    links, name = hand_links(hand), f"fr3_{Path(hand.name).parent.name if '/' in hand.name else hand.name}"
    arm = RobotPart(fr3_model(), shipped_joints("fr3"), WORLD)
    fingers = RobotPart(links.model, hand.joints, FLANGE_SITE, hand.mount, HAND_PREFIX, f"{HAND_PREFIX}mount")
    urdf = to_urdf(name, [arm, fingers], WORLD, f"{meshes.rstrip('/')}/")
    return Description(name, urdf, _srdf(name, hand), links.meshes, links.notes)


def _srdf(name: str, hand: RobotHand) -> str:
    """Groups, group states, the end effector, and the disabled collision pairs."""
    robot = Element("robot", name=name)
    arm = SubElement(robot, "group", name=ARM_GROUP)
    SubElement(arm, "chain", base_link="fr3_link0", tip_link=FLANGE_SITE)
    fingers = SubElement(robot, "group", name=HAND_GROUP)
    names = [HAND_PREFIX + joint for joint in hand.joint_names]
    for joint in names:
        SubElement(fingers, "joint", name=joint)
    _posture(robot, "home", ARM_GROUP, FR3_JOINTS, FR3_HOME)
    _posture(robot, "open", HAND_GROUP, names, hand.open)
    _posture(robot, "half_closed", HAND_GROUP, names, hand.nominal)
    effector = {"parent_link": FLANGE_SITE, "group": HAND_GROUP, "parent_group": ARM_GROUP}
    SubElement(robot, "end_effector", name=HAND_GROUP, attrib=effector)
    for joint, drive in hand.coupled.items():
        if drive:
            SubElement(robot, "passive_joint", name=HAND_PREFIX + joint)
    for (one, other), reason in _harmless(hand).items():
        SubElement(robot, "disable_collisions", link1=one, link2=other, reason=reason)
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _posture(robot: Element, name: str, group: str, joints: Iterable[str], values: np.ndarray) -> None:
    state = SubElement(robot, "group_state", name=name, group=group)
    for joint, value in zip(joints, values):
        SubElement(state, "joint", name=joint, value=f"{value:.6g}")


def _harmless(hand: RobotHand) -> dict[tuple[str, str], str]:
    """Pairs of links that are adjacent, or that touch at home with an open hand, with MoveIt's reason."""
    model = arm_hand_spec(hand).compile()
    data = mujoco.MjData(model)
    for joint, value in zip((*FR3_JOINTS, *hand.joint_names), (*FR3_HOME, *hand.open)):
        data.joint(joint).qpos[0] = value
    Coupled(model).follow(data.qpos)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    mujoco.mj_kinematics(model, data)
    mujoco.mj_collision(model, data)
    solid = {int(b) for b in model.geom_bodyid[(model.geom_contype | model.geom_conaffinity) != 0]}
    found = {}
    for body in solid:
        parent = int(model.body_parentid[body])
        while parent and parent not in solid:
            parent = int(model.body_parentid[parent])
        if parent:
            found[parent, body] = "Adjacent"
    for pair in model.geom_bodyid[data.contact.geom]:
        one, other = sorted(map(int, pair))
        found.setdefault((one, other), "Default")
    palm = model.body("palm").id
    names = {b: HAND_PREFIX * (b >= palm) + model.body(b).name for b in solid}
    return {(names[one], names[other]): reason for (one, other), reason in sorted(found.items()) if one != other}
