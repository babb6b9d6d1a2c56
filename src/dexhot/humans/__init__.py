"""Human hand models: linear blend skinning with analytic Jacobians, the open hand, MANO from the user's file."""
