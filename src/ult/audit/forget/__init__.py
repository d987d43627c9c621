"""What a run that is said to have forgotten records still knows of them, beside a run retrained without them."""
