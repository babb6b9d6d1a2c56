"""Every way to a Rollout: the floating hand, the arm rig, the arm rig in batch, a live run's bag."""
