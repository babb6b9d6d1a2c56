"""Simulated rigs: the embedded world with device twins, and protocol-level simulation of arm and hand."""
