"""The Franka arm under a joint impedance tracker."""

import numpy as np

from dexhot.rigs.embedded import ARM
from dexhot.rigs.twin import Twin


class FrankaTwin(Twin):
    """The arm of the embedded rig, under the impedance of the benchmark physics and the limits of the real driver."""

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
