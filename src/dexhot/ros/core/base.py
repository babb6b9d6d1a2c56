"""The base of every node: features that rclpy's lifecycle nodes lack.

    class ShaperNode(DexhotNode):
        def __init__(self) -> None:
            super().__init__("shaper")                       # parameters: config/nodes/shaper.yaml

        def setup(self) -> None:                             # configure: self.p is set; raise DexhotError to refuse
            self.command = self.advertise(JointState, "/leap/command", "command")
            self.subscribe(JointState, "/tracker/target", self.on_target, "command")
            self.delay = self.latency("target_to_command")

        def start(self) -> None: ...                         # activate: publishers are open, callbacks not yet
        def on_target(self, message: JointState) -> None: ...  # only while active; an exception becomes a fault
        def stop(self) -> None: ...                          # deactivate or fault: callbacks closed, publishers open
        def teardown(self) -> None: ...                      # cleanup; entities of `advertise` etc. are destroyed
        automatically

All four are optional; managed.py handles their exceptions. rclpy gates only publishers: this base gates subscriptions
and loops too.
Topics and services are named as in data/topics.py and are in the node's namespace, except those shared by the domain.
Stamps are ROS time (`stamp`, `now`); loops and latencies use the monotonic clock. The node that detects that the work
is done calls `finish`: its process ends with exit code 0 and the bring-up shuts everything down.

For exact replay the controller is a function of its parameters and of the messages passed to its callbacks, in order:
it is `journaled`, draws from a seeded generator, uses sample counts rather than time budgets, and reads no clock.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecyclePublisher, LifecycleState
from rclpy.parameter import Parameter
from rclpy.time import Time as RosTime
from rclpy.timer import Timer
from std_msgs.msg import Header

from dexhot.data.diagnostics import status_name
from dexhot.data.topics import DIAGNOSTICS, HEARTBEAT, relative
from dexhot.ros.core import parameters
from dexhot.ros.core.diagnostics import NO_HARDWARE, Histogram, ProcessMonitor, TickMonitor, status
from dexhot.ros.core.managed import ManagedNode
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.ros.core.refusals import Refusals, RefusedError
from dexhot.ros.core.speakers import Speakers


class DexhotNode(ManagedNode):
    """A lifecycle node with described parameters, gated callbacks, measured loops, diagnostics and a heartbeat."""

    journaled = False  # True: publish the callbacks' inputs, in order, on /<node>/inputs (see `subscribe`)

    def __init__(self, name: str, schema: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.schema = parameters.load_schema(schema or name)
        parameters.declare(self, self.schema)
        self.add_on_set_parameters_callback(self._validate)
        self.add_post_set_parameters_callback(self._reload)
        self.p = SimpleNamespace()
        self.values: dict[str, object] = {}  # a node's own diagnostic values
        self.warnings: dict[str, str] = {}  # key -> message; any entry sets the diagnostics to WARN
        self.hardware_id = NO_HARDWARE  # serial number or address of a device
        self.refusals = Refusals()
        self.ending = ""  # reason why its process is about to end, so that others do not report it as dead
        self.speakers = Speakers(self)
        self.finished = ""  # reason why this node's process may end
        self.exit_code = 0
        self._loops: dict[str, tuple[Any, TickMonitor]] = {}
        self._latencies: dict[str, Histogram] = {}
        self._full: dict[str, str] = {}  # topic -> its name in the ROS graph
        self._made: list[tuple[Callable[..., Any], Any]] = []  # (destroy, entity) of entities made in setup
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._process = ProcessMonitor()
        self._journal: LifecyclePublisher | None = None
        self._entry: Any = (
            None  # the journal's message, filled anew for each input: making one costs as much as sending
        )
        self.read_clock: Callable[[], None] = lambda: None  # brings ROS time up to date (ros/core/sim_time.py)
        self._diagnostics = self.create_publisher(DiagnosticArray, relative(DIAGNOSTICS), publish_profile("state"))
        self._heartbeat = self.create_publisher(Header, relative(HEARTBEAT), publish_profile("state"))
        rates = [self.get_parameter(f"{kind}_rate").value for kind in ("diagnostics", "heartbeat")]
        self._every(1.0 / rates[0], self.publish_diagnostics)
        self._every(1.0 / rates[1], self._beat)

    def alive(self) -> bool:
        """Whether to publish a heartbeat; a node that is active but not ready yet may withhold it."""
        return self.active

    # For use in subclasses

    def now(self) -> float:
        """ROS time in seconds."""
        return self._ros_time().nanoseconds * 1e-9

    def stamp(self) -> Time:
        """ROS time as a message's stamp."""
        return self._ros_time().to_msg()

    def _ros_time(self) -> RosTime:
        try:
            self.read_clock()
        except Exception as e:  # rclpy's, of a /clock before zero
            self.refuse_message("rclpy", f"{type(e).__name__}: {e}")
        return self.get_clock().now()

    def advertise(self, msg_type: type, topic: str, qos: str = "sensor") -> LifecyclePublisher:
        """A publisher that is open while the node is active. `qos`: a name in ros/core/qos.py."""
        publisher: LifecyclePublisher = self.create_lifecycle_publisher(msg_type, relative(topic), publish_profile(qos))
        self._made.append((self.destroy_lifecycle_publisher, publisher))
        return publisher

    def obey(self, msg_type: type, topic: str, callback: Callable[..., Any], qos: str = "sensor") -> None:
        """Subscribe to a topic that controls motion: only its authorized publisher is accepted (ros/core/speakers.py).

        A node that must also stop by itself checks `speakers.first()`.
        """
        self.speakers.watch(topic)
        self.subscribe(msg_type, topic, callback, qos)

    def subscribe(
        self, msg_type: type, topic: str, callback: Callable[..., Any], qos: str = "sensor", quiet: bool = False
    ) -> None:
        """Call `callback(message)` while the node is active; its exception is a fault, except RefusedError, which
        rejects only the message, with a count and a warning (ros/core/refusals.py).

        A `journaled` node first publishes a reference to every message on /<node>/inputs (TimeReference: source =
        topic, stamp and time_ref = the message's), so that a replay can feed the same inputs in the same
        order; such messages must have a header.

        quiet: no warning about publishers that offer less than `qos`, if another subscription receives them.
        """
        if self.journaled and self._journal is None:
            from sensor_msgs.msg import TimeReference  # 29 modules, which not every node needs

            self._journal = self.advertise(TimeReference, f"/{self.get_name()}/inputs", "state")
            self._entry = TimeReference()

        def gated(message: Any) -> None:
            if not self.active:
                return
            if topic in self.speakers.topics and (why := self.speakers.against(topic, message)):
                return self.refuse_message(topic, why)
            if self._journal is not None:
                entry, stamp = self._entry, message.header.stamp
                entry.header.stamp, entry.time_ref, entry.source = stamp, stamp, topic
                self._journal.publish(entry)
            self.hear(topic, callback, message)

        events = SubscriptionEventCallbacks(use_default_callbacks=not quiet)
        profile = subscribe_profile(qos)
        subscription = self.create_subscription(msg_type, relative(topic), gated, profile, event_callbacks=events)
        self._made.append((self.destroy_subscription, subscription))

    def hear(self, topic: str, callback: Callable[..., Any], message: Any) -> None:
        """Pass `message` to `callback`; a rejected message has no effect."""
        try:
            callback(message)
        except RefusedError as e:
            self.refuse_message(topic, str(e))
        except Exception as e:
            self.failed(callback, e)

    def refuse_message(self, topic: str, why: str) -> None:
        """Count and report a rejected message."""
        if self.refusals.add(topic, why, time.monotonic()):
            self.get_logger().warning(self.refusals.why(topic))

    def loop(self, rate_hz: float, callback: Callable[[], None], name: str = "loop") -> None:
        """Call `callback()` at `rate_hz` (monotonic clock) while active, and measure lateness and overruns.

        Only the rig (or the hand driver) ticks at 60 Hz; other nodes are driven by messages, and their loops are
        watchdogs.
        """
        monitor = TickMonitor(1.0 / rate_hz)

        def tick() -> None:
            if not self.active:
                return
            begin = time.monotonic()
            monitor.tick(begin)
            self.guarded(callback)
            monitor.done(time.monotonic() - begin)

        timer = self._every(monitor.period, tick, autostart=False)
        self._loops[name] = (timer, monitor)
        self._made.append((self.destroy_timer, timer))

    def _every(self, period: float, callback: Callable[[], None], autostart: bool = True) -> Timer:
        """A timer on the monotonic clock that is called once when it is due.

        The events executor of rclpy 7.1.5 queues a timer that is due again and again while callbacks keep it busy, and
        each call puts the next one off by a period: dozens at once, then silence for as many periods (20 s, measured).
        """

        def due() -> None:
            left = timer.time_until_next_call()  # ns; None: cancelled
            if left is not None and left > 1.01e9 * period:  # put off by a surplus call
                timer.reset()
            else:
                callback()

        timer: Timer = self.create_timer(period, due, clock=self._steady, autostart=autostart)
        return timer

    def latency(self, name: str) -> Histogram:
        """A histogram of durations, published with the diagnostics: `self.latency("step").add(seconds)`."""
        return self._latencies.setdefault(name, Histogram())

    def serve(self, srv_type: type, name: str, callback: Callable[..., Any]) -> None:
        """Serve `callback(request, response) -> response` while configured; its exception is a fault."""

        def guarded(request: Any, response: Any) -> Any:
            answer = self.guarded(callback, request, response)
            return response if answer is None else answer

        self._made.append((self.destroy_service, self.create_service(srv_type, relative(name), guarded)))

    def client(self, srv_type: type, name: str) -> Client:
        """A client of a service; its replies are futures, which no callback may wait for."""
        client = self.create_client(srv_type, relative(name))
        self._made.append((self.destroy_client, client))
        return client

    def absolute(self, node: str) -> str:
        """The full name of another node in our namespace, unless it is given with its own."""
        return node if node.startswith("/") else f"{self.namespace}/{node}"

    @property
    def namespace(self) -> str:
        """Our namespace, such as "/robot1"; "" for none."""
        return self.get_namespace().rstrip("/")

    def full(self, topic: str) -> str:
        """The name of a topic of data/topics.py in the ROS graph, expanded and remapped."""
        if topic not in self._full:
            self._full[topic] = self.resolve_topic_name(relative(topic))
        return self._full[topic]

    def finish(self, reason: str, code: int = 0) -> None:
        """End the node's work: its process exits with `code`, and the whole graph shuts down."""
        if not self.finished:
            self.get_logger().info(f"finished: {reason}")
            self.finished, self.exit_code = reason, code

    # Lifecycle

    def _configure(self, state: LifecycleState) -> None:
        self.p = parameters.values(self, self.schema)
        super()._configure(state)

    def _activate(self, state: LifecycleState) -> None:
        super()._activate(state)
        for timer, monitor in self._loops.values():
            monitor.restart(time.monotonic())
            timer.reset()
        for histogram in self._latencies.values():
            histogram.reset()

    def _close(self) -> None:
        super()._close()
        for timer, _ in self._loops.values():
            timer.cancel()

    def _destroy_entities(self) -> None:
        for destroy, entity in reversed(self._made):
            destroy(entity)
        self._made.clear()
        self._loops.clear()
        self._latencies.clear()
        self.speakers.forget()
        self._journal = None

    # Parameters

    def _validate(self, changed: list[Parameter]) -> SetParametersResult:
        reason = parameters.refusal(self.schema, changed, configured=self.state in ("inactive", "active"))
        return SetParametersResult(successful=not reason, reason=reason)

    def _reload(self, changed: list[Parameter]) -> None:
        if self.state in ("inactive", "active"):
            self.p.__dict__.update({p.name: p.value for p in changed if p.name in self.schema})

    # Diagnostics

    def publish_diagnostics(self) -> None:
        """Publish one message with the statuses of the node (first; ERROR on a fault, WARN with warnings, else OK), of
        each loop, of the latencies and of the process.
        """
        level, message = DiagnosticStatus.OK, self.state if self.active else f"{self.state}: {self.resting}"
        if warnings := [*self.warnings.values(), *self.refusals.warnings(time.monotonic())]:
            level, message = DiagnosticStatus.WARN, "; ".join(warnings)
        if self.fault_reason:
            level, message = DiagnosticStatus.ERROR, self.fault_reason
        found: dict[str, object] = {"state": self.state, **self.refusals.values(), **self.values}
        if self.ending:
            found["ending"] = self.ending
        tasks: list[tuple[str, bytes, str, dict[str, object]]] = [("state", level, message, found)]
        for loop, (_, monitor) in self._loops.items():
            tasks.append((f"{loop} loop", *monitor.judge(), monitor.values(loop, time.monotonic())))
        measured = {k: v for name, histogram in self._latencies.items() for k, v in histogram.values(name).items()}
        if measured:
            tasks.append(("latency", DiagnosticStatus.OK, "", measured))
        tasks.append(("process", DiagnosticStatus.OK, "", self._process.values()))
        array = DiagnosticArray(
            status=[
                status(status_name(self.get_name(), task), judged, text, values, self.hardware_id)
                for task, judged, text, values in tasks
            ]
        )
        array.header.stamp = self.stamp()
        self._diagnostics.publish(array)

    def _beat(self) -> None:
        """Publish /heartbeat while alive and active; it stops with the process, executor or node."""
        if self.alive():
            self._heartbeat.publish(Header(stamp=self.stamp(), frame_id=self.get_name()))
