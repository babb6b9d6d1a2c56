"""What gives pairs of a colour image and the depth aligned to it: a RealSense, a recording, a folder, a drawing."""
