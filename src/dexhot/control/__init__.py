"""Controllers, the command shaper, safety: deterministic functions of stamped inputs, without ROS."""
