"""From RGB-D images to Evidence: hand keypoints, label masks and object poses, frame by frame (docs/perception.md)."""
