"""Recording, captures, playing bags, and exact replay."""
