"""The arm and the hand behind small protocols, and their in-process twins."""
