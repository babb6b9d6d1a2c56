"""A floating hand with an object and a table in MuJoCo: points, Jacobians, gaps between geoms.

Only kinematics and collision are used. The object is a mocap body, so the degrees of freedom are the hand vector's and
those of coupled joints, which are eliminated from all Jacobians here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import WRIST_JOINTS
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.coupling import Coupled
from dexhot.robots.kinematics.wrist import add_wrist
from dexhot.robots.mjcf import strip_prefix
from dexhot.robots.robot_hand import RobotHand

MARGIN = 0.004  # m; gaps wider than this are not reported
HAND, OBJECT, TABLE = 1, 2, 4


@dataclass
class Gaps:
    """Pairs of geoms closer than MARGIN in one pose."""

    distance: np.ndarray  # (C,) m, negative when they overlap
    jacobian: np.ndarray  # (C, 6+n) of the distance
    kind: np.ndarray  # (C,) HAND (with itself), OBJECT or TABLE
    tip: np.ndarray  # (C,) index of the fingertip, or the first pad, whose link the hand's geom is on, or -1


class HandModel:
    """The hand vector's kinematics, for one hand, one base rotation and one object."""

    def __init__(
        self,
        hand: RobotHand,
        links: Sequence[str] = (),
        base_quat: ArrayLike = (1.0, 0, 0, 0),
        asset: ObjectAsset | None = None,
        table: float | None = None,
        pads: Sequence[tuple[str, np.ndarray]] = (),
    ):
        """Points: the hand's tip sites, then `pads`, points (3,) of links in their frames, then the origins of `links`.
        table: height in m, or None for no table."""
        spec = _spec(hand, links, base_quat, asset, table, pads)
        self.model = spec.compile()
        self._coupled = Coupled(self.model)
        self._exclude_touching(spec, hand)
        self.data = mujoco.MjData(self.model)
        names = (*WRIST_JOINTS, *hand.joint_names)
        self.order = np.array([self.model.joint(name).qposadr[0] for name in names])  # hand vector -> qpos
        contacts = [*hand.tip_sites, *(f"pad{i}" for i in range(len(pads)))]
        self.sites = [self.model.site(name).id for name in (*contacts, *(f"{link}_origin" for link in links))]
        self.tips, self.contacts = len(hand.tip_sites), len(contacts)
        self.palm = self.model.body("palm").id
        far = 10.0
        self.lower = np.concatenate([np.full(6, -far), hand.lower])
        self.upper = np.concatenate([np.full(6, far), hand.upper])
        bodies = [self.model.site(name).bodyid[0] for name in contacts]
        self._tip = np.array([bodies.index(b) if b in bodies else -1 for b in self.model.geom_bodyid])
        self._kind = self.model.geom_contype
        self._root = self.model.body_rootid[self.palm]
        self._moves = np.zeros((self.model.nbody, self.model.nv))  # 1: that joint moves that body
        for body in range(1, self.model.nbody):
            self._moves[body] = self._moves[self.model.body_parentid[body]]
            self._moves[body, self.model.dof_bodyid == body] = 1.0

    @property
    def size(self) -> int:
        """6+n, the length of the hand vector."""
        return len(self.order)

    def _exclude_touching(self, spec: mujoco.MjSpec, hand: RobotHand) -> None:
        """Exclude pairs that touch with the hand open: adjacent links overlap in every pose."""
        data = mujoco.MjData(self.model)
        for name, value in zip(hand.joint_names, hand.open):
            data.joint(name).qpos[0] = value
        self._coupled.follow(data.qpos)
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_collision(self.model, data)
        pairs = self.model.geom_bodyid[data.contact.geom[data.contact.dist < 0.002]]
        for a, b in {tuple(sorted(p)) for p in pairs.tolist()}:
            names = self.model.body(a).name, self.model.body(b).name
            if "object" not in names and "world" not in names:
                spec.add_exclude(bodyname1=names[0], bodyname2=names[1])
        self.model = spec.compile()

    def move(self, q: ArrayLike, object_pose: np.ndarray | None = None) -> None:
        """Place the hand (6+n,) and the object (7,), if the model has one."""
        self.data.qpos[self.order] = q
        self._coupled.follow(self.data.qpos)
        if object_pose is not None and self.model.nmocap:
            self.data.mocap_pos[0], self.data.mocap_quat[0] = object_pose[:3], object_pose[3:]
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def points(self) -> np.ndarray:
        """(P, 3) world positions of the sites."""
        positions: np.ndarray = self.data.site_xpos[self.sites]
        return positions

    def point_jacobian(self) -> np.ndarray:
        """(P, 3, 6+n) Jacobian of the sites."""
        jacobian = np.empty((len(self.sites), 3, self.model.nv))
        for row, site in zip(jacobian, self.sites):
            mujoco.mj_jacSite(self.model, self.data, row, None, site)
        return self._of_hand_vector(jacobian)

    def skeleton(self) -> np.ndarray:
        """(L, 2, 3) lines from each link's origin to its parent's, and to the fingertips."""
        data, model = self.data, self.model
        links = [b for b in range(self.palm + 1, model.nbody) if model.body_parentid[b] >= self.palm]
        lines = [(data.xpos[model.body_parentid[b]], data.xpos[b]) for b in links]
        tips = [(data.xpos[model.site_bodyid[s]], data.site_xpos[s]) for s in self.sites[: self.tips]]
        return np.array(lines + tips)

    def palm_rotation(self) -> np.ndarray:
        """(3, 3) world_R_palm."""
        rotation: np.ndarray = self.data.xmat[self.palm].reshape(3, 3)
        return rotation

    def palm_rotation_jacobian(self) -> np.ndarray:
        """(3, 6+n): world angular velocity of the palm per joint velocity."""
        jacobian = np.empty((3, self.model.nv))
        mujoco.mj_jacBody(self.model, self.data, None, jacobian, self.palm)
        return self._of_hand_vector(jacobian)

    def _of_hand_vector(self, jacobian: np.ndarray) -> np.ndarray:
        """(..., nv) -> (..., 6+n)."""
        return self._coupled.reduce(jacobian, self.data.qpos)[..., self.order]

    def gaps(self, below: float = MARGIN) -> Gaps:
        """Every pair of geoms closer than `below`."""
        model, data = self.model, self.data
        mujoco.mj_collision(model, data)
        contact = data.contact
        rows = np.flatnonzero(contact.dist < below)
        geom, normals, points = contact.geom[rows], contact.frame[rows, :3], contact.pos[rows]
        # what mj_jac finds for a point at a time: from the joints' axes (angular, linear) at the tree's centre of mass
        r = points - data.subtree_com[self._root]
        turned = r[:, [1, 2, 0]] * normals[:, [2, 0, 1]] - r[:, [2, 0, 1]] * normals[:, [1, 2, 0]]
        first, second = model.geom_bodyid[geom].T
        jacobian = (self._moves[second] - self._moves[first]) * (np.hstack([turned, normals]) @ data.cdof.T)
        return Gaps(
            contact.dist[rows],
            self._of_hand_vector(jacobian),
            self._kind[geom].max(axis=1, initial=0),
            self._tip[geom].max(axis=1, initial=-1),
        )


def _spec(
    hand: RobotHand,
    links: Sequence[str],
    base_quat: ArrayLike,
    asset: ObjectAsset | None,
    table: float | None,
    pads: Sequence[tuple[str, np.ndarray]],
) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MULTICCD
    rotation = add_wrist(spec, base_quat, mass=1.0, inertia=1.0)
    fingers = hand.spec()
    for tendon in list(fingers.tendons):  # of forces alone, and they would lose their joints when those are renamed
        fingers.delete(tendon)
    for link in links:
        fingers.body(link).add_site(name=f"{link}_origin")
    for i, (link, position) in enumerate(pads):
        fingers.body(link).add_site(name=f"pad{i}", pos=position)
    for geom in fingers.geoms:
        if geom.contype or geom.conaffinity:
            geom.contype, geom.conaffinity, geom.margin = HAND, HAND, MARGIN
    spec.attach(fingers, prefix="hand/", frame=rotation.add_frame())
    strip_prefix(spec, "hand/")
    if asset is not None:
        body = spec.worldbody.add_body(name="object", mocap=True)
        for i, (vertices, _) in enumerate(asset.pieces):
            spec.add_mesh(name=f"piece{i}", uservert=np.asarray(vertices, float).ravel())
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"piece{i}", contype=OBJECT, conaffinity=HAND)
    if table is not None:
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1], pos=[0, 0, table], contype=TABLE, conaffinity=HAND
        )
    return spec
