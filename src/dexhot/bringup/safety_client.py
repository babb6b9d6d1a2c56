"""Client of the supervisor: its state and services, for machines without the ros2 CLI."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from dexhot.bringup.graph import environment
from dexhot.data.topics import ESTOP, ESTOP_INPUT, SAFETY_STATE, relative
from dexhot.errors import DexhotError
from dexhot.ros.core import messages
from dexhot.ros.core.names import SUPERVISOR
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.ros.core.refusals import RefusedError

SILENT = 0.5  # s: a running supervisor publishes its state at 20 Hz
WAKE = 0.02  # s
DISCOVERY = 3.0  # s after the last supervisor that joined: on a busy machine they join one by one


class NoSupervisorError(DexhotError):
    """No supervisor answers."""


@dataclass(frozen=True)
class Status:
    """The supervisor's last state."""

    state: str
    reason: str
    age: float  # s since it was published; above SILENT the supervisor is dead or stuck
    supervisors: int  # number that publish a state

    @property
    def watched(self) -> bool:
        """Whether the supervisor is alive."""
        return self.age < SILENT


class SafetyClient:
    """A context manager with its own node, in the robot's namespace ("robot1"; "" for none)."""

    def __init__(self, timeout: float, namespace: str = ""):
        self.timeout, self.namespace, self._environment = timeout, f"/{namespace}", dict(os.environ)
        os.environ.update(environment(os.environ))
        rclpy.init(args=[])
        self.node = rclpy.create_node(
            f"dexhot_safety_{os.getpid()}", namespace=self.namespace, start_parameter_services=False
        )
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()
        os.environ.clear()
        os.environ.update(self._environment)

    def call(self, service: str) -> tuple[bool, str]:
        """Call /safety/<service>; returns success and the supervisor's message. Raises NoSupervisorError."""
        end = time.monotonic() + self.timeout
        client = self.node.create_client(Trigger, f"safety/{service}")
        if not self._spin_until(client.service_is_ready, end):
            raise self._nobody()
        future = client.call_async(Trigger.Request())
        if not self._spin_until(future.done, end):
            raise self._nobody()
        response = future.result()
        return response.success, response.message

    def status(self) -> Status:
        """The supervisor's state. Raises NoSupervisorError when none arrives."""
        heard: list[tuple[float, messages.Safety]] = []

        def on_safety(message: DiagnosticArray) -> None:
            with suppress(RefusedError):  # another publisher's
                heard.append((time.monotonic(), messages.read_safety_state(message)))

        topic = relative(SAFETY_STATE)
        self.node.create_subscription(DiagnosticArray, topic, on_safety, subscribe_profile("latched"))
        if not self._spin_until(lambda: bool(heard), time.monotonic() + self.timeout):
            raise self._nobody()
        first = time.monotonic()  # the latched one may be old: a live supervisor publishes again at once
        self._spin_until(lambda: len(heard) > 2, first + SILENT)
        at, said = heard[-1]
        age = time.monotonic() - at if len(heard) > 1 else SILENT + time.monotonic() - first
        return Status(str(said.state), said.reason, age, self.node.count_publishers(topic))

    def stop_all(self) -> list[str]:
        """Press and release the emergency stop of the ROS domain. Returns the full names of the supervisors reached.

        Raises NoSupervisorError.
        """
        button = self.node.create_publisher(Bool, ESTOP_INPUT, publish_profile("latched"))
        button.publish(Bool(data=True))  # latched: supervisors that discover us later receive it too
        found = self._discovered()
        if not found:
            raise self._nobody()
        stopped = self._spin_until(lambda: self._all_hear(button), time.monotonic() + self.timeout)
        if not (stopped and button.wait_for_all_acked(Duration(seconds=self.timeout))):
            raise DexhotError(f"the stop has not reached every robot: {', '.join(found)}; press it by hand.")
        button.publish(Bool(data=False))
        button.wait_for_all_acked(Duration(seconds=self.timeout))
        return self._supervisors()

    def _discovered(self) -> list[str]:
        """Supervisors once none has joined for DISCOVERY; none after the timeout, if that is longer."""
        found: list[str] = []
        joined = time.monotonic()
        first = joined + max(self.timeout, DISCOVERY)
        while time.monotonic() < (joined + DISCOVERY if found else first):
            self.executor.spin_once(timeout_sec=WAKE)
            if (now := self._supervisors()) != found:
                found, joined = now, time.monotonic()
        return found

    def _all_hear(self, button: Publisher) -> bool:
        """Whether every known supervisor has subscribed to our button; each has two subscriptions."""
        return 0 < 2 * len(self._supervisors()) <= button.get_subscription_count()

    def _supervisors(self) -> list[str]:
        """Full names of the domain's supervisors, from their services: node names may be discovered seconds later."""
        known = (name for name, _ in self.node.get_service_names_and_types() if name.endswith(ESTOP))
        found = (name for name in known if self.node.count_services(name))  # not those of our own clients
        return sorted(f"{name.removesuffix(ESTOP)}/{SUPERVISOR}" for name in found)

    def _spin_until(self, condition: Callable[[], bool], end: float) -> bool:
        while not (met := condition()) and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=WAKE)
        return met

    def _nobody(self) -> NoSupervisorError:
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        if others := [name.removesuffix(f"/{SUPERVISOR}")[1:] or "none" for name in self._supervisors()]:
            return NoSupervisorError(
                f"no supervisor answers within {self.timeout:g} s in the namespace {self.namespace} of ROS domain "
                f"{domain}; there is one in: {', '.join(others)}. Name it with --namespace; `estop --all` stops all."
            )
        return NoSupervisorError(
            f"no supervisor answers within {self.timeout:g} s in ROS domain {domain}: is a graph up "
            "(`dexhot up real_track`), with the same ROS_DOMAIN_ID? Drivers hold without a supervisor."
        )
