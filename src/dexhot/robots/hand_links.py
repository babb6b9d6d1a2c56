"""Any hand, also one imported from MJCF, as a RobotModel, from which a URDF is written."""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from dexhot.geometry.poses import IDENTITY, compose, make_pose
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.robots.coupling import drive_ranges, in_terms_of_drive, joint_equalities
from dexhot.robots.mjcf import COLLISION_GROUP, VISUAL_GROUP
from dexhot.robots.model import Link, Mimic, ModelJoint, Primitive, RobotModel
from dexhot.robots.robot_hand import RobotHand

KINDS = {
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_MESH: "mesh",
}
UNTURNED = (1.0, 0.0, 0.0, 0.0)
STRAIGHT = 1e-6  # rad, largest deviation of a coupling from a line, the only form in a URDF
LITTLE = 1e-4  # kg, mass of a link between two hinges: simulators reject moving links without mass
FIXED = np.zeros(3)  # the axis of a fixed joint


@dataclass(frozen=True)
class HandLinks:
    """Links and joints of a hand, its meshes as STL by file name, and notes on what a URDF cannot express."""

    model: RobotModel
    meshes: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def hand_links(hand: RobotHand) -> HandLinks:
    """The model of a shipped hand, or as MuJoCo read it from the user's file."""
    if isinstance(hand.model, RobotModel):
        return HandLinks(hand.model)
    return _Reading(hand).result()


class _Reading:
    """One pass over a compiled model."""

    def __init__(self, hand: RobotHand):
        self.hand, self.model = hand, hand.spec().compile()
        self.equalities, self.ranges = joint_equalities(self.model), drive_ranges(self.model)
        self.links: dict[str, Link] = {}
        self.joints: dict[str, ModelJoint] = {}
        self.meshes: dict[str, bytes] = {}
        self.notes: list[str] = []

    def result(self) -> HandLinks:
        root = self.model.body("palm").id
        for body in range(root, self.model.nbody):
            self.read_body(body, body == root)
        model = RobotModel(self.hand.name, "palm", self.links, self.joints)
        return HandLinks(model, self.meshes, tuple(self.notes))

    def read_body(self, b: int, root: bool) -> None:
        """The link of a body, and the joints between it and its parent: one hinge each, with links between them."""
        m, name = self.model, self.model.body(b).name
        turn = quat_to_matrix(m.body_iquat[b])
        inertia = turn @ np.diag(m.body_inertia[b]) @ turn.T
        geoms = [g for g in range(m.ngeom) if m.geom_bodyid[g] == b]
        shapes = {
            group: tuple(s for g in geoms if m.geom_group[g] == group and (s := self.shape(g, name)) is not None)
            for group in (COLLISION_GROUP, VISUAL_GROUP)
        }
        sites = {m.site(s).name: m.site_pos[s].copy() for s in range(m.nsite) if m.site_bodyid[s] == b}
        sites = {site: at for site, at in sites.items() if site in self.hand.tip_sites}
        visual = shapes[VISUAL_GROUP] or shapes[COLLISION_GROUP]
        mass = float(m.body_mass[b])
        self.links[name] = Link(name, mass, m.body_ipos[b].copy(), inertia, shapes[COLLISION_GROUP], visual, sites)
        if not root:
            self.read_joints(b, name, m.body(int(m.body_parentid[b])).name)

    def read_joints(self, b: int, name: str, parent: str) -> None:
        m, pose = self.model, make_pose(self.model.body_pos[b], self.model.body_quat[b])
        first, count = int(m.body_jntadr[b]), int(m.body_jntnum[b])
        for j in range(first, first + count):
            joint, axis = m.joint(j).name, m.jnt_axis[j].copy()
            zero = m.qpos0[m.jnt_qposadr[j]]
            at_zero = compose(pose, compose(make_pose(m.jnt_pos[j], UNTURNED), _turned(axis, -zero)))
            pose = make_pose(-m.jnt_pos[j], UNTURNED)  # from here on in the frame at the hinge
            child = name if j == first + count - 1 and np.allclose(pose[:3], 0.0) else f"{joint}_link"
            self.joints[joint] = self.hinge(j, joint, parent, child, at_zero, axis)
            if child != name:
                self.links[child] = Link(child, LITTLE, np.zeros(3), 1e-4 * LITTLE * np.eye(3), (), (), {})
            parent = child
        if parent != name:
            self.joints[f"{name}_fixed"] = ModelJoint(f"{name}_fixed", parent, name, pose, FIXED)

    def hinge(self, j: int, name: str, parent: str, child: str, pose: np.ndarray, axis: np.ndarray) -> ModelJoint:
        """A driven, linearly coupled, or fixed joint; the latter's angle is in its pose."""
        if j not in self.equalities:
            return ModelJoint(name, parent, child, pose, axis)
        drive, angle = in_terms_of_drive(self.model, self.equalities, j)
        if drive < 0:
            return ModelJoint(name, parent, child, compose(pose, _turned(axis, float(angle(0.0)))), FIXED)
        span = np.linspace(*self.ranges[drive], 100)
        slope, offset = np.polyfit(span, angle(span), 1)
        error = float(np.abs(slope * span + offset - angle(span)).max())
        if error > STRAIGHT:
            self.notes.append(
                f"joint {name} has a nonlinear coupling; the URDF's linear one differs by up to {error:.2g} rad"
            )
        lower, upper = self.model.jnt_range[j]
        mimic = Mimic(self.model.joint(drive).name, float(slope), float(offset), float(lower), float(upper))
        return ModelJoint(name, parent, child, pose, axis, mimic)

    def shape(self, g: int, link: str) -> Primitive | None:
        """A geom's shape; None, and a note, for types that a URDF cannot express."""
        m, kind = self.model, KINDS.get(mujoco.mjtGeom(self.model.geom_type[g]))
        if kind is None:
            text = mujoco.mjtGeom(m.geom_type[g]).name.removeprefix("mjGEOM_").lower()
            self.notes.append(f"a shape of link {link} is omitted: URDF has no {text}")
            return None
        pose = make_pose(m.geom_pos[g], m.geom_quat[g])
        color = tuple(map(float, m.geom_rgba[g] if m.geom_matid[g] < 0 else m.mat_rgba[m.geom_matid[g]]))
        if kind == "mesh":
            return Primitive(kind, (), pose, color, mesh=self.mesh(int(m.geom_dataid[g])))
        size = 2 * m.geom_size[g] if kind == "box" else m.geom_size[g] * (1, 2, 0)
        return Primitive(kind, tuple(map(float, size[: {"box": 3, "sphere": 1}.get(kind, 2)])), pose, color)

    def mesh(self, k: int) -> str:
        """File name of mesh `k`, which is stored as binary STL."""
        m, name = self.model, f"mesh_{k}.stl"
        vertices = m.mesh_vert[m.mesh_vertadr[k] : m.mesh_vertadr[k] + m.mesh_vertnum[k]]
        faces = m.mesh_face[m.mesh_faceadr[k] : m.mesh_faceadr[k] + m.mesh_facenum[k]]
        self.meshes.setdefault(name, stl(vertices, faces))
        return name


def stl(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """Binary STL of vertices (V, 3) and faces (F, 3). Normals are zero: readers compute them."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = np.zeros(len(faces), record)
    triangles["corners"] = vertices[faces]
    return bytes(80) + len(faces).to_bytes(4, "little") + triangles.tobytes()


def _turned(axis: np.ndarray, angle: float) -> np.ndarray:
    """Pose (7,) of a rotation by `angle` rad about `axis` (3,)."""
    pose: np.ndarray = IDENTITY.copy()
    pose[3:] = [np.cos(0.5 * angle), *(np.sin(0.5 * angle) * axis)]
    return pose
