"""Virtual joint sensors on the Adroit hand: the 21 keypoints of the hand that an action asks for.

A person's hand in mid-air is not stopped by the object, so it takes the pose that the action's targets ask for, not the
one that the simulated hand reaches. An actuator's force is gain target + bias angle: its joint rests at
-gain/bias times the target.
"""

import mujoco
import numpy as np

from dexhot.robots.kinematics.body import body_jacobian
from dexhot_train.assist.adroit import AdroitTask

SENSORS = (  # MediaPipe's order: the joint's body, or the site at a fingertip
    *("palm", "thbase", "thhub", "thdistal", "S_thtip"),
    *(
        f"{part}"
        for f in ("ff", "mf", "rf", "lf")
        for part in (f"{f}proximal", f"{f}middle", f"{f}distal", f"S_{f}tip")
    ),
)
DAMPING = 0.02  # m or rad per rad: how much of a wrist error the arm follows where it barely can
LEVER = 0.1  # m: a turn of the palm counts as the way of its knuckles


class VirtualHand:
    """The hand of one task, posed without physics."""

    def __init__(self, world: AdroitTask):
        model = world.env.model
        self.model, self.data = model, mujoco.MjData(model)
        self.middle, self.half = np.asarray(world.env.act_mean, float), world.action_range
        joints = model.actuator_trnid[:, 0]
        self.qpos, self.dofs = model.jnt_qposadr[joints], model.jnt_dofadr[joints]
        self.lower, self.upper = model.jnt_range[joints].T
        self.rest = -model.actuator_gainprm[:, 0] / model.actuator_biasprm[:, 1]  # joint angle per target
        self.names = [model.joint(j).name for j in joints]
        self.arm = np.array([name.startswith(("AR", "WR")) for name in self.names])  # arm and wrist move the palm
        self.start = model.qpos0[self.qpos].copy()
        self.palm = model.body("palm").id
        bodies = [name for name in SENSORS if not name.startswith("S_")]
        self._bodies = [model.body(name).id for name in bodies]
        self._sites = [model.site(name).id for name in SENSORS if name.startswith("S_")]
        self._of_body = [k for k, name in enumerate(SENSORS) if not name.startswith("S_")]
        self._of_site = [k for k, name in enumerate(SENSORS) if name.startswith("S_")]

    def joints(self, action: np.ndarray) -> np.ndarray:
        """Action (A,) -> the joint angles (A,) that it asks for, rad and m, within their limits."""
        asked: np.ndarray = np.clip(self.rest * (self.middle + action * self.half), self.lower, self.upper)
        return asked

    def action(self, joints: np.ndarray) -> np.ndarray:
        """Joint angles (A,) -> the action (A,) that asks for them; beyond -1 to 1 where no actuator reaches."""
        asked: np.ndarray = (joints / self.rest - self.middle) / self.half
        return asked

    @property
    def resting(self) -> np.ndarray:
        """The action (A,) that keeps the hand where every episode begins."""
        kept: np.ndarray = np.clip(self.action(self.start), -1.0, 1.0)
        return kept

    def keypoints(self, action: np.ndarray) -> np.ndarray:
        """(21, 3) m, world, of the hand that an action (A,) asks for."""
        data = self.data
        data.qpos[self.qpos] = self.joints(action)
        mujoco.mj_kinematics(self.model, data)
        out = np.empty((21, 3))
        out[self._of_body], out[self._of_site] = data.xpos[self._bodies], data.site_xpos[self._sites]
        return out

    def follow(self, action: np.ndarray, shift: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """`action` (A,) with arm and wrist moved so that the palm goes by `shift` (3,) m and `turn` (3,) rad, world, as
        far as they can: a pen's task has a wrist alone. Damped least squares."""
        self.keypoints(action)
        J = body_jacobian(self.model, self.data, self.palm)[:, self.dofs[self.arm]]
        J[3:] *= LEVER
        wanted = np.concatenate([shift, LEVER * turn])
        step = np.linalg.solve(J.T @ J + DAMPING**2 * np.eye(J.shape[1]), J.T @ wanted)
        moved = action.copy()
        moved[self.arm] += step / (self.rest * self.half)[self.arm]
        return moved
