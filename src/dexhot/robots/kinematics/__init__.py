"""One kinematics per mechanism: the arm (and its inverse), the floating wrist, the hand on it."""
