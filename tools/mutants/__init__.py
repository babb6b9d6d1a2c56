"""Mutation testing: cosmic-ray's mutants of the pure modules against the tests nearest to each (docs/testing.md)."""
