"""Pages, plots and videos of what was recorded or simulated."""
