"""The clutch of teleoperation: when the operator's hand moves the robot.

It engages only while the supervisor tracks and the hand is steady, by a switch's press or the open hand held still. A
lost hand, a hold or the switch releases it, and it must be engaged anew: a switch that stays pressed does not engage.
"""

from dataclasses import dataclass

import numpy as np

from dexhot.data.types import RATE

MODES = ("switch", "gesture", "auto")  # gesture: the switch works too; auto: a steady hand, for simulated rigs
NOT_YET = "not engaged yet"
MOVED = 0.03  # m that the wrist of a gesture may move


@dataclass
class Clutch:
    """Call `step` once per tick."""

    mode: str = "switch"
    hold: float = 1.0  # s that a gesture, or a steady hand with auto, is held before it engages
    engaged: bool = False
    reason: str = NOT_YET  # why it is not engaged
    wanted: bool = False  # the switch was pressed and waits for this tick
    count: int = 0  # times that it has engaged

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A new start: released, and what was pressed before does not count."""
        self.engaged, self.wanted, self.reason = False, False, NOT_YET
        self.held, self.armed = 0, True
        self.place: np.ndarray | None = None  # of the wrist when the gesture began

    def switch(self, pressed: bool, moving: bool) -> str:
        """The switch changed; returns why a press has no effect, or ""."""
        if not pressed:
            self.release("released by the switch")
            return ""
        if not moving:
            return "the clutch engages only while tracking: call /safety/start first"
        self.wanted = True
        return ""

    def step(self, problem: str, steady: bool, gesture: bool, wrist: np.ndarray | None) -> bool:
        """`problem`: why the hand may not drive; `gesture`: the hand is open; `wrist` (3,) m.
        Returns whether it engaged now."""
        wanted, self.wanted = self.wanted, False
        if problem:
            self.release(problem)
            self.held = 0
            if wanted:
                self.reason = f"not engaged: {problem}"
            return False
        if self.engaged:
            return False
        if wanted and not steady:
            self.wanted = True  # in a moment
            return False
        if not (wanted or (steady and self._held(gesture, wrist))):
            return False
        self.engaged, self.reason, self.armed, self.held = True, "", False, 0
        self.count += 1
        return True

    def _held(self, gesture: bool, wrist: np.ndarray | None) -> bool:
        """Whether a gesture has been held long enough; one that engaged, or lasts since a release, must end first."""
        if self.mode == "switch" or wrist is None:
            return False
        if self.mode == "gesture" and not gesture:
            self.held, self.armed = 0, True
            return False
        if self.mode == "gesture" and not self.armed:
            return False
        if self.held == 0 or self.place is None or np.linalg.norm(wrist - self.place) > MOVED:
            self.held, self.place = 0, wrist.copy()
        self.held += 1
        return self.held > self.hold * RATE or self.mode == "auto"

    def release(self, why: str) -> None:
        """Release it, if it is engaged."""
        if self.engaged:
            self.engaged, self.reason, self.held = False, why, 0
