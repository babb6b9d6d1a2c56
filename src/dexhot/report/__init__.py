"""HTML pages, plots and videos of recorded or simulated rollouts."""
