"""Human hand models: linear blend skinning with analytic Jacobians, the open hand that is shipped, MANO from the user."""
