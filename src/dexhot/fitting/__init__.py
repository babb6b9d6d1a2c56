"""Hand models fitted to what was seen of a hand: residual terms, a solver, and recipes that combine them."""
