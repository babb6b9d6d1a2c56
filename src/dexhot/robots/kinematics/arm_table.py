"""Whether the arm's links touch the table, for many configurations."""

import mujoco
import numpy as np

from dexhot.robots.arm import fr3_spec

STANDING = ("fr3_link0", "fr3_link1")  # the links that belong on the table


class TableCheck:
    """The arm without a hand above the plane z = 0."""

    def __init__(self) -> None:
        spec = fr3_spec(visual=False)
        for geom in spec.geoms:
            geom.contype, geom.conaffinity = (1, 0) if geom.contype and geom.parent.name not in STANDING else (0, 0)
        table = spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1])
        table.contype, table.conaffinity = 0, 1
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)

    def touches(self, arm_q: np.ndarray) -> np.ndarray:
        """(T,) bool for joints arm_q (T, 7) rad."""
        out = np.zeros(len(arm_q), bool)
        for t, q in enumerate(arm_q):
            self.data.qpos[:] = q
            mujoco.mj_kinematics(self.model, self.data)
            mujoco.mj_collision(self.model, self.data)
            out[t] = self.data.ncon > 0
        return out
