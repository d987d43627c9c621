"""A federation in which the server computes most of the model, and owners no more than its outer blocks."""
