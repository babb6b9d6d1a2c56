"""From the measured object to commands: object filter, controller, shaper."""
