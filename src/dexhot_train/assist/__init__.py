"""Assisted hands (Garcia-Hernando et al., "Physics-Based Dexterous Manipulations with Estimated Hand Poses and Residual
Reinforcement Learning"): a user's noisy hand, corrected by a small learned residual."""
