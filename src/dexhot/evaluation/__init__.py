"""Metrics, the judge, and scores from simulating a file's actions again."""
