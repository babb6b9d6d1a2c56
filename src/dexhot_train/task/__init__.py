"""The tracking task: many hands and objects in one call, at 60 Hz, with rewards, starts and randomisation."""
