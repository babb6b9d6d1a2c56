"""Common base of all nodes: lifecycle, parameters, QoS, messages, diagnostics, authorized publishers."""
