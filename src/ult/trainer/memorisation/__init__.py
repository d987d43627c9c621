"""Keep a model from learning records by heart, and measure whether it does."""
