"""Sources of colour images with aligned depth: a RealSense, a recording, a folder, a synthetic scene."""
