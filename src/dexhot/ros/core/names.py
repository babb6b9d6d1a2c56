"""Names of nodes that other nodes look up in the ROS graph, and of frames."""

SUPERVISOR = "supervisor"
ROBOT_STATE = "_robot_state"  # hidden; subscribes for robot_state
RECORDER = "_recorder"  # hidden; subscribes for the recorder and for a capture

WORLD_FRAME, OBJECT_FRAME = "world", "object"
