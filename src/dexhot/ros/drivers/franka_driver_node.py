"""The Franka arm's driver: /franka/command (positions and velocities) in, /franka/joint_states out."""

from dexhot.errors import DexhotError
from dexhot.hardware.devices import Device
from dexhot.hardware.franka.arm import FrankaArm
from dexhot.hardware.franka.settings import ArmSettings
from dexhot.ros.drivers.driver import HEALTH_RATE, DriverNode


class FrankaDriverNode(DriverNode):
    """A FrankaArm, with limit and network statistics on /diagnostics, or its twin."""

    topic = "/franka"

    def __init__(self) -> None:
        super().__init__("franka_driver")

    def robot(self) -> str:
        return "fr3"

    def make_device(self) -> Device:
        if self.p.rig == "sim":
            from dexhot.rigs.franka_twin import FrankaTwin  # imports MuJoCo, which a real arm needs only in connect

            return FrankaTwin()
        if not self.p.address:
            raise DexhotError(
                "rig is real: set the parameter `address` to the arm's network address, as in http://ADDRESS/desk."
            )
        self.hardware_id = f"FR3 at {self.p.address}"
        settings = ArmSettings(
            hand=self.p.hand,
            realtime=self.p.realtime,
            velocity_scale=self.p.velocity_scale,
            command_timeout=self.p.max_age,
            frozen_timeout=self.p.frozen_timeout,
        )
        return FrankaArm(self.p.address, settings)

    def setup(self) -> None:
        super().setup()
        if isinstance(self.device, FrankaArm):
            self.loop(HEALTH_RATE, self.report_health, "health")

    def start(self) -> None:
        """Activation is the operator's reset: recover a failed arm."""
        if isinstance(self.device, FrankaArm) and self.device.fault:
            self.device.recover()
        super().start()

    def report_health(self) -> None:
        """Report network and limit statistics on /diagnostics."""
        arm = self.device
        assert isinstance(arm, FrankaArm)
        others = {topic: text for topic, text in self.warnings.items() if not topic.startswith("arm ")}
        found = {f"arm {topic}": text for topic, text in arm.warnings.items()}
        for topic in found.keys() - self.warnings.keys():
            self.get_logger().warning(found[topic])
        self.warnings = others | found
        self.values |= {f"arm.{name}": count for name, count in arm.counts.items()}
        self.values |= {f"limited.{name}": count for name, count in arm.setpoint.limited.items()}
