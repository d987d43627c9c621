"""What keeps a model from learning records by heart, and what watches it."""
