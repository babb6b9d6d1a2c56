"""The safety state machine and the guards on commands, as pure functions of stamped events.

    inactive --inputs_ready--> ready --start--> tracking --finish--> ready
    ready, tracking --stale | non_finite | object_lost | stop | ...--> holding --inputs_ready--> ready
    any --estop | dead_node | driver_fault | diverged | internal--> fault --reset--> inactive
    any but fault --unwatched--> inactive

Motion commands are accepted in `tracking` alone; everywhere else the arm holds its measured pose and the hand its last
valid target. `fault` is latched: only an explicit `reset` leaves it, and it leads to `inactive`, never straight back
into motion.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from dexhot.errors import NotFoundError
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns


class State(StrEnum):
    """Of the safety machine; the module draws its transitions."""

    INACTIVE = "inactive"
    READY = "ready"
    TRACKING = "tracking"
    HOLDING = "holding"
    FAULT = "fault"


class Event(StrEnum):
    """What can change the state."""

    INPUTS_READY = "inputs_ready"  # every stream is fresh, finite, and the object is seen
    START = "start"
    FINISH = "finish"  # the clip is over, or the rig was reset for the next one
    STOP = "stop"  # somebody asked to hold
    ENDING = "ending"  # a required node's process was asked to end
    STALE = "stale"
    NON_FINITE = "non_finite"
    CLOCK_STEP = "clock_step"  # stamps have jumped: what frame of the clip it is would be wrong
    OBJECT_LOST = "object_lost"
    OUT_OF_LIMITS = "out_of_limits"  # a joint is measured beyond its limits
    STRAINED = "strained"  # a joint works at its torque limit for too long
    HOT = "hot"  # a motor is nearly too warm
    FOREIGN = "foreign"  # a second node publishes what only one may
    LATE = "late"  # the supervisor itself was; the drivers have stopped without it
    ESTOP = "estop"
    DEAD_NODE = "dead_node"
    DRIVER_FAULT = "driver_fault"  # unplugged bus, overload, reflex
    DIVERGED = "diverged"  # a joint is not where it was told to be
    INTERNAL = "internal"  # an error in the supervisor itself
    UNWATCHED = "unwatched"  # the supervisor is deactivated
    RESET = "reset"


HOLD_EVENTS = (
    Event.STALE,
    Event.NON_FINITE,
    Event.CLOCK_STEP,
    Event.OBJECT_LOST,
    Event.OUT_OF_LIMITS,
    Event.STRAINED,
    Event.HOT,
    Event.FOREIGN,
    Event.LATE,
    Event.STOP,
    Event.ENDING,
)
FAULT_EVENTS = (Event.ESTOP, Event.DEAD_NODE, Event.DRIVER_FAULT, Event.DIVERGED, Event.INTERNAL)

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.INACTIVE, Event.INPUTS_READY): State.READY,
    (State.HOLDING, Event.INPUTS_READY): State.READY,
    (State.READY, Event.START): State.TRACKING,
    (State.TRACKING, Event.FINISH): State.READY,
    **{(State.READY, event): State.HOLDING for event in HOLD_EVENTS},
    **{(State.TRACKING, event): State.HOLDING for event in HOLD_EVENTS},
    **{(state, event): State.FAULT for state in State for event in FAULT_EVENTS},
    **{(state, Event.UNWATCHED): State.INACTIVE for state in State if state is not State.FAULT},
    (State.FAULT, Event.RESET): State.INACTIVE,
}


@dataclass
class SafetyMachine:
    """The present state, why it was entered, and how often each event has moved it."""

    state: State = State.INACTIVE
    reason: str = "not started"
    counts: dict[str, int] = field(default_factory=dict)

    def handle(self, event: Event, reason: str = "") -> bool:
        """Apply an event: True when the state changed. One without a place in the table changes nothing.

        The first reason of a fault stays until it is reset.
        """
        new = TRANSITIONS.get((self.state, event))
        if new is None or new is self.state:
            return False
        self.state, self.reason = new, reason or str(event)
        self.counts[event] = self.counts.get(event, 0) + 1
        return True

    @property
    def moving(self) -> bool:
        """Whether motion commands are accepted."""
        return self.state is State.TRACKING


@dataclass
class InputMonitor:
    """Watches the streams that tracking needs: each must bring finite values with a stamp younger than `max_age` s.

    Between two messages of a stream no more time may pass by their stamps than by our steady clock, `max_step` s aside.
    """

    streams: tuple[str, ...]
    max_age: float = 0.1
    max_step: float = 0.25
    stamps: dict[str, float] = field(default_factory=dict)
    finite: dict[str, bool] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)  # steady times
    step: str = ""  # of the clock, since the last check

    def see(self, stream: str, stamp: float, finite: bool = True, steady: float | None = None) -> None:
        """A message of `stream` with this stamp (s), at this steady time. Raises NotFoundError for one not watched."""
        if stream not in self.streams:
            raise NotFoundError("input stream", stream, self.streams)
        if steady is not None and stream in self.arrived:
            ahead = stamp - self.stamps[stream]
            if not -self.max_step < ahead < steady - self.arrived[stream] + self.max_step:
                self.step = f"the stamps of {stream} have jumped by {ahead:.2f} s: was a clock set?"
        if steady is not None:
            self.arrived[stream] = steady
        self.stamps[stream], self.finite[stream] = stamp, finite

    def check(self, now: float) -> tuple[Event, str]:
        """INPUTS_READY, or the first fault of a stream with its reason."""
        step, self.step = self.step, ""
        if step:
            return Event.CLOCK_STEP, step
        for stream in self.streams:
            if not self.finite.get(stream, True):
                return Event.NON_FINITE, f"{stream} is not finite"
        for stream in self.streams:
            if stream not in self.stamps:
                return Event.STALE, f"{stream} has not been seen"
            age = now - self.stamps[stream]
            if age > self.max_age:
                return Event.STALE, f"{stream} is {1e3 * age:.0f} ms old, the limit is {1e3 * self.max_age:.0f} ms"
            if age < -self.max_age:
                return Event.STALE, f"{stream} is stamped {-1e3 * age:.0f} ms in the future: are the clocks one?"
        return Event.INPUTS_READY, "all inputs are fresh"


@dataclass
class Limits:
    """Limits of a joint group; `apply` clamps a command and counts the entries it touched."""

    lower: np.ndarray  # (n,) rad
    upper: np.ndarray  # (n,) rad
    velocity: np.ndarray  # (n,) rad/s
    effort: np.ndarray  # (n,) N m
    clamped: int = 0

    @classmethod
    def of(cls, robot: str, velocity_scale: float = 1.0) -> "Limits":
        """Those of the joint table of `robot`, e.g. "leap_right" or "fr3"."""
        lower, upper, velocity, effort = columns(joint_table(robot), "lower", "upper", "velocity", "effort")
        return cls(lower, upper, velocity * velocity_scale, effort)

    def apply(self, command: np.ndarray, previous: np.ndarray, dt: float) -> np.ndarray:
        """`command` (n,) within the position limits and within velocity * dt of `previous`, the last command."""
        step = self.velocity * dt
        safe: np.ndarray = np.minimum(np.maximum(command, previous - step), previous + step)
        safe = np.minimum(np.maximum(safe, self.lower), self.upper)
        self.clamped += int((np.abs(safe - command) > 1e-9).sum())
        return safe


def freshness(age: float, max_age: float) -> str:
    """Why a command whose stamp is `age` s old must not be driven; "" when it may."""
    if age > max_age:
        return f"the command is {1e3 * age:.0f} ms old, the limit is {1e3 * max_age:.0f} ms"
    if age < -max_age:
        return f"the command's stamp lies {-1e3 * age:.0f} ms in the future: are the clocks synchronised?"
    return ""
