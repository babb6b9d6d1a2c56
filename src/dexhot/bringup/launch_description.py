"""A graph as a launch description of `ros2 launch` (launch and launch_ros come with the ROS distribution)."""

import atexit
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dexhot.bringup.graph import Graph, Plan, Process, check_known, plan
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.launcher import GRACE, died, killed, warned
from dexhot.bringup.unrecorded import clear_up, files_in, nothing_recorded
from dexhot.errors import DexhotError

PUSHED = "ros_namespace"  # the launch configuration that PushRosNamespace sets
OF_LAUNCH = ("launch-prefix", "launch-prefix-filter")  # arguments of every launch file
NEAR = 0.8  # name similarity above which an argument counts as misspelt


def describe(name: str) -> LaunchDescription:
    """The launch description of the graph called `name`: its arguments, then the processes that follow from them."""
    graph = load_graph(name)
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default_text, description=a.description, choices=list(a.choices) or None
        )
        for a in graph.arguments
    ]

    def processes(context: LaunchContext) -> list[Any]:
        doubts = check_arguments(graph, context.launch_configurations, sys.argv)
        given = {a.name: LaunchConfiguration(a.name).perform(context) for a in graph.arguments}
        pushed = context.launch_configurations.get(PUSHED, "")
        planned = plan(graph, given | {"namespace": f"{pushed}/{given['namespace']}"}, os.environ)
        atexit.register(at_end, planned, files_in(planned.folder))
        return [*(LogInfo(msg=warned(doubt)) for doubt in doubts), *actions(planned)]

    return LaunchDescription([*declared, OpaqueFunction(function=processes)])


def at_end(planned: Plan, before: frozenset[Path]) -> None:
    """`ros2 launch` ends as a program, its processes before it."""
    if clear_up(planned, before):
        print(nothing_recorded(planned.folder), file=sys.stderr)


def check_arguments(graph: Graph, configurations: Mapping[str, str], argv: Iterable[str]) -> list[str]:
    """Warnings of arguments that look like misspelt ones of this graph. Raises NotFoundError for an unknown one on the
    command
    line of `ros2 launch`, where the launch file is the graph's; one that includes it may have others of its own.
    """
    words = list(argv)
    known = [*(a.name for a in graph.arguments), *OF_LAUNCH, PUSHED]
    if any(word.endswith(f"{graph.name}.launch.py") for word in words):
        given = (word.partition(":=")[0] for word in words if ":=" in word)
        check_known(graph, [name for name in given if name not in OF_LAUNCH])
    near = {name: get_close_matches(name, known, n=1, cutoff=NEAR) for name in configurations if name not in known}
    return [
        f"launch argument {name}: {graph.name} has no such argument; did you mean {m[0]}?"
        for name, m in near.items()
        if m
    ]


def actions(planned: Plan) -> list[Any]:
    """What `dexhot up` does, as launch actions."""
    interrupt, terminate = GRACE.values()
    ends = Ends(planned.processes)
    return [
        *(LogInfo(msg=warned(warning)) for warning in planned.warnings),
        *(SetEnvironmentVariable(k, v) for k, v in planned.environment.items()),
        *(
            Node(
                package="dexhot",
                executable="dexhot_node",
                exec_name=process.name,
                namespace=planned.namespace or None,
                arguments=process.targets,
                parameters=[str(planned.parameters_file)],
                remappings=list(planned.remappings),
                output="screen",
                sigterm_timeout=str(interrupt),
                sigkill_timeout=str(terminate),
                on_exit=partial(ends.ended, process),
            )
            for process in planned.processes
        ),
    ]


class Ends:
    """How the processes end. `ros2 launch` exits with 0 whatever happened to them, unless an event handler raises:
    then with 1, as `dexhot up` does."""

    def __init__(self, processes: tuple[Process, ...]):
        self.running = {process.name for process in processes}
        self.wrong: list[str] = []

    def ended(self, process: Process, event: ProcessExited, context: LaunchContext) -> list[Any]:
        """When a vital process ends, shut down. Raises DexhotError when it died, or at the end for earlier deaths."""
        code, asked = event.returncode, context.is_shutdown
        self.running.discard(process.name)
        if code == -signal.SIGKILL if asked else code:
            self.wrong.append(killed(process.name) if asked else died(process.name, code))
        ends_graph = asked or process.ends_graph(code) or not self.running
        if self.wrong and ends_graph:
            deaths, self.wrong = " ".join(self.wrong), []
            raise DexhotError(deaths)
        return [Shutdown(reason=f"{process.name} ended")] if ends_graph and not asked else []
