"""The fingers of a MuJoCo scene behind the simulated servos, so that contact reaches them.

The scene's finger actuators become the servos' own law: gains, torque limits and targets are written into the model.
Whoever owns the world steps it, under the same lock.
"""

import threading

import mujoco
import numpy as np

from dexhot.hands.joint_table import Joint
from dexhot.hardware.dynamixel.plant import Drive


class WorldPlant:
    """Joints `joints` of a world, by their names; `lock` is held by whoever steps it."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        joints: tuple[Joint, ...],
        lock: "threading.Lock | None" = None,
    ):
        self.model, self.data, self.lock = model, data, lock or threading.Lock()
        self.sign = np.array([j.sign for j in joints], float)
        self.zero = np.array([j.zero for j in joints])
        ids = [model.joint(j.name).id for j in joints]
        self.q_address, self.v_address = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
        of_joint = {int(model.actuator_trnid[a, 0]): a for a in range(model.nu)}
        self.actuators = np.array([of_joint[i] for i in ids])
        self._sense()

    def advance(self, dt: float, drive: Drive) -> None:
        """Hand the servos' drive to the world, and see where it is; time is the world's own."""
        m, a = self.model, self.actuators
        with self.lock:
            m.actuator_gainprm[a, 0] = drive.stiffness
            m.actuator_biasprm[a, 1], m.actuator_biasprm[a, 2] = -drive.stiffness, -drive.damping
            m.actuator_forcelimited[a] = True
            m.actuator_forcerange[a] = np.stack([-drive.limit, drive.limit], -1)
            self.data.ctrl[a] = self.sign * (drive.target - self.zero)
            self._sense()

    def _sense(self) -> None:
        d = self.data
        self.angle = self.sign * d.qpos[self.q_address] + self.zero
        self.velocity = self.sign * d.qvel[self.v_address]
        self.torque = self.sign * d.actuator_force[self.actuators]
