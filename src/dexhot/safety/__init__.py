"""What decides whether motion is allowed: the state machine, inputs, limits, the joints' watch. No ROS, no MuJoCo."""
