"""Twin of the LEAP hand: position targets for its servos, which limit the torque."""

import numpy as np

from dexhot.rigs.embedded import ARM
from dexhot.rigs.twin import Twin


class LeapTwin(Twin):
    """The embedded rig's hand, with the benchmark physics' servo gains."""

    def __init__(self) -> None:
        super().__init__("hand", slice(ARM, None))

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Position targets (16,), rad. The servo takes no velocity or torque; the shaper's lead replaces them."""
        self.world.drive_hand(q)
        self.world.drive(self.name)

    def hold(self) -> None:
        """Keep the last valid target, so that a grasped object is not dropped."""
        self.world.rest(self.name)
