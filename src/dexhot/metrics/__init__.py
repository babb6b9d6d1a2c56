"""Metrics and success limits: arrays of a rollout in, numbers out. No simulation, files or pages."""
