"""The fingers of a MuJoCo scene as plant of the simulated servos, so that contact acts on them.

The scene's finger actuators take over the servos' law: gains, torque limits and targets are written into the model. The
thread that steps the world calls `exchange` between two steps; the bus, in its own thread, never accesses the world.
"""

import mujoco
import numpy as np

from dexhot.errors import DexhotError
from dexhot.hardware.dynamixel.plant import Drive
from dexhot.robots.joints import Joint
from dexhot.simulation.bodies import DAMPING, STIFFNESS, VOLTAGE


class WorldPlant:
    """A Plant: the joints of a world with the names of `joints`."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, joints: tuple[Joint, ...]):
        self.model, self.data = model, data
        self.sign = np.array([j.sign for j in joints], float)
        self.zero = np.array([j.zero for j in joints])
        ids = [model.joint(j.name).id for j in joints]
        self.q_address, self.v_address = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
        of_joint = {int(model.actuator_trnid[a, 0]): a for a in range(model.nu)}
        self.actuators = a = np.array([of_joint[i] for i in ids])
        if (model.actuator_gaintype[a] != mujoco.mjtGain.mjGAIN_DCMOTOR).any():
            raise DexhotError("simulated servos need a hand with motors: a servo profile such as leap or leap_lite.")
        self.stall = model.actuator_gainprm[a, 0] * model.actuator_gainprm[a, VOLTAGE]  # N m at full voltage
        self._drive: Drive | None = None
        self.exchange()

    def advance(self, dt: float, drive: Drive) -> None:
        """Store the drive for the world's next `exchange`; the world has its own time."""
        self._drive = drive

    def exchange(self) -> None:
        """Write the servos' drive into the world and read its joint states back."""
        m, d, a, drive = self.model, self.data, self.actuators, self._drive
        if drive is not None:
            m.actuator_gainprm[a, STIFFNESS], m.actuator_gainprm[a, DAMPING] = drive.stiffness, drive.damping
            m.actuator_gainprm[a, VOLTAGE] = drive.stall / self.stall
            m.actuator_forcerange[a] = np.stack([-drive.limit, drive.limit], -1)
            d.ctrl[a] = self.sign * (drive.target - self.zero)
        self.angle = self.sign * d.qpos[self.q_address] + self.zero
        self.velocity = self.sign * d.qvel[self.v_address]
        self.torque = self.sign * d.actuator_force[a]
