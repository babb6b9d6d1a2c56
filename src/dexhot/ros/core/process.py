"""`dexhot_node NODE... --ros-args --params-file FILE`: several lifecycle nodes in one process with one executor.

Exit code 0 when stopped by a signal or when a node finished, 1 when a node could not be brought up.
"""

import ctypes
import gc
import importlib
import os
import signal
import sys
import time
from contextlib import suppress
from itertools import pairwise
from types import FrameType

if (
    __name__ == "__main__"
):  # until `spin` handles signals: a KeyboardInterrupt may get lost in the callbacks of an import
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.lifecycle import LifecycleState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from dexhot.errors import DexhotError, NotFoundError, import_error, os_error
from dexhot.hardware.real_time import make_real_time
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.parameter_file import check_file
from dexhot.ros.core.sim_time import share_clock

NODES = {
    "rig": "dexhot.ros.rig.rig_node:RigNode",
    "leap_driver": "dexhot.ros.drivers.leap_driver_node:LeapDriverNode",
    "franka_driver": "dexhot.ros.drivers.franka_driver_node:FrankaDriverNode",
    "object_filter": "dexhot.ros.track.object_filter_node:ObjectFilterNode",
    "controller": "dexhot.ros.track.controller_node:ControllerNode",
    "shaper": "dexhot.ros.track.shaper_node:ShaperNode",
    "supervisor": "dexhot.ros.supervise.supervisor_node:SupervisorNode",
    "recorder": "dexhot.ros.record.recorder_node:RecorderNode",
    "player": "dexhot.ros.record.player_node:PlayerNode",
    "viewer": "dexhot.ros.show.viewer_node:ViewerNode",
    "robot_state": "dexhot.ros.show.robot_state_node:RobotStateNode",
    "rig_camera": "dexhot.ros.rig.rig_camera_node:RigCameraNode",
    "perception": "dexhot.ros.see.perception_node:PerceptionNode",
    "fitting": "dexhot.ros.see.fitting_node:FittingNode",
    "watch_viewer": "dexhot.ros.show.watch_viewer_node:WatchViewerNode",
    "camera": "dexhot.ros.see.camera_node:CameraNode",
    "capture": "dexhot.ros.record.capture_node:CaptureNode",
    "bag_player": "dexhot.ros.record.bag_player_node:BagPlayerNode",
}
PR_SET_PDEATHSIG = 1
LAST_WORDS = 0.02  # s for the message about our regular end to reach the supervisor before our claims are released
HOPELESS = 20  # consecutive exceptions of the executor before giving up
MOST_DUE = 1000  # callbacks that may be due when a node is removed
WAKE = 0.1  # s between checks of the stop flag; a Python signal handler cannot wake the executor


def make_executor() -> Executor:
    """Select the executor by $DEXHOT_EXECUTOR: events (the default) or single (rclpy's SingleThreadedExecutor).

    EventsExecutor dispatches a message in a third of the CPU time. Its `spin` hangs when stopped (rclpy 7.1.5);
    `spin_once` with a timeout, from the thread that also shuts it down, does not.
    """
    name = os.environ.get("DEXHOT_EXECUTOR", "events")
    if name not in ("events", "single"):
        raise NotFoundError("executor", name, ("events", "single"))
    return EventsExecutor() if name == "events" else SingleThreadedExecutor()


def make_node(name: str) -> DexhotNode:
    """The node called `name` (a key of NODES, or "module:Class"). Raises NotFoundError."""
    target = name if ":" in name else NODES.get(name)
    if target is None:
        raise NotFoundError("node", name, NODES)
    module, _, kind = target.partition(":")
    try:
        made = getattr(importlib.import_module(module), kind)
    except (ModuleNotFoundError, AttributeError) as e:
        if isinstance(e, ModuleNotFoundError) and not module.startswith(str(e.name)):
            raise  # an import of the module itself failed
        raise NotFoundError("node", name, NODES, "Or module:Class of a node on the Python path.") from e
    node: DexhotNode = made()
    return node


def bring_up(node: DexhotNode) -> bool:
    """Configure and activate. On failure the base class has logged the reason."""
    node.trigger_configure()
    if node.state == "inactive":
        node.trigger_activate()
    return node.state == "active"


def turn(executor: Executor, node: DexhotNode, failures: int) -> int:
    """One turn of the executor after `failures` consecutive ones that raised; returns their new number.

    Our callbacks are guarded, rclpy's own are not.
    """
    try:
        executor.spin_once(timeout_sec=WAKE)
    except Exception as e:
        if failures >= HOPELESS:
            raise
        node.refuse_message("rclpy", f"{type(e).__name__}: {e}")
        return failures + 1
    return 0


def say_goodbye(nodes: list[DexhotNode], why: str) -> None:
    """Announce the regular end of this process, which is no fault."""
    for node in nodes:
        node.ending = why
        node.publish_diagnostics()
    time.sleep(LAST_WORDS)


def bring_down(node: DexhotNode) -> None:
    """Deactivate, clean up and finalize; a node stopped within a transition only releases its resources."""
    if node.state == "active":
        node.trigger_deactivate()
    if node.state in ("unconfigured", "inactive", "active"):
        node.trigger_shutdown()
    elif node.state != "finalized":
        node.on_error(LifecycleState(node.state, 0))


def let_go(executor: Executor, node: Node) -> None:
    """Remove a node, and spin until the executor has noticed: it holds on to the node's destroyed publishers, for which
    a recorder in this process would wait."""
    executor.remove_node(node)
    noticed = executor.create_task(lambda: None)  # comes after all that is due already
    for _ in range(MOST_DUE):
        if noticed.done():
            break
        with suppress(Exception):  # rclpy's own callbacks; ours are guarded
            executor.spin_once(timeout_sec=0.0)


class Stop(BaseException):
    """A signal arrived during bring-up; not an Exception, so that no transition callback swallows it."""


def parameter_files(argv: list[str]) -> list[str]:
    """The files of a command line's --params-file options."""
    return [value for option, value in pairwise(argv) if option == "--params-file"]


def spin(names: list[str], files: list[str]) -> int:
    """Run the nodes until a signal, until one finishes, or until one cannot be brought up. Returns the exit code.

    `files`: the parameter files. Raises DexhotError for one with unused parameters.
    """
    stopping: list[int] = []
    starting = True

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)
        if starting and len(stopping) == 1:
            raise Stop

    nodes: list[DexhotNode] = []
    intake: Node | None = None
    executor, ok, failures = make_executor(), True, 0
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        for name in names:
            nodes.append(make_node(name))
            executor.add_node(nodes[-1])
        for path in files:
            check_file(path, {node.get_fully_qualified_name(): node.schema for node in nodes})
        if clock := share_clock(nodes):
            intake, read = clock
            for node in nodes:
                node.read_clock = read
        automatic = [node for node in nodes if node.get_parameter("autostart").value]
        ok = all(stopping or bring_up(node) for node in automatic)
        if priority := max(node.get_parameter("fifo_priority").value for node in nodes):
            make_real_time(priority)
        starting = False
    except BaseException:  # interrupted code may convert a Stop to another exception
        if not stopping:
            raise
    gc.collect()
    gc.freeze()  # exclude setup's objects from garbage collection: shortens the longest iterations several times
    while ok and not stopping and not any(node.finished for node in nodes):
        failures = turn(executor, nodes[0], failures)
    if active := [node for node in nodes if node.state == "active"]:
        finished = next((node.finished for node in nodes if node.finished), "")
        say_goodbye(active, finished or f"stopped by {signal.Signals(stopping[0]).name}" if stopping else finished)
    for node in reversed(nodes):  # commanding nodes before commanded ones
        bring_down(node)
        let_go(executor, node)
    if not ok:
        time.sleep(WAKE)  # lets the ERROR diagnostics be sent before the middleware stops
    executor.shutdown()
    for node in nodes:
        node.destroy_node()
    if intake is not None:
        intake.destroy_node()
    return max(node.exit_code for node in nodes) if ok and nodes else int(not ok)


def begin(argv: list[str]) -> None:
    """Initialise rclpy with the ROS arguments of `argv`. Raises DexhotError if rcl rejects them, e.g. for a missing
    file."""
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as e:  # rclpy's RCLError has no public name
        why = str(e).partition(", at ")[0].removeprefix("failed to initialize rcl: ")
        raise DexhotError(f"ROS rejects the arguments: {why}.") from e


def main(argv: list[str] | None = None) -> int:
    """The console script `dexhot_node`."""
    argv = sys.argv[1:] if argv is None else argv
    names = argv[: argv.index("--ros-args")] if "--ros-args" in argv else argv
    if not names or names[0] in ("-h", "--help"):
        print(
            f"usage: dexhot_node NODE... [--ros-args --params-file FILE]\n\nnodes: {', '.join(NODES)}, or module:Class"
        )
        return 0 if names else 1
    if os.environ.get("DEXHOT_DIE_WITH_PARENT"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    try:
        begin(argv)
        return spin(names, parameter_files(argv))
    except (DexhotError, OSError, ImportError) as e:
        text = import_error(e) if isinstance(e, ImportError) else os_error(e) if isinstance(e, OSError) else e
        if text is None:
            raise
        print(f"dexhot_node: error: {text}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
