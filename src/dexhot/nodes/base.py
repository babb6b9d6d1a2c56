"""The base of every node: what rclpy's lifecycle nodes leave out.

    class ShaperNode(DexhotNode):
        def __init__(self) -> None:
            super().__init__("shaper")                       # parameters: config/nodes/shaper.yaml

        def setup(self) -> None:                             # configure: self.p is there; raise DexhotError to refuse
            self.command = self.advertise(JointState, "/leap/command", "command")
            self.subscribe(JointState, "/tracker/target", self.on_target, "command")
            self.delay = self.latency("target_to_command")

        def start(self) -> None: ...                         # activate: publishers are open, callbacks not yet
        def on_target(self, message: JointState) -> None: ...  # only while active; an exception becomes a fault
        def stop(self) -> None: ...                          # deactivate or fault: callbacks closed, publishers open
        def teardown(self) -> None: ...                      # cleanup; what `advertise` etc. made goes by itself

Each of the four may be absent. rclpy swallows exceptions of transition callbacks, gates only publishers, and has no
way to raise an error from ACTIVE: this base logs them, gates subscriptions and loops, and deactivates on `fault`.
Stamps are ROS time (`stamp`, `now`); loops and latencies are steady time. The node that knows that the work is done
calls `finish`: its process ends with exit code 0 and the bring-up takes everything down.

For exact replay the controller is a function of its parameters and of the messages its callbacks are given, in order:
it is `journaled`, draws from a seeded generator, uses sample counts rather than time budgets, and reads no clock.
"""

import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import Header

from dexhot.errors import DexhotError
from dexhot.nodes import parameters
from dexhot.nodes.claim import Claim
from dexhot.nodes.diagnostics import Histogram, ProcessMonitor, TickMonitor, status_message
from dexhot.nodes.qos import publish_profile, subscribe_profile

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class DexhotNode(LifecycleNode):
    """A lifecycle node with described parameters, gated callbacks, measured loops, diagnostics and a heartbeat."""

    journaled = False  # True: publish on /<node>/inputs what the callbacks were given, in order (see `subscribe`)

    def __init__(self, name: str, schema: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.schema = parameters.load_schema(schema or name)
        parameters.declare(self, self.schema)
        self.add_on_set_parameters_callback(self._validate)
        self.add_post_set_parameters_callback(self._reload)
        self.p = SimpleNamespace()
        self.values: dict[str, object] = {}  # a node's own diagnostic values
        self.warnings: dict[str, str] = {}  # key -> what; any makes the diagnostics WARN
        self.fault_reason = ""
        self.finished = ""  # why this node's process may end
        self.exit_code = 0
        self.active = False
        self._loops: dict[str, tuple[Any, TickMonitor]] = {}
        self._latencies: dict[str, Histogram] = {}
        self._made: list[tuple[Callable, Any]] = []  # (destroy, entity) of what setup made
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._process = ProcessMonitor()
        self._journal: LifecyclePublisher | None = None
        self._claim: Claim | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", publish_profile("state"))
        self._heartbeat = self.create_publisher(Header, "/heartbeat", publish_profile("state"))
        rates = [self.get_parameter(f"{kind}_rate").value for kind in ("diagnostics", "heartbeat")]
        self.create_timer(1.0 / rates[0], self.publish_diagnostics, clock=self._steady)
        self.create_timer(1.0 / rates[1], self._beat, clock=self._steady)

    # What subclasses implement

    def setup(self) -> None:
        """Configure: read `self.p`, load files, make publishers, subscriptions, loops and services."""

    def start(self) -> None:
        """Activate: publishers are open; loops and subscriptions open after it returns."""

    def stop(self) -> None:
        """Deactivate, also on a fault: loops and subscriptions are closed, publishers still open for a last message."""

    def teardown(self) -> None:
        """Clean up or shut down: give back what setup took (files, threads, devices)."""

    def alive(self) -> bool:
        """Whether to give a heartbeat; a node that is active but not ready yet may hold it back."""
        return self.active

    # What subclasses use

    def now(self) -> float:
        """ROS time in seconds."""
        return self.get_clock().now().nanoseconds * 1e-9

    def stamp(self) -> Time:
        """ROS time as a message's stamp."""
        return self.get_clock().now().to_msg()

    def advertise(self, msg_type: type, topic: str, qos: str = "sensor") -> LifecyclePublisher:
        """A publisher that is open while the node is active. `qos`: a name in nodes/qos.py."""
        publisher = self.create_lifecycle_publisher(msg_type, topic, publish_profile(qos))
        self._made.append((self.destroy_lifecycle_publisher, publisher))
        return publisher

    def subscribe(self, msg_type: type, topic: str, callback: Callable, qos: str = "sensor") -> None:
        """Call `callback(message)` while the node is active; its exception is a fault.

        Of a `journaled` node every message is first named on /<node>/inputs (Header: frame_id = topic, stamp = that of
        the message), so that a replay can feed the same inputs in the same order; such messages must have a header.
        """
        if self.journaled and self._journal is None:
            self._journal = self.advertise(Header, f"/{self.get_name()}/inputs", "state")

        def gated(message: Any) -> None:
            if not self.active:
                return
            if self._journal is not None:
                self._journal.publish(Header(stamp=getattr(message, "header", message).stamp, frame_id=topic))
            self._guarded(callback, message)

        subscription = self.create_subscription(msg_type, topic, gated, subscribe_profile(qos))
        self._made.append((self.destroy_subscription, subscription))

    def loop(self, rate_hz: float, callback: Callable[[], None], name: str = "loop") -> None:
        """Call `callback()` at `rate_hz` of steady time while active, and measure lateness and overruns.

        Only the rig (or the hand driver) ticks at 60 Hz; others run on arriving messages, their loops are watchdogs.
        """
        monitor = TickMonitor(1.0 / rate_hz)

        def tick() -> None:
            if not self.active:
                return
            begin = time.monotonic()
            monitor.tick(begin)
            self._guarded(callback)
            monitor.done(time.monotonic() - begin)

        timer = self.create_timer(monitor.period, tick, clock=self._steady, autostart=False)
        self._loops[name] = (timer, monitor)
        self._made.append((self.destroy_timer, timer))

    def latency(self, name: str) -> Histogram:
        """A histogram of durations, published with the diagnostics: `self.latency("step").add(seconds)`."""
        return self._latencies.setdefault(name, Histogram())

    def serve(self, srv_type: type, name: str, callback: Callable) -> None:
        """Serve `callback(request, response) -> response` while configured; its exception is a fault."""

        def guarded(request: Any, response: Any) -> Any:
            answer = self._guarded(callback, request, response)
            return response if answer is None else answer

        self._made.append((self.destroy_service, self.create_service(srv_type, name, guarded)))

    def client(self, srv_type: type, name: str) -> Client:
        """A client of a service; its answers are futures, which no callback may wait for."""
        client = self.create_client(srv_type, name)
        self._made.append((self.destroy_client, client))
        return client

    def absolute(self, node: str) -> str:
        """The name of another node with our namespace."""
        return f"{self.get_namespace().rstrip('/')}/{node}"

    def fault(self, reason: str) -> None:
        """Something is wrong beyond repair here: log it, tell /diagnostics, deactivate (which calls `stop`).

        Latched: the ERROR stays until the node is activated again.
        """
        if self.fault_reason:
            return
        self.fault_reason = reason
        self.get_logger().error(f"fault: {reason}")
        if self.active:
            self.trigger_deactivate()
        self.publish_diagnostics()

    def finish(self, reason: str, code: int = 0) -> None:
        """The node's work is done: its process ends with exit code `code`, and with it the whole graph."""
        if not self.finished:
            self.get_logger().info(f"finished: {reason}")
            self.finished, self.exit_code = reason, code

    # Lifecycle

    def destroy_node(self) -> None:
        """Also the state machine, which rclpy forgets: it would keep the participant until the collector comes by."""
        if self._claim is not None:
            self._claim.release()
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    @property
    def state(self) -> str:
        """unconfigured, inactive, active or finalized."""
        return self._state_machine.current_state[1]

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, state, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._transition("activate", self._activate, state, undo=self._abort)
        self.publish_diagnostics()  # who asked for it should not have to wait for the next ones
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close()
        self._transition("deactivate", self.stop)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self.active:
            self.on_deactivate(state)
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return SUCCESS

    def _configure(self, state: LifecycleState) -> None:
        self.fault_reason = ""
        self._claim = Claim(self.get_fully_qualified_name())
        self.p = parameters.values(self, self.schema)
        self.setup()
        super().on_configure(state)

    def _activate(self, state: LifecycleState) -> None:
        self.fault_reason = ""
        super().on_activate(state)
        self.start()
        if self.fault_reason:
            raise DexhotError(self.fault_reason)
        self.active = True
        for timer, monitor in self._loops.values():
            monitor.restart(time.monotonic())
            timer.reset()
        for histogram in self._latencies.values():
            histogram.reset()

    def _close(self) -> None:
        """Callbacks no longer run."""
        self.active = False
        for timer, _ in self._loops.values():
            timer.cancel()

    def _abort(self) -> None:
        """An activation that failed leaves no publisher open."""
        self._close()
        super().on_deactivate(LifecycleState("activating", 0))

    def _release(self) -> None:
        """What setup made is gone; also after a setup that got half way."""
        self._close()
        self._transition("clean up", self.teardown)
        for destroy, entity in reversed(self._made):
            destroy(entity)
        if self._claim is not None:
            self._claim.release()
        self._made.clear()
        self._loops.clear()
        self._latencies.clear()
        self._journal = None

    def _transition(
        self, name: str, work: Callable, *args: Any, undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Do `work`; an exception is logged (with the traceback unless it is a DexhotError), undone, and a FAILURE."""
        try:
            work(*args)
            return SUCCESS
        except Exception as e:
            self.fault_reason = f"could not {name}: {e}"
            told = str(e) if isinstance(e, DexhotError) else traceback.format_exc()
            self.get_logger().error(f"could not {name}: {told}")
            if undo is not None:
                undo()
            return FAILURE

    def _guarded(self, callback: Callable, *args: Any) -> Any:
        try:
            return callback(*args)
        except Exception as e:
            where = getattr(callback, "__name__", str(callback))
            if not isinstance(e, DexhotError):
                self.get_logger().error(traceback.format_exc())
            self.fault(f"{where}: {type(e).__name__}: {e}")
            return None

    # Parameters

    def _validate(self, changed: list) -> SetParametersResult:
        reason = parameters.refusal(self.schema, changed, configured=self.state in ("inactive", "active"))
        return SetParametersResult(successful=not reason, reason=reason)

    def _reload(self, changed: list) -> None:
        if self.state in ("inactive", "active"):
            self.p.__dict__.update({p.name: p.value for p in changed if p.name in self.schema})

    # Diagnostics

    def publish_diagnostics(self) -> None:
        """One DiagnosticStatus: ERROR on a fault, WARN with warnings, else OK; and all that was measured."""
        level, message = DiagnosticStatus.OK, self.state
        if self.warnings:
            level, message = DiagnosticStatus.WARN, "; ".join(self.warnings.values())
        if self.fault_reason:
            level, message = DiagnosticStatus.ERROR, self.fault_reason
        found: dict[str, object] = {"state": self.state, **self._process.values()}
        for name, (_, monitor) in self._loops.items():
            found |= monitor.values(name, time.monotonic())
        for name, histogram in self._latencies.items():
            found |= histogram.values(name)
        self._diagnostics.publish(status_message(self.stamp(), self.get_name(), level, message, found | self.values))

    def _beat(self) -> None:
        """Alive and active, on /heartbeat; missed by the supervisor when process, executor or node stop."""
        if self.alive():
            self._heartbeat.publish(Header(stamp=self.stamp(), frame_id=self.get_name()))
