"""dexhot: a human demonstration of a hand moving an object, tracked by a LEAP hand on a Franka arm."""

__version__ = "0.1.0"
