"""Fault injection: time to detection and time to safe state of arm and hand.

table.py has the result of a fault and the table of all; hand.py, arm.py, camera.py and graph.py each have a rig on
which faults are brought about, and the faults; bench.py runs them.
"""
