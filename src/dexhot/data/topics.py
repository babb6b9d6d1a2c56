"""The topics and services of the graphs, as docs/graph.md has them: one name each.

A name is that of the robot's namespace, /leap/command being /robot1/leap/command in namespace robot1, but for those
that the whole ROS domain shares.
"""

from collections.abc import Iterable

SAFETY_STATE = "/safety/state"
ESTOP_INPUT = "/safety/estop_input"
START, STOP, ESTOP, RESET = "/safety/start", "/safety/stop", "/safety/estop", "/safety/reset"  # services

LEAP_STATES, LEAP_COMMAND = "/leap/joint_states", "/leap/command"
FRANKA_STATES, FRANKA_COMMAND = "/franka/joint_states", "/franka/command"
TARGET = "/tracker/target"

OBJECT_POSE, OBJECT_STATE = "/object/pose", "/object/state"
EPISODE = "/rig/episode"
RIG_OBJECT = "/rig/object"

# Those of realsense2_camera, so that it can replace our node and its recordings are ours.
COLOR, COLOR_INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH, DEPTH_INFO = "/camera/aligned_depth_to_color/image_raw", "/camera/aligned_depth_to_color/camera_info"

ROBOT_DESCRIPTION, JOINT_STATES = "/robot_description", "/joint_states"
TF, TF_STATIC = "/tf", "/tf_static"

JOURNAL = "/controller/inputs"
MARKERS = "/scene/markers"
FIRST_LOOK = "/viewer/first_look"  # latched, once a browser shows the live scene
HEARTBEAT, DIAGNOSTICS = "/heartbeat", "/diagnostics"
CLOCK, ROSOUT = "/clock", "/rosout"

# One of each in a ROS domain. (A namespaced graph that publishes /clock remaps it: bringup/graph.py.)
SHARED = frozenset({ESTOP_INPUT, CLOCK, ROSOUT, "/parameter_events", TF, TF_STATIC})
OF_A_ROBOT = (SAFETY_STATE, JOURNAL, LEAP_STATES, FRANKA_STATES, TARGET, OBJECT_POSE, HEARTBEAT)  # name a robot's bag


def relative(topic: str) -> str:
    """`topic` as a node gives it to the middleware: relative to the node's namespace, or absolute."""
    return topic if topic in SHARED else topic.removeprefix("/")


def without_namespace(topic: str, namespace: str) -> str:
    """`topic` as this module has it; that of another namespace stays as it is. `namespace`: "/robot1", or ""."""
    return topic.removeprefix(namespace) if topic.startswith(f"{namespace}/") else topic


def namespace_of(topics: Iterable[str]) -> str:
    """The one namespace ("/robot1") that the robot of these topics is in; "" for none, or for several robots."""
    known = list(topics)
    for name in OF_A_ROBOT:
        if found := {topic.removesuffix(name) for topic in known if topic.endswith(name)}:
            return found.pop() if len(found) == 1 else ""
    return ""
