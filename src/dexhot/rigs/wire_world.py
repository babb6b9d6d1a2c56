"""Protocol-level simulation of one MuJoCo world: the arm on libfranka's network protocol, the hand on a pty servo bus.

The scene is the embedded rig's, with device models instead of the benchmark's servos: the arm applies the torques that
its client computes at 1 kHz, and the fingers are driven by the simulated servos' own PD (servo.py), with the gains and
current limit that the driver wrote into their registers. Contact acts on both, and on the object.

The world's time advances in the arm's cycles of 1 ms. The servos' watchdogs use it too, so all devices share one clock,
whatever the real-time factor. `cycle` waits for the response of the arm's client: on a slow machine, simulated time
advances more slowly.
"""

import time
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np

from dexhot.errors import DexhotError, MissingExtraError
from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.hardware.dynamixel.plant import Drive
from dexhot.hardware.franka.settings import ArmSettings
from dexhot.objects.asset import ObjectAsset
from dexhot.rigs.embedded import ARM, EmbeddedWorld
from dexhot.rigs.world_plant import WorldPlant
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.physics import Physics
from dexhot.simulation.scene import Scene, arm_scene

CYCLE = 1e-3  # s, of the arm's control loop
ARMATURE = (0.195, 0.195, 0.195, 0.195, 0.074, 0.074, 0.074)  # kg m2, the FR3's rotors at the joints (MuJoCo Menagerie)
EXCHANGE = 2  # cycles between exchanges with the simulated servos
PATIENCE = 0.05  # s that a cycle waits for the client's torques
SLIP = 0.05  # s behind schedule beyond which the world's time slips


def wire_scene(hand: RobotHand, asset: ObjectAsset, physics: Physics, table_height: float = 0.0) -> Scene:
    """The arm scene with steps of one arm cycle (1 ms) and torque motors for the arm.

    Contacts keep their stiffness at the benchmark's step.
    """
    fine = replace(physics, timestep=CYCLE, substeps=1, solref=physics.solref_used)
    scene = arm_scene(hand, asset, fine, table_height, visual=False)
    model, arm = scene.model, slice(0, ARM)
    model.actuator_gainprm[arm, 0], model.actuator_biasprm[arm, 1:3] = 1.0, 0.0
    model.actuator_ctrlrange[arm] = np.stack([-np.array(physics.arm.force), physics.arm.force], -1)
    model.dof_armature[scene.v_address[arm]] = ARMATURE
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return scene


class WireWorld(EmbeddedWorld):
    """A world of `wire_scene` served at network address `address` and pty `port`, while the block runs.

    `scale`: maximum real-time factor; `measured_scale()`: the actual one since the last call.
    Raises MissingExtraError without franky-sim, DexhotError when the address is taken.
    """

    def __init__(self, scene: Scene, address: str, port: str | Path, scale: float = 1.0):
        super().__init__(scene)
        try:
            from dexhot.rigs.wire_arm import ArmServer, WireArm
        except ModuleNotFoundError as e:
            raise MissingExtraError("the simulated Franka arm", "dev") from e
        self.address, self.port, self.scale = address, str(port), scale
        self.arm = WireArm(scene.model, self.data, np.array(ArmSettings.stiffness), np.array(ArmSettings.damping))
        self.server = ArmServer(self.arm, [address])
        assert scene.hand is not None
        self.plant = WorldPlant(scene.model, self.data, joint_table(scene.hand.name))
        self.bus: ServoBus | None = None
        self.notes: list[str] = []  # events in the world that the protocols do not report
        self.cycles = 0
        self.slipped = 0.0  # s of real time that the world has fallen behind
        self._due: float | None = None
        self._since = (time.monotonic(), 0)
        self._held: np.ndarray | None = None

    @property
    def time(self) -> float:
        """The world's time, s."""
        return self.cycles * CYCLE

    def open(self) -> None:
        """Start serving; motion happens only in `cycle`. Raises DexhotError when the address is taken."""
        try:
            self.server.init()
        except OSError as e:
            raise DexhotError(f"{self.address}:1337 is taken: does another rig run in this ROS domain?") from e
        self.bus = ServoBus(self.plant, link=self.port, clock=lambda: self.time)
        self.bus.__enter__()

    def close(self) -> None:
        """Close both connections."""
        if self.bus is not None:
            self.bus.__exit__()
            self.bus = None
        self.server.reset_state()
        self.server.cleanup()

    def __enter__(self) -> "WireWorld":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self, q: np.ndarray, object_pose: np.ndarray, hold_object: bool = False) -> None:
        """As in the embedded world, before any device is connected: servos without torque, the arm holds its pose."""
        super().reset(q, object_pose, hold_object)
        self.data.ctrl[:ARM] = 0.0
        self.plant.advance(0.0, Drive(*np.zeros((6, len(q) - ARM))))
        self.plant.exchange()

    def put_object(self, pose: np.ndarray, hold: bool) -> None:
        """Place the object at rest at `pose` (7,) world_T_mesh; `hold` fixes it there until `release`."""
        d, s = self.data, self.scene
        d.qpos[s.object_qpos], d.qvel[s.object_dof] = pose, 0.0
        self._held = pose.copy() if hold else None

    def cycle(self) -> None:
        """Run one cycle of the arm when it is due and its client has responded to the previous one."""
        self._pace()
        self.server.cycle_begin()
        d, s = self.data, self.scene
        if self.cycles % EXCHANGE == 0:
            self.plant.exchange()
        mujoco.mj_step(s.model, d)
        if self._held is not None:
            d.qpos[s.object_qpos], d.qvel[s.object_dof] = self._held, 0.0
        self.cycles += 1
        reflexes = self.server.reflexes
        self.server.cycle_end(PATIENCE)
        if self.server.reflexes > reflexes:
            self.notes.append(self._describe_reflex())

    def run_until(self, end: float) -> None:
        """Run cycles until the world's time is `end`, s."""
        while self.time < end - 0.5 * CYCLE:
            self.cycle()

    def step(self) -> None:
        """A tick moves nothing; it checks that the physics has not diverged. Raises DexhotError."""
        d = self.data
        if not np.isfinite(d.qpos).all() or d.warning[mujoco.mjtWarning.mjWARN_BADQACC].number:
            raise DexhotError("the rig's physics diverged; start it again.")

    def measured_scale(self) -> float:
        """Real-time factor since the last call."""
        now, (then, cycles) = (time.monotonic(), self.cycles), self._since
        self._since = now
        return (now[1] - cycles) * CYCLE / max(now[0] - then, 1e-9)

    def _describe_reflex(self) -> str:
        """The joint with the largest external torque, and the strongest contact."""
        m, d, felt = self.scene.model, self.data, self.server.felt
        joint = int(np.argmax(np.abs(felt) / self.server.reflex_at))
        force, strongest = np.zeros(6), (0.0, "none left")
        for i in range(d.ncon):
            mujoco.mj_contactForce(m, d, i, force)
            pair = sorted(m.geom(g).name for g in d.contact[i].geom)
            strongest = max(strongest, (float(force[0]), " on ".join(pair)))
        return (
            f"reflex of the arm: {self.scene.joint_names[joint]} has {abs(felt[joint]):.0f} N m of external torque; "
            f"strongest contact: {strongest[1]}, {strongest[0]:.0f} N"
        )

    def _pace(self) -> None:
        now = time.monotonic()
        self._due = now if self._due is None else self._due + CYCLE / self.scale
        late = now - self._due
        if late < 0:
            time.sleep(-late)
        elif late > SLIP:
            self._due += late
            self.slipped += late
