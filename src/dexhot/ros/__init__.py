"""The ROS 2 graph: nodes grouped by function, on the base classes in `core`."""
