"""The LEAP hand's driver: /leap/command in, /leap/joint_states out."""

import numpy as np

from dexhot.data.files import load
from dexhot.data.types import Reference
from dexhot.hardware.devices import Device
from dexhot.hardware.leap.hand import LeapHand
from dexhot.hardware.leap.setup import HandSettings
from dexhot.ros.core.diagnostics import MOTOR_TEMPERATURE
from dexhot.ros.drivers.driver import HEALTH_RATE, DriverNode

PATIENT_TRIES = 10  # consecutive bad replies before the bus counts as failed


class LeapDriverNode(DriverNode):
    """A LeapHand, with its health on /diagnostics, or its twin."""

    topic = "/leap"

    def __init__(self) -> None:
        super().__init__("leap_driver")

    def robot(self) -> str:
        return load(self.p.reference, Reference).hand

    def make_device(self) -> Device:
        if self.p.rig == "sim":
            from dexhot.rigs.leap_twin import LeapTwin  # with MuJoCo, which a real hand's driver does without

            return LeapTwin()
        self.hardware_id = f"LEAP hand at {self.p.port or 'the only USB serial adapter'}"
        patience = max(HandSettings.patience, PATIENT_TRIES * self.p.slack)
        settings = HandSettings(slack=self.p.slack, watchdog=self.p.bus_watchdog, patience=patience)
        return LeapHand(self.robot(), self.p.port, self.p.baud, settings)

    def setup(self) -> None:
        super().setup()
        if isinstance(self.device, LeapHand):
            self.loop(HEALTH_RATE, self.report_health, "health")

    def start(self) -> None:
        """Activation is the operator's reset: set up a failed hand again."""
        if isinstance(self.device, LeapHand) and self.device.failed:
            self.device.recover()
        super().start()

    def report_health(self) -> None:
        """Report the servos' status on /diagnostics."""
        hand = self.device
        assert isinstance(hand, LeapHand)
        others = {topic: text for topic, text in self.warnings.items() if not topic.startswith("servo ")}
        self.warnings = others | {f"servo {topic}": text for topic, text in hand.health.warnings.items()}
        self.values |= {f"bus.{name}": count for name, count in hand.counts.items()}
        if np.isfinite(hand.health.temperature).any():
            self.values[MOTOR_TEMPERATURE] = np.nanmax(hand.health.temperature)
            self.values["voltage_min_v"] = np.nanmin(hand.health.voltage)
