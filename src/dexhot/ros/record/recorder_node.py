"""Records every topic of the graph to an MCAP bag: serialized bytes as received, ordered by receive time.

In a namespace: its topics and the shared ones of the ROS domain; other robots have their own recorders.

It publishes a heartbeat only when every required node is active and no new topic has appeared for a while: a supervisor
that waits for it starts only when everything is recorded.
"""

import time
from collections.abc import Callable

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from std_msgs.msg import Header

from dexhot.data.bags import BagWriter, typestore
from dexhot.data.topics import HEARTBEAT, LIFE, SHARED
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.intake import make_intake, take
from dexhot.ros.core.message_class import message_class
from dexhot.ros.core.names import RECORDER

TAKE_RATE = 20.0  # Hz
SETTLED = 0.5  # s without a new topic
DEPTH = 1000  # queue depth, messages
LAST_WORDS = 1.0  # s, longest wait for other nodes' last messages at the end
Keep = Callable[[int, bytes], None]  # arguments: receive time, ns, and serialized message


class RecorderNode(DexhotNode):
    """Takes messages from the middleware's queues, and writes them every `flush_period`.

    The subscriptions belong to a hidden node that no executor waits for (ros/core/intake.py).
    """

    def __init__(self, name: str = "recorder") -> None:
        super().__init__(name)

    def setup(self) -> None:
        self.bag = BagWriter(self.p.bag)
        self.intake = make_intake(RECORDER, self.get_namespace())
        self.shared, self.heartbeat = set(map(self.full, SHARED)), self.full(HEARTBEAT)
        self.open: dict[str, tuple[Subscription, Keep]] = {}
        self.pending: list[tuple[int, Connection, bytes]] = []
        self.latest = self.whole = 0  # receive times: of the newest message; and up to which every topic is complete
        self.recorded: set[str] = set(map(self.full, self.p.exclude))
        self.heard: set[str] = set()
        self.newest = time.monotonic()
        self.loop(self.p.discovery_rate, self.discover, "discovery")
        self.loop(TAKE_RATE, self.take, "take")
        self.loop(1.0 / self.p.flush_period, self.write, "flush")

    def teardown(self) -> None:
        if hasattr(self, "bag"):
            if not self.finished:
                self.outlast()
            self.take()
            self.whole = self.latest
            self.write()
            self.bag.close()
            self.intake.destroy_node()
            self.get_logger().info(f"{self.bag.count} messages in {self.bag.path}")
            del self.bag

    def discover(self) -> None:
        """Subscribe to topics that have publishers and are not recorded yet."""
        for topic, types in self.get_topic_names_and_types():
            if topic in self.recorded or not self.ours(topic) or not self.get_publishers_info_by_topic(topic):
                continue
            self.recorded.add(topic)
            if types[0] not in typestore().fielddefs:
                self.warnings[topic] = f"{topic} is not recorded: its type {types[0]} is not a standard one"
                continue
            self.record(topic, types[0])
            self.newest = time.monotonic()

    def ours(self, topic: str) -> bool:
        """Whether a topic is in our namespace, or shared."""
        return topic.startswith(f"{self.namespace}/") or topic in self.shared

    def record(self, topic: str, msgtype: str) -> None:
        """Record `topic` with its publishers' QoS, requesting no more than all of them offer."""
        offered = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
        reliable = all(q.reliability == QoSReliabilityPolicy.RELIABLE for q in offered)
        latched = all(q.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL for q in offered)
        asked = QoSProfile(
            history=QoSHistoryPolicy.KEEP_LAST,
            depth=DEPTH,
            reliability=QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT,
            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
        )
        keep = self.keeper(topic, msgtype, tuple(bag_qos(q) for q in offered))
        subscription = self.intake.create_subscription(message_class(msgtype), topic, lambda _: None, asked, raw=True)
        self.open[topic] = subscription, keep

    def keeper(self, topic: str, msgtype: str, qos: tuple[Qos, ...]) -> Keep:
        """Handler of a topic's messages: writes them to the bag."""
        connection = self.bag.topic(topic, msgtype, qos)
        return lambda received, data: self.pending.append((received, connection, data))

    def take(self) -> None:
        """Take all new messages from the middleware's queues."""
        self.whole = self.latest  # everything received before the end of the last pass is taken in this one
        for topic, (subscription, keep) in self.open.items():
            for data, info in take(subscription, raw=True):
                self.latest = max(self.latest, info["received_timestamp"])
                keep(info["received_timestamp"], data)
                if topic == self.heartbeat and subscription.msg_type is Header and not self.complete():
                    self.heard.add(deserialize_message(data, Header).frame_id)

    def outlast(self) -> None:
        """Take until all publishers have stopped: the last commands must not be missing."""
        deadline, more = time.monotonic() + LAST_WORDS, True
        while more:
            more = self.others_publish() and time.monotonic() < deadline
            time.sleep(1.0 / TAKE_RATE)
            self.take()

    def others_publish(self) -> bool:
        """Whether a recorded topic other than LIFE still has publishers."""
        return any(self.get_publishers_info_by_topic(topic) for topic in self.open if not topic.endswith(LIFE))

    def complete(self) -> bool:
        """Whether every required node has published a heartbeat."""
        return self.heard >= set(self.p.required_nodes) - {self.get_name()}

    def alive(self) -> bool:
        """Whether all topics are being recorded."""
        return super().alive() and self.complete() and time.monotonic() - self.newest > SETTLED

    def write(self) -> None:
        """Write new messages to disk.

        Topics are taken one by one, so a pass may see a command before the input that caused it. Messages newer than
        the last pass wait for the next: even after a kill the bag has the input of each command.
        """
        ready = [item for item in self.pending if item[0] <= self.whole]
        self.pending = [item for item in self.pending if item[0] > self.whole]
        for time_ns, connection, data in sorted(ready, key=lambda item: item[0]):
            self.bag.write(connection, time_ns, data)
        self.bag.flush()
        self.values["messages"] = self.bag.count


def bag_qos(q: QoSProfile) -> Qos:
    """A ROS profile in the format of metadata.yaml; the enumerations have the same numbers."""
    times = [
        QosTime(*divmod(t.nanoseconds, 1_000_000_000)) for t in (q.deadline, q.lifespan, q.liveliness_lease_duration)
    ]
    return Qos(
        QosHistory(q.history.value),
        q.depth,
        QosReliability(q.reliability.value),
        QosDurability(q.durability.value),
        times[0],
        times[1],
        QosLiveliness(q.liveliness.value),
        times[2],
        False,
    )
