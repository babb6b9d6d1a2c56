"""Robot hands and the arm: their numbers (urdf/), the joint table, and the MuJoCo specs made from them."""
