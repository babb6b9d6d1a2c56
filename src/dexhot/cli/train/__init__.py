"""`dexhot train`: one training per module, each with its arguments and `run`."""
