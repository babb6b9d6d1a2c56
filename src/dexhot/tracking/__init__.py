"""Filters: what is known of the object from stamped measurements."""
