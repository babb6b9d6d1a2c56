"""Every way to a Rollout: the floating hand, the embedded rig, batches of it, a live run's bag."""
