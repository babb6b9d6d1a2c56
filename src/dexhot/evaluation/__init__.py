"""Scores from simulating a file's actions again."""
