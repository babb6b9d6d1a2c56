"""The emergency stop buttons of a robot: that of the ROS domain, which stops every robot in it, and the robot's own.

Without a namespace both are the topic /safety/estop_input, and one button.
"""

from dexhot.data.topics import ESTOP_INPUT


class Buttons:
    """What is known of each button, by its topic: `own` is the robot's, ESTOP_INPUT the domain's."""

    def __init__(self, own: str, now: float):
        """`now`: steady time, s."""
        self.own = own
        self.topics = tuple(dict.fromkeys((ESTOP_INPUT, own)))
        self.heard = dict.fromkeys(self.topics, now)  # steady time of the last message, or of the start
        self.pressed: set[str] = set()

    def hear(self, topic: str, pressed: bool, now: float) -> None:
        """A message of a button."""
        self.heard[topic] = now
        (self.pressed.add if pressed else self.pressed.discard)(topic)

    def restart(self, now: float) -> None:
        """Silence counts from now on."""
        self.heard = dict.fromkeys(self.topics, now)

    def silent(self, now: float, domain: float, own: float) -> str:
        """The topic of a button that was silent for longer than its timeout (s; 0: it need not speak); else ""."""
        given = [(topic, timeout) for topic, timeout in ((ESTOP_INPUT, domain), (self.own, own)) if timeout]
        return next((topic for topic, timeout in given if now - self.heard[topic] > timeout), "")

    def named(self, topic: str) -> str:
        """How to call a button: by its topic where there are two."""
        return "the emergency stop" if len(self.topics) == 1 else f"the emergency stop on {topic}"
