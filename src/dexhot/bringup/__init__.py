"""What a graph is made of, its run folder, and how its processes are started and stopped."""
