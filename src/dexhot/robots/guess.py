"""Infers a hand's structure from the geometry of its model: fingers, palm frame, fingertips, postures.

Fingers are the ends of the tree. They extend along x at joint angles nearest to zero, and close towards -z.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from dexhot.errors import FileFormatError
from dexhot.geometry.poses import inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat, quat_multiply, quat_to_matrix
from dexhot.robots.coupling import Coupled
from dexhot.robots.model_file import ModelFile
from dexhot.robots.urdf import fixed_axis_angles

FINGERS = {
    "thumb": r"thumb|(^|[^a-z])th\d|thj",
    "index": r"index|fore|(^|[^a-z])ff|ffj",
    "middle": r"middle|(^|[^a-z])mf|mfj|long",
    "ring": r"ring|(^|[^a-z])rf|rfj",
    "little": r"little|pinky|(^|[^a-z])lf|lfj|small",
}
ORDER = ("index", "middle", "ring", "little", "thumb")
HALF_CLOSED, PROBE = 0.35, 0.3  # fractions of the way from open to closed
SNAP = np.radians(12.0)  # a palm frame this near to its body's axes is aligned with them
CENTRAL = 0.004  # m from the middle: a thumb this central does not determine the side
OBJECT = 0.05  # m, object size between fingers and thumb in the nominal posture


@dataclass
class Finger:
    """A chain of joints (ids) from the palm to the last link."""

    joints: list[int]
    body: int  # the last link
    name: str = ""
    site: np.ndarray = field(default_factory=lambda: np.zeros(3))  # the tip's centre in the last link
    radius: float = 0.0


class Guess:
    """Properties inferred from the geometry of one model."""

    def __init__(self, file: ModelFile):
        self.file, self.model = file, file.model
        self.data = mujoco.MjData(self.model)
        self.coupled = Coupled(self.model)
        self.ranges = file.free_ranges()
        self.drives = list(self.ranges)
        self.opened = {j: float(np.clip(0.0, *self.ranges[j])) for j in self.drives}
        self.closed = {j: self._further(j) for j in self.drives}
        self.pose(self.opened)
        self.palm, self.fingers, self.above_palm = self._tree()
        for finger in self.fingers:
            self._find_tip(finger)
        self._name_fingers()

    @property
    def palm_name(self) -> str:
        return self.body_name(self.palm)

    def body_name(self, body: int) -> str:
        return str(self.model.body(body).name)

    def drive_name(self, joint: int) -> str:
        return str(self.model.joint(joint).name)

    def pose(self, angles: dict[int, float]) -> None:
        for joint, angle in angles.items():
            self.data.qpos[self.model.jnt_qposadr[joint]] = angle
        self.coupled.follow(self.data.qpos)
        mujoco.mj_kinematics(self.model, self.data)

    def tips(self, angles: dict[int, float]) -> np.ndarray:
        """(k, 3) world, at these angles."""
        self.pose(angles)
        return np.array([transform(self._world_T(f.body), f.site) for f in self.fingers])

    def palm_frame(self, side: str | None) -> tuple[np.ndarray, str]:
        """(7,) world_T_palm with the hand open, and the inferred side: "right", "left" or "" (unclear)."""
        long = [f.name != "thumb" for f in self.fingers]
        opened, probed = self.tips(self.opened), self.tips(self._towards(PROBE, self.flexion))
        self.pose(self.opened)
        bases = np.array([self.data.xanchor[f.joints[0]] for f in self.fingers])
        x = _unit((opened - bases)[long].mean(0))
        z = -_unit(_across((probed - opened)[long].mean(0), x))
        y = np.cross(z, x)
        thumb = (0.5 * (opened + bases))[~np.array(long)].mean(0) - bases[long].mean(0)
        guessed = "" if abs(thumb @ y) < CENTRAL else "right" if thumb @ y > 0 else "left"
        if guessed and side and side != guessed:
            y, z = -y, -z
        axes = self._snapped(np.stack([x, y, z], axis=1))
        points = self._points([self.palm]) @ axes
        middle = axes @ (0.5 * (points.min(0) + points.max(0))) if len(points) else None
        center = bases[long].mean(0) - 0.04 * x if middle is None else middle
        return make_pose(center, matrix_to_quat(axes)), guessed

    def _snapped(self, axes: np.ndarray) -> np.ndarray:
        """(3, 3) world_R_palm, snapped to the axes of the palm's body if nearly aligned."""
        body = self.data.xmat[self.palm].reshape(3, 3)
        near = body.T @ axes
        along = np.round(near)
        turn = Rotation.from_matrix(along.T @ near).magnitude() if abs(np.linalg.det(along) - 1.0) < 0.1 else np.inf
        return body @ along if turn < SNAP else axes

    def in_palm_body(self, frame: np.ndarray) -> dict[str, Any]:
        self.pose(self.opened)
        body_T_world = inverse(self._world_T(self.palm))
        rpy = fixed_axis_angles(quat_to_matrix(quat_multiply(body_T_world[3:], frame[3:])))
        return {"body": self.palm_name, "pos": rounded(transform(body_T_world, frame[:3])), "rpy": rounded(rpy)}

    @property
    def flexion(self) -> list[int]:
        """Drives that close a finger, excluding abduction joints, whose range is symmetric about the open hand."""
        even = {j for j in self.drives if abs(sum(self.ranges[j])) < 0.35 * (self.ranges[j][1] - self.ranges[j][0])}
        return [j for j in self.drives if j not in even]

    def postures(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) rad each: open, with the thumb opposed, and half closed around an object."""
        thumb = [j for f in self.fingers if f.name == "thumb" for j in f.joints if j in self.ranges]
        long = [i for i, f in enumerate(self.fingers) if f.name != "thumb"]
        half = self._towards(HALF_CLOSED, [j for j in self.flexion if j not in thumb])
        further = self._towards(HALF_CLOSED + 0.1, [j for j in self.flexion if j not in thumb])
        tips = self.tips(half)[long]
        wanted = tips.mean(0) + OBJECT * _unit((self.tips(further)[long] - tips).mean(0))
        rng, best, nearest = np.random.default_rng(0), {j: half[j] for j in thumb}, np.inf
        index = next((i for i, f in enumerate(self.fingers) if f.name == "thumb"), 0)
        for _ in range(400 if thumb else 0):
            tried = {j: float(rng.uniform(*self.ranges[j])) for j in thumb}
            away = float(np.linalg.norm(self.tips({**half, **tried})[index] - wanted))
            if away < nearest:
                best, nearest = tried, away
        opened = {**self.opened, **{j: best[j] for j in thumb[:1]}}
        return np.array([opened[j] for j in self.drives]), np.array([{**half, **best}[j] for j in self.drives])

    def correspondence(self) -> dict[str, Any]:
        tips, links = {}, {}
        for finger in self.fingers:
            last = "ip" if finger.name == "thumb" else "dip"
            tips[f"{finger.name}_tip"] = [f"{finger.name}_{last}", f"{finger.name}_tip", 0.9]
            bending = [j for j in finger.joints if j in self.flexion or j not in self.ranges]
            if finger.name != "thumb" and len(bending) > 1:
                links[self.body_name(int(self.model.jnt_bodyid[bending[1]]))] = f"{finger.name}_pip"
        return {"thumb": "thumb_tip", "tips": tips, "links": links, "link_weight": 0.1}

    def _towards(self, way: float, joints: list[int]) -> dict[int, float]:
        moved = {j: self.opened[j] + way * (self.closed[j] - self.opened[j]) for j in joints}
        return {**self.opened, **moved}

    def _further(self, joint: int) -> float:
        low, high = self.ranges[joint]
        return high if high - self.opened[joint] >= self.opened[joint] - low else low

    def _world_T(self, body: int) -> np.ndarray:
        return make_pose(self.data.xpos[body], self.data.xquat[body])

    def _tree(self) -> tuple[int, list[Finger], list[str]]:
        """The palm's body, the fingers, and the names of joints that move the palm itself."""
        model, below = self.model, self.file.below()
        hinged = [b for b in below if any(self.file.moves(j) for j in _joints_of(model, b))]
        above = {b: _ancestors(model, b) for b in below}
        ends = [b for b in hinged if not any(b in above[other] for other in hinged if other != b)]
        if len(ends) < 2:
            raise FileFormatError(
                f"{self.file.path} has {len(ends)} chains of joints; a hand has at least two fingers. If it is a whole "
                "robot, give --root, the hand's base body."
            )
        common = set.intersection(*({*above[end]} for end in ends))
        palm = max(common)
        fingers = []
        for end in ends:
            chain = sorted(b for b in (*above[end], end) if b in hinged and b > palm and palm in above[b])
            fingers.append(Finger([j for b in chain for j in _joints_of(model, b)], end))
        carrying = [j for b in sorted(common) if b in hinged for j in _joints_of(model, b)]
        return palm, fingers, [model.joint(j).name for j in carrying]

    def _find_tip(self, finger: Finger) -> None:
        """The centre of the largest sphere at the end of the last link, and its radius."""
        rigid = [b for b in self.file.below() if b == finger.body or finger.body in _ancestors(self.model, b)]
        points = self._points(rigid)
        if not len(points):
            raise FileFormatError(
                f"{self.file.path}: link {self.body_name(finger.body)!r} is the end of a finger but has no shape."
            )
        start = self.data.xanchor[finger.joints[-1]]
        middle = points[np.linalg.norm(points - start, axis=1).argmax()]
        for _ in range(3):  # iterate from a corner to the middle of the end
            along = _unit(middle - start)
            length = (points - start) @ along
            near = points[length > length.max() - min(0.015, 0.4 * length.max())]
            middle = 0.5 * (near.min(0) + near.max(0))
        across = [np.ptp(near @ axis) for axis in np.linalg.svd(np.eye(3) - np.outer(along, along))[0].T[:2]]
        finger.radius = float(np.clip(0.5 * min(across), 0.003, 0.012))
        center = middle + ((length.max() - finger.radius) - (middle - start) @ along) * along
        finger.site = transform(inverse(self._world_T(finger.body)), center)

    def _points(self, bodies: list[int]) -> np.ndarray:
        """(N, 3) world: corners and vertices of the colliding shapes of these bodies."""
        model, data, found = self.model, self.data, [np.zeros((0, 3))]
        for geom in np.flatnonzero(
            np.isin(model.geom_bodyid, bodies) & (model.geom_contype | model.geom_conaffinity > 0)
        ):
            mesh = model.geom_dataid[geom]
            if mesh >= 0:
                first = model.mesh_vertadr[mesh]
                local = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
            else:
                center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
                local = center + half * np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
            found.append(local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
        return np.concatenate(found)

    def _name_fingers(self) -> None:
        """Name fingers by the names of their joints and links, else by position."""
        for finger in self.fingers:
            words = [self.model.joint(j).name for j in finger.joints] + [self.body_name(finger.body)]
            text = " ".join(words).lower()
            finger.name = next((name for name, pattern in FINGERS.items() if re.search(pattern, text)), "")
        taken = [finger.name for finger in self.fingers if finger.name]
        unnamed = [finger for finger in self.fingers if not finger.name or taken.count(finger.name) > 1]
        for finger in unnamed:
            finger.name = ""
        free = [name for name in ("thumb", *ORDER[:-1]) if name not in [f.name for f in self.fingers]]
        if unnamed and "thumb" in free:
            ways = np.array(
                [_unit(transform(self._world_T(f.body), f.site) - self.data.xanchor[f.joints[0]]) for f in unnamed]
            )
            odd = unnamed[int((ways @ ways.mean(0)).argmin())]
            odd.name = free.pop(0)
            unnamed.remove(odd)
        thumb = next((f for f in self.fingers if f.name == "thumb"), self.fingers[0])
        origin = self.data.xanchor[thumb.joints[0]]
        for finger in sorted(unnamed, key=lambda f: float(np.linalg.norm(self.data.xanchor[f.joints[0]] - origin))):
            if not free:
                raise FileFormatError(f"{self.file.path} has {len(self.fingers)} fingers; a human hand has five.")
            finger.name = free.pop(0)
        self.fingers.sort(key=lambda f: ORDER.index(f.name))


def _joints_of(model: mujoco.MjModel, body: int) -> list[int]:
    first = int(model.body_jntadr[body])
    return list(range(first, first + int(model.body_jntnum[body])))


def _ancestors(model: mujoco.MjModel, body: int) -> list[int]:
    found = []
    while body:
        body = int(model.body_parentid[body])
        found.append(body)
    return found


def _across(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    across: np.ndarray = vector - (vector @ axis) * axis
    return across


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def rounded(values: Iterable[float] | np.ndarray, digits: int = 4) -> list[float]:
    """Rounded, for a YAML file."""
    return [round(float(v), digits) + 0.0 for v in values]
