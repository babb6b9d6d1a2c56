"""How the open hand that is shipped (src/dexhot/humans/data) is made: its mesh, its pose prior, its keypoint tables."""
