"""State estimation: the object's pose and velocity from stamped measurements."""
