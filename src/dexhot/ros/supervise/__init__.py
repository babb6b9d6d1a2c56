"""The safety supervisor, and how faults are left."""
