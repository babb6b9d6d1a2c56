"""How high the arm's links are above the table, for many configurations: its collision shapes are cylinders and
capsules, whose lowest points have a closed form."""

import mujoco
import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry.poses import pose_to_matrix
from dexhot.robots.arm import FR3_JOINTS, fr3_spec
from dexhot.robots.kinematics.arm import ArmChain

STANDING = ("fr3_link0", "fr3_link1")  # the links that belong on the table
SHAPES = (mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE)


class ArmTable:
    """The arm without a hand above the plane z = 0."""

    def __init__(self, chain: ArmChain):
        self.chain = chain
        model = fr3_spec(visual=False).compile()
        bodies = [int(model.joint(name).bodyid[0]) for name in FR3_JOINTS]
        shapes = [
            g
            for g in range(model.ngeom)
            if model.geom_contype[g] and model.body(model.geom_bodyid[g]).name not in STANDING
        ]
        if not set(model.geom_type[shapes]) <= set(map(int, SHAPES)):
            raise DexhotError("the arm's collision shapes must be cylinders and capsules.")
        self.link = np.array([bodies.index(b) for b in model.geom_bodyid[shapes]])  # (G,) of the chain
        poses = np.concatenate([model.geom_pos[shapes], model.geom_quat[shapes]], axis=1)
        self.link_T_shape = pose_to_matrix(poses)  # (G, 4, 4), its axis along z
        self.radius, self.half = model.geom_size[shapes, 0], model.geom_size[shapes, 1]  # (G,) m
        self.round = model.geom_type[shapes] == mujoco.mjtGeom.mjGEOM_CAPSULE

    def lowest(self, links: np.ndarray) -> np.ndarray:
        """(N, G, 3) lowest point of each shape for base_T_link (N, 7, 4, 4) of `ArmChain.frames`."""
        at = links[:, self.link] @ self.link_T_shape
        centre, axis = at[..., :3, 3], at[..., :3, 2]
        down = np.broadcast_to([0.0, 0.0, -1.0], centre.shape)
        across = down + axis[..., 2:] * axis  # the downward part across the axis
        across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
        rim = np.where(self.round[:, None], down, across)
        lowest: np.ndarray = centre - (self.half * np.sign(axis[..., 2]))[..., None] * axis + self.radius[:, None] * rim
        return lowest

    def heights(self, q: np.ndarray) -> np.ndarray:
        """(N, G) height of each shape above the table, m, for joints (N, 7) rad."""
        height: np.ndarray = self.lowest(self.chain.frames(q))[..., 2]
        return height

    def jacobian(self, q: np.ndarray) -> np.ndarray:
        """(N, G, 7) of the heights: the lowest point moves with its link."""
        links = self.chain.frames(q)
        point = self.lowest(links)
        origin, axis = self.chain.hinges(links)  # (N, 7, 3)
        arm = point[:, :, None] - origin[:, None]
        turns = axis[:, None, :, 0] * arm[..., 1] - axis[:, None, :, 1] * arm[..., 0]
        jacobian: np.ndarray = turns * (np.arange(7) <= self.link[:, None])
        return jacobian

    def touches(self, q: np.ndarray) -> np.ndarray:
        """(N,) bool for joints (N, 7) rad."""
        found: np.ndarray = self.heights(q).min(axis=1) < 0.0
        return found
