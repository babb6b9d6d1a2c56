"""Names of the graphs' topics and services (docs/graph.md).

A name is relative to the robot's namespace (/leap/command is /robot1/leap/command in namespace robot1), except those
shared by the whole ROS domain.
"""

from collections.abc import Iterable

SAFETY_STATE = "/safety/state"
ESTOP_INPUT = "/safety/estop_input"
START, STOP, ESTOP, RESET = "/safety/start", "/safety/stop", "/safety/estop", "/safety/reset"  # services

LEAP_STATES, LEAP_COMMAND = "/leap/joint_states", "/leap/command"
FRANKA_STATES, FRANKA_COMMAND = "/franka/joint_states", "/franka/command"
TARGET = "/tracker/target"
RESIDUAL = "/tracker/residual"  # the running sum of residuals of the controller policy

OBJECT_POSE, OBJECT_STATE = "/object/pose", "/object/state"
LABELS = "/segmentation/labels"  # 0 background, 1 right hand or robot, 2 object, 3 left hand
HAND_KEYPOINTS = {"right": "/hand/keypoints", "left": "/hand_left/keypoints"}
PROMPTS, BOXES = "/perception/prompts", "/perception/boxes"  # JSON by name: see perception/bag.py
KEYPOINT_FIELDS = ("x", "y", "z", "u", "v", "confidence")  # of a point
RELATIVE_DEPTH = "relative_depth"  # a further one, px from the wrist, where the detector estimates it
HAND_FIT, OBJECT_FIT = "/hand/fit", "/object/fit"  # a person's hand and the object, fitted to one image
HAND_MODEL = "/hand/model"  # the fit's parameters of the open hand
HAND_POINTS, HAND_POSE = "/hand/points", "/hand/pose"  # filtered
FIT_FIELDS = ("x", "y", "z", "sigma")  # of a point of a fitted or filtered hand, m
TELEOP_CLUTCH, TELEOP_ASSIST = "/teleop/clutch", "/teleop/assist"  # buttons
TELEOP_CORRECTION = "/teleop/correction"  # the assistance's, as applied
TELEOP_STATE = "/teleop/state"  # latched: whether the clutch is engaged, and why not
EPISODE = "/rig/episode"
RIG_OBJECT = "/rig/object"

# realsense2_camera's names, so that it can replace our node and its recordings can be read.
COLOR, COLOR_INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH, DEPTH_INFO = "/camera/aligned_depth_to_color/image_raw", "/camera/aligned_depth_to_color/camera_info"

ROBOT_DESCRIPTION, JOINT_STATES = "/robot_description", "/joint_states"
TF, TF_STATIC = "/tf", "/tf_static"

JOURNAL = "/controller/inputs"
MARKERS = "/scene/markers"
FIRST_LOOK = "/viewer/first_look"  # latched, once a browser has drawn the live scene
HEARTBEAT, DIAGNOSTICS = "/heartbeat", "/diagnostics"
CLOCK, ROSOUT = "/clock", "/rosout"
LIFE = (ROSOUT, DIAGNOSTICS, HEARTBEAT, "/transition_event")  # ends of topics that a process publishes about itself

# Shared by the ROS domain. (A namespaced graph that publishes /clock remaps it: bringup/graph.py.)
SHARED = frozenset({ESTOP_INPUT, CLOCK, ROSOUT, "/parameter_events", TF, TF_STATIC})
OF_A_ROBOT = (
    SAFETY_STATE,
    JOURNAL,
    LEAP_STATES,
    FRANKA_STATES,
    TARGET,
    OBJECT_POSE,
    HEARTBEAT,
)  # topics that identify a robot's namespace in a bag


def relative(topic: str) -> str:
    """The name that a node passes to the middleware: relative to the node's namespace, or absolute."""
    return topic if topic in SHARED else topic.removeprefix("/")


def without_namespace(topic: str, namespace: str) -> str:
    """`topic` as named in this module; a topic in another namespace is unchanged. `namespace`: "/robot1", or ""."""
    return topic.removeprefix(namespace) if topic.startswith(f"{namespace}/") else topic


def namespace_of(topics: Iterable[str]) -> str:
    """The namespace ("/robot1") of the robot with these topics; "" for none, or for several robots."""
    known = list(topics)
    for name in OF_A_ROBOT:
        if found := {topic.removesuffix(name) for topic in known if topic.endswith(name)}:
            return found.pop() if len(found) == 1 else ""
    return ""
