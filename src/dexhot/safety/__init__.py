"""Decides whether motion is allowed: state machine, input checks, limits, joint monitoring. No ROS, no MuJoCo."""
