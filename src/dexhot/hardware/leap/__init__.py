"""The LEAP hand: its driver on the servo bus (dynamixel), set-up, calibration and health monitoring."""
