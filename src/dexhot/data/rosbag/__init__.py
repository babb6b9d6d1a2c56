"""Readers of bag storage formats (MCAP, sqlite3, ROS 1), tolerant of damage and strictly read-only."""
