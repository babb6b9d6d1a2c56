"""A graph as a launch description of `ros2 launch` (launch and launch_ros come with the ROS distribution)."""

import atexit
import os
from collections.abc import Callable

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dexhot.nodes.bringup import GRACE
from dexhot.nodes.graph import Plan, Process, plan
from dexhot.nodes.graphs import load_graph
from dexhot.scratch import remove_scratch


def describe(name: str) -> LaunchDescription:
    """The launch description of the graph called `name`: its arguments, then the processes that they give."""
    graph = load_graph(name)
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default_text, description=a.description, choices=list(a.choices) or None
        )
        for a in graph.arguments
    ]

    def processes(context: LaunchContext) -> list:
        given = {a.name: LaunchConfiguration(a.name).perform(context) for a in graph.arguments}
        planned = plan(graph, given, os.environ)
        atexit.register(remove_scratch, planned.folder)  # a recorded run's is none: it stays
        return actions(planned)

    return LaunchDescription([*declared, OpaqueFunction(function=processes)])


def actions(planned: Plan) -> list:
    """What `dexhot up` does, as launch actions."""
    interrupt, terminate, _ = GRACE.values()
    return [
        *(SetEnvironmentVariable(k, v) for k, v in planned.environment.items()),
        *(
            Node(
                package="dexhot",
                executable="dexhot_node",
                arguments=process.targets,
                parameters=[str(planned.parameters_file)],
                output="screen",
                sigterm_timeout=str(interrupt),
                sigkill_timeout=str(terminate),
                on_exit=_when_ended(process),
            )
            for process in planned.processes
        ),
    ]


def _when_ended(process: Process) -> Callable:
    """A vital process takes the others with it."""

    def ended(event: ProcessExited, context: LaunchContext) -> list:
        return [Shutdown(reason=f"{process.name} ended")] if process.ends_graph(event.returncode) else []

    return ended
