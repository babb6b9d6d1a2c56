"""The LEAP hand: its driver over the servo bus (dynamixel), what is set up and watched there, its twin."""
