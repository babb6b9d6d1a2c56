"""The topics and services of the graphs, as docs/graph.md has them: one name each."""

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
HEARTBEAT, DIAGNOSTICS = "/heartbeat", "/diagnostics"
CLOCK, ROSOUT = "/clock", "/rosout"
