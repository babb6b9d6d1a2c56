"""The prior over structured plans: tries of training clips, stored with their costs, and what is fitted to them."""
