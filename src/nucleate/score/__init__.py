"""How good is a segmentation: one matching, and scores as formulas over it."""
