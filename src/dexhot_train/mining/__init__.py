"""From a Reference to a Demonstration: search in perturbed worlds, refinement, verdicts; locally or on Ray."""
