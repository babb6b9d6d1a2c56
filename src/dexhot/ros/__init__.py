"""The ROS 2 graph: nodes by what they serve, on the base in `core`."""
