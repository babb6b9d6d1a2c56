"""Camera, arm and hand behind small protocols, real and simulated behind the same wire; and their in-process twins."""
