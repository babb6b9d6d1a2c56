"""The rigs as nodes: the embedded world, the one behind the wires, and the real one."""
