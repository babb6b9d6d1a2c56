"""Planning before the start: structured plans, their prior and search, and the controller that plays the best."""
