"""The LEAP hand. Position targets go to its own PD; torque is limited by the hand."""

import numpy as np

from dexhot.rigs.embedded import ARM
from dexhot.rigs.twin import Twin


class LeapTwin(Twin):
    """The hand of the embedded rig, its fingers servoed with the benchmark physics' gains."""

    def __init__(self) -> None:
        super().__init__("hand", slice(ARM, None))

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Position targets (16,), rad. The servo takes no velocity or torque: the shaper's lead stands in for them."""
        self.world.drive_hand(q)
        self.world.drive(self.name)

    def hold(self) -> None:
        """Keep the last valid target, so that a held object is not dropped."""
        self.world.rest(self.name)
