"""Robot hands and the arm: parameters (urdf/), the joint table, and the MuJoCo specs built from them."""
