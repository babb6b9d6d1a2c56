"""Twin of the Franka arm with its joint impedance tracker."""

import numpy as np

from dexhot.rigs.embedded import ARM
from dexhot.rigs.twin import Twin


class FrankaTwin(Twin):
    """The embedded rig's arm, with the benchmark physics' impedance and the real driver's limits."""

    def __init__(self) -> None:
        super().__init__("arm", slice(0, ARM))

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Targets (7,), rad and rad/s, and feed-forward torques, N m."""
        self.world.drive_arm(q, qd, effort)
        self.world.drive(self.name)

    def hold(self) -> None:
        """Stay at the measured pose."""
        self.world.rest_arm()
        self.world.rest(self.name)
