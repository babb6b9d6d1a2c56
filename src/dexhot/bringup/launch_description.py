"""A graph as a launch description of `ros2 launch` (launch and launch_ros come with the ROS distribution)."""

import atexit
import os
import signal
from functools import partial
from typing import Any

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dexhot.bringup.graph import Plan, Process, plan
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.launcher import GRACE, died, killed, warned
from dexhot.errors import DexhotError
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

    def processes(context: LaunchContext) -> list[Any]:
        given = {a.name: LaunchConfiguration(a.name).perform(context) for a in graph.arguments}
        planned = plan(graph, given, os.environ)
        atexit.register(remove_scratch, planned.folder)  # a recorded run's is none: it stays
        return actions(planned)

    return LaunchDescription([*declared, OpaqueFunction(function=processes)])


def actions(planned: Plan) -> list[Any]:
    """What `dexhot up` does, as launch actions."""
    interrupt, terminate, _ = GRACE.values()
    ends = Ends(planned.processes)
    return [
        *(LogInfo(msg=warned(warning)) for warning in planned.warnings),
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
                on_exit=partial(ends.ended, process),
            )
            for process in planned.processes
        ),
    ]


class Ends:
    """How the processes end. `ros2 launch` ends with exit code 0 whatever became of them, except that a handler of its
    events raises: then it is 1, as that of `dexhot up`."""

    def __init__(self, processes: tuple[Process, ...]):
        self.running = {process.name for process in processes}
        self.wrong: list[str] = []

    def ended(self, process: Process, event: ProcessExited, context: LaunchContext) -> list[Any]:
        """A vital process takes the others with it. Raises DexhotError for a death, or at the end for earlier ones."""
        code, asked = event.returncode, context.is_shutdown
        self.running.discard(process.name)
        if code == -signal.SIGKILL if asked else code:
            self.wrong.append(killed(process.name) if asked else died(process.name, code))
        ends_graph = asked or process.ends_graph(code) or not self.running
        if self.wrong and ends_graph:
            told, self.wrong = " ".join(self.wrong), []
            raise DexhotError(told)
        return [Shutdown(reason=f"{process.name} ended")] if ends_graph and not asked else []
