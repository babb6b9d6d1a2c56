"""Fitting of hand models to observations: residual terms, a solver, and recipes that combine them."""
