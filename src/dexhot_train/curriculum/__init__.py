"""What is mined next, and how: the data engine and its ledger, homotopy paths, their generator, the flywheel."""
