"""The LEAP hand's driver: /leap/command in, /leap/joint_states out."""

from typing import ClassVar

from dexhot.data.files import load
from dexhot.data.types import Reference
from dexhot.hardware.leap import LeapTwin
from dexhot.nodes.driver import DriverNode


class LeapDriverNode(DriverNode):
    topic = "/leap"
    devices: ClassVar[dict[str, type]] = {"sim": LeapTwin}

    def __init__(self) -> None:
        super().__init__("leap_driver")

    def robot(self) -> str:
        return load(self.p.reference, Reference).hand
