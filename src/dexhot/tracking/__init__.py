"""State estimation of the object from stamped measurements."""
