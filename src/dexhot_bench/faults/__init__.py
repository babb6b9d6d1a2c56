"""Fault injection: time to detection and time to safe state of arm and hand.

table.py has the outcome of a fault and the table of results; hand.py, arm.py, camera.py and graph.py each have a test
rig for injection, and its faults; bench.py runs them.
"""
