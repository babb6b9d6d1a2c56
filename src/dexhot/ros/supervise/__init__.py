"""The safety supervisor and fault recovery."""
