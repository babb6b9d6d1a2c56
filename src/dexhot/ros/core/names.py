"""Names of nodes that other nodes look up in the ROS graph."""

SUPERVISOR = "supervisor"
RECORDER = "_recorder"  # hidden; subscribes for the recorder and for a capture
