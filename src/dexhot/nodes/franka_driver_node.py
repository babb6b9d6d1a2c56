"""The Franka arm's driver: /franka/command (positions and velocities) in, /franka/joint_states out."""

from typing import ClassVar

from dexhot.hardware.franka import FrankaTwin
from dexhot.nodes.driver import DriverNode


class FrankaDriverNode(DriverNode):
    topic = "/franka"
    devices: ClassVar[dict[str, type]] = {"sim": FrankaTwin}

    def __init__(self) -> None:
        super().__init__("franka_driver")

    def robot(self) -> str:
        return "fr3"
