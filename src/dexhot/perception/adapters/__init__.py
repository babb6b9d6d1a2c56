"""Estimators that labs bring with their own weights, behind the protocols of protocols.py."""
