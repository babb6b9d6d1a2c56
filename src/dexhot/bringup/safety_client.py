"""Client of the supervisor: its state and services, for machines without the ros2 CLI."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from dexhot.bringup.graph import environment
from dexhot.data.topics import SAFETY_STATE
from dexhot.errors import DexhotError
from dexhot.ros.core import messages
from dexhot.ros.core.qos import subscribe_profile
from dexhot.ros.core.refusals import RefusedError

SILENT = 0.5  # s: a supervisor that watches says its state 20 times a second
WAKE = 0.02  # s


class NoSupervisorError(DexhotError):
    """Nobody answers."""


@dataclass(frozen=True)
class Status:
    """What the supervisor said last."""

    state: str
    reason: str
    age: float  # s since it said so; more than SILENT: nobody watches
    supervisors: int  # who publish a state

    @property
    def watched(self) -> bool:
        """Whether the supervisor is alive and watches."""
        return self.age < SILENT


class SafetyClient:
    """A node of its own for as long as it is open."""

    def __init__(self, timeout: float):
        self.timeout, self._environment = timeout, dict(os.environ)
        os.environ.update(environment(os.environ))
        rclpy.init(args=[])
        self.node = rclpy.create_node(f"dexhot_safety_{os.getpid()}", start_parameter_services=False)
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
        """Call /safety/<service>: whether it was done, and the supervisor's words. Raises NoSupervisorError."""
        end = time.monotonic() + self.timeout
        client = self.node.create_client(Trigger, f"/safety/{service}")
        if not self._spin_until(client.service_is_ready, end):
            raise self._nobody()
        future = client.call_async(Trigger.Request())
        if not self._spin_until(future.done, end):
            raise self._nobody()
        response = future.result()
        return response.success, response.message

    def status(self) -> Status:
        """What the supervisor says. Raises NoSupervisorError when nothing is heard."""
        heard: list[tuple[float, messages.Safety]] = []

        def on_safety(message: DiagnosticArray) -> None:
            with suppress(RefusedError):  # somebody else's
                heard.append((time.monotonic(), messages.read_safety_state(message)))

        topic = SAFETY_STATE
        self.node.create_subscription(DiagnosticArray, topic, on_safety, subscribe_profile("latched"))
        if not self._spin_until(lambda: bool(heard), time.monotonic() + self.timeout):
            raise self._nobody()
        first = time.monotonic()  # that may be of long ago: one that watches says more at once
        self._spin_until(lambda: len(heard) > 2, first + SILENT)
        at, said = heard[-1]
        age = time.monotonic() - at if len(heard) > 1 else SILENT + time.monotonic() - first
        return Status(str(said.state), said.reason, age, self.node.count_publishers(topic))

    def _spin_until(self, condition: Callable[[], bool], end: float) -> bool:
        while not (met := condition()) and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=WAKE)
        return met

    def _nobody(self) -> NoSupervisorError:
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        return NoSupervisorError(
            f"no supervisor answers within {self.timeout:g} s in ROS domain {domain}: is a graph up "
            "(`dexhot up real_track`), with the same ROS_DOMAIN_ID? Drivers hold without a supervisor."
        )
