"""The safety state machine, a pure function of events.

    inactive --inputs_ready--> ready --start--> tracking --finish--> ready
    ready, tracking --stale | non_finite | object_lost | stop | ...--> holding --inputs_ready--> ready
    any --estop | dead_node | driver_fault | diverged | internal--> fault --reset--> inactive
    any but fault --unwatched--> inactive

Motion commands are accepted only in `tracking`; in all other states the arm holds its measured pose and the hand its
last valid target. `fault` is latched: only an explicit `reset` leaves it, to `inactive`, never directly back to motion.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """States of the safety machine; the module's docstring shows the transitions."""

    INACTIVE = "inactive"
    READY = "ready"
    TRACKING = "tracking"
    HOLDING = "holding"
    FAULT = "fault"


class Event(StrEnum):
    """Events that can change the state."""

    INPUTS_READY = "inputs_ready"  # every stream is fresh, finite, and the object is seen
    START = "start"
    FINISH = "finish"  # the clip has ended, or the rig was reset for the next one
    STOP = "stop"  # a hold was requested
    ENDING = "ending"  # a required node's process is ending
    STALE = "stale"
    NON_FINITE = "non_finite"
    CLOCK_STEP = "clock_step"  # stamps have jumped: the clip's frame index would be wrong
    OBJECT_LOST = "object_lost"
    OUT_OF_LIMITS = "out_of_limits"  # a joint is measured beyond its limits
    STRAINED = "strained"  # a joint is torque-saturated for too long
    HOT = "hot"  # a motor exceeds its temperature limit
    FOREIGN = "foreign"  # an unauthorized second publisher
    UNPREPARED = "unprepared"  # the controller has no plan for where the object is
    LATE = "late"  # the supervisor itself was late; the drivers have stopped already
    ESTOP = "estop"
    DEAD_NODE = "dead_node"
    DRIVER_FAULT = "driver_fault"  # unplugged bus, overload, reflex
    DIVERGED = "diverged"  # a joint's tracking error is too large
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
    Event.UNPREPARED,
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
    """The current state, its reason, and how often each event has changed it."""

    state: State = State.INACTIVE
    reason: str = "not started"
    counts: dict[str, int] = field(default_factory=dict)

    def handle(self, event: Event, reason: str = "") -> bool:
        """Apply an event: True if the state changed. An event that is not in the table has no effect.

        The first reason of a fault is kept until it is reset.
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
