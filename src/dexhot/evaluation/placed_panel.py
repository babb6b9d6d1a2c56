"""The panel of what a controller plays on a clip, with the clip placed where the arm reaches it."""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from dexhot.control.policy import OnnxNetwork, Policy
from dexhot.data.types import Reference
from dexhot.errors import UnreachableError
from dexhot.evaluation.panel import Panel, of_controller, of_demonstration, play_panel
from dexhot.evaluation.score import to_play
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.retargeting.placement import place
from dexhot.simulation.setup import Setup


class PlacedPanel:
    """The panel of motions on one reference, the object where it has it. The reference is placed where the arm reaches
    it, else it stays where it was recorded, and the arm's two worlds fail."""

    def __init__(self, reference: Reference, setup: Setup):
        self.recorded, self.setup = reference, setup
        self.known: dict[bytes, Panel] = {}  # of targets: kinematic and object-relative replay play the same here

    @cached_property
    def reference(self) -> Reference:
        """The placed one."""
        with suppress(UnreachableError):
            return self.recorded if len(self.recorded.arm_q) else place(self.recorded, self.setup.hand)
        return self.recorded

    def verdict(self, row: dict[str, Any], play: Callable[[], Panel]) -> dict[str, Any]:
        """`success_panel` of a row; where it is strict also `panel`, the verdict of each world. Without strict success
        nothing is played: the panel needs it."""
        if not row["success_strict"]:
            return {"success_panel": False}
        panel = play()
        return {"success_panel": panel.success, "panel": panel.as_json()}

    def of_targets(self, targets: np.ndarray) -> Panel:
        """Of targets (T, 6+n) that were made for the recorded reference."""
        if (key := targets.tobytes()) not in self.known:
            actions = carried(compose(self.reference.placement, inverse(self.recorded.placement)), targets)
            played = to_play(self.reference, actions, self.setup)
            self.known[key] = play_panel(of_demonstration(played, self.setup), self.setup)
        return self.known[key]

    def of_network(self, network: OnnxNetwork) -> Panel:
        """Of a network in the loop."""

        def make(reference: Reference) -> Policy:
            return Policy(reference, network, self.setup.asset, self.setup.physics)

        return play_panel(of_controller(make, self.reference), self.setup)


def carried(T: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hand vectors (T, 6+n) of a clip that is placed elsewhere: their angles are relative to its base rotation."""
    return np.concatenate([transform(T, q[:, :3]), q[:, 3:]], axis=1)
