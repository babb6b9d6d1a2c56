"""Ways to train a policy: PPO with imitation for any task behind the vectorised interface, DAgger, the specialist."""
