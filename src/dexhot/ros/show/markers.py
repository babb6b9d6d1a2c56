"""A MuJoCo scene as visualization_msgs: primitives, and meshes as triangles, in the world frame.

For RViz and Foxglove, live or from a recorded bag: markers contain their poses, so no transforms or URDF are needed.
"""

import mujoco
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from dexhot.ros.core.names import WORLD_FRAME
from dexhot.simulation.geom_meshes import Geom, geom_mesh, geom_rgba

MAX_FACES = 600  # of a mesh: every message contains all triangles
SHAPES = {
    Geom.mjGEOM_BOX: Marker.CUBE,
    Geom.mjGEOM_SPHERE: Marker.SPHERE,
    Geom.mjGEOM_ELLIPSOID: Marker.SPHERE,
    Geom.mjGEOM_CYLINDER: Marker.CYLINDER,
    Geom.mjGEOM_CAPSULE: Marker.CYLINDER,  # without its caps, which are inside the joints
}


class SceneMarkers:
    """One marker per geom of `geoms` (ids), made once; `message` fills in the poses. `prefix`: of the world's frame."""

    def __init__(self, model: mujoco.MjModel, geoms: np.ndarray, namespace: str, prefix: str = ""):
        kinds = {int(g): Geom(model.geom_type[g]) for g in geoms}
        self.geoms = [g for g, kind in kinds.items() if kind in SHAPES or kind == Geom.mjGEOM_MESH]
        self.array = MarkerArray(markers=[_marker(model, g, namespace, prefix + WORLD_FRAME) for g in self.geoms])

    def message(self, data: mujoco.MjData, stamp: Time) -> MarkerArray:
        """The markers at the poses of `data`, on which mj_kinematics has been called; the same object every time."""
        quat = np.empty(4)
        for geom, marker in zip(self.geoms, self.array.markers):
            mujoco.mju_mat2Quat(quat, data.geom_xmat[geom])
            p, q = marker.pose.position, marker.pose.orientation
            p.x, p.y, p.z = map(float, data.geom_xpos[geom])
            q.w, q.x, q.y, q.z = map(float, quat)
            marker.header.stamp = stamp
        return self.array


def coarse(vertices: np.ndarray, faces: np.ndarray, limit: int = MAX_FACES) -> tuple[np.ndarray, np.ndarray]:
    """A mesh of at most `limit` faces: vertices in one cell of an increasingly coarse grid are merged."""
    cell = np.ptp(vertices, axis=0).max() / 200
    points, triangles = vertices, faces
    while len(triangles) > limit:
        _, first, group = np.unique(np.round(vertices / cell), axis=0, return_index=True, return_inverse=True)
        merged = group.ravel()[faces]
        a, b, c = merged.T
        points, triangles = vertices[first], merged[(a != b) & (b != c) & (c != a)]
        cell *= 1.2
    return points, triangles


def _marker(model: mujoco.MjModel, geom: int, namespace: str, frame: str) -> Marker:
    kind, size = Geom(model.geom_type[geom]), model.geom_size[geom]
    marker = Marker(ns=namespace, id=geom, action=Marker.ADD, type=SHAPES.get(kind, Marker.TRIANGLE_LIST))
    marker.header.frame_id = frame
    marker.color = ColorRGBA(**dict(zip("rgba", geom_rgba(model, geom))))
    scale = {Geom.mjGEOM_BOX: 2 * size, Geom.mjGEOM_ELLIPSOID: 2 * size, Geom.mjGEOM_SPHERE: np.full(3, 2 * size[0])}
    long = np.array([2 * size[0], 2 * size[0], 2 * size[1]])  # cylinder, capsule
    if kind == Geom.mjGEOM_MESH:
        vertices, faces = coarse(*geom_mesh(model, geom))
        marker.points = [Point(**dict(zip("xyz", map(float, v)))) for v in vertices[faces.ravel()]]
        scale[kind] = np.ones(3)
    marker.scale.x, marker.scale.y, marker.scale.z = map(float, scale.get(kind, long))
    return marker
