"""Human keypoints to robot joints: whole clips, single frames, and the arm that carries the hand."""
