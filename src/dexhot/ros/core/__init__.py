"""What every node stands on: the lifecycle base, parameters, QoS, messages, diagnostics, who may speak."""
