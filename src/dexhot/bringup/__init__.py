"""Graph descriptions, run folders, and the launcher that starts and stops processes."""
