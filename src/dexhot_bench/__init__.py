"""Benchmarks, one module each, and fault injection; the robot's runtime imports neither baselines nor training."""
