"""The emergency stop buttons of a robot: that of the ROS domain, which stops every robot in it, and the robot's own.

Without a namespace both are the topic /safety/estop_input, and one button.
"""

from dexhot.data.topics import ESTOP_INPUT


class Buttons:
    """State of each button, by its topic: `own` is the robot's, ESTOP_INPUT the domain's."""

    def __init__(self, own: str, now: float):
        """`now`: monotonic time, s."""
        self.own = own
        self.topics = tuple(dict.fromkeys((ESTOP_INPUT, own)))
        self.heard = dict.fromkeys(self.topics, now)  # monotonic time of the last message, or of the start
        self.pressed: set[str] = set()

    def hear(self, topic: str, pressed: bool, now: float) -> None:
        """Process a button's message."""
        self.heard[topic] = now
        (self.pressed.add if pressed else self.pressed.discard)(topic)

    def restart(self, now: float) -> None:
        """Restart the silence timeouts."""
        self.heard = dict.fromkeys(self.topics, now)

    def silent(self, now: float, domain: float, own: float) -> str:
        """The topic of a button that was silent for longer than its timeout (s; 0: no timeout); else ""."""
        given = [(topic, timeout) for topic, timeout in ((ESTOP_INPUT, domain), (self.own, own)) if timeout]
        return next((topic for topic, timeout in given if now - self.heard[topic] > timeout), "")

    def named(self, topic: str) -> str:
        """Name of a button, with its topic if there are two."""
        return "the emergency stop" if len(self.topics) == 1 else f"the emergency stop on {topic}"
