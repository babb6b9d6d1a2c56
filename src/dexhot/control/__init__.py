"""Controllers and the command shaper: deterministic functions of stamped inputs, without ROS."""
