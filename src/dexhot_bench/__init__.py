"""Benchmarks, one module each, and fault injection; neither peers nor training load in the robot's runtime."""
